"""Roles of your own, on BaseSync."""

from __future__ import annotations

from typing import Any

import pytest

from peers.clock import ManualClock
from peers.roles.base import BaseSync
from peers.roles.run_peer import HEARD, RunPeerSync
from peers.transport.local_pair import LocalPair
from tests.support.pair import NOW_MS, Pair


class WitnessSync(BaseSync):
    """A symmetric role that reports when the other end holds our events."""

    def on_connect(self) -> None:
        super().on_connect()
        self.send_connect()  # both ends speak first: neither is the server

    def connected_message(self, protocol: int, node_id: str, times: Any, options: Any = None) -> None:
        self.end_timeout()  # their own connect has said the rest

    def on_authenticated(self) -> None:
        self.start_walk(0)

    def synced_message(self, added: int) -> None:
        super().synced_message(added)
        self.emitter.emit("witnessed", self.other_node_id, added)


class Waving(RunPeerSync):
    """Adds one message."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waves: list[tuple[str, int]] = []

    def send_wave(self, hand: str, times: int = 1) -> None:
        self.send_own("wave", hand, times)

    def wave_message(self, hand: str, times: int = 1) -> None:
        self.waves.append((hand, times))


def test_a_symmetric_role_greets_from_both_ends_and_reports_confirmations() -> None:
    pair = Pair(WitnessSync, WitnessSync)
    seen: list[tuple[str, int]] = []
    pair.left.on("witnessed", lambda node_id, added: seen.append((node_id, added)))

    pair.connect()
    pair.left.log.add({"type": "a"})
    pair.right.log.add({"type": "b"})

    assert [message[0] for message in pair.left_sent[:2]] == ["connect", "connected"]
    assert [message[0] for message in pair.right_sent[:2]] == ["connect", "connected"]
    assert pair.left.log.types == pair.right.log.types == ["a", "b"]
    assert ("right", 1) in seen


def test_a_symmetric_role_keeps_identities_though_its_clocks_differ() -> None:
    pair = Pair(WitnessSync, WitnessSync)
    pair.right.clock = ManualClock(NOW_MS + 777)

    pair.connect()
    pair.left.log.add({"type": "a"})
    pair.right.log.add({"type": "b"}, {"created": (NOW_MS, "right", 0)})

    assert pair.left.log.types == pair.right.log.types == ["a", "b"]
    assert [entry.time for entry in pair.left.log.entries] == [entry.time for entry in pair.right.log.entries]
    assert [entry.created for entry in pair.left.log.entries] == [(NOW_MS, "left", 0), (NOW_MS, "right", 0)]


def test_a_symmetric_role_catches_up_and_no_timeout_is_left() -> None:
    pair = Pair(WitnessSync, WitnessSync, timeout=5_000)
    pair.left.log.add({"type": "a"})

    pair.connect()
    pair.clock.advance(60_000)

    assert pair.left.connected
    assert pair.right.log.types == ["a"]


def test_a_method_adds_a_message() -> None:
    pair = Pair(Waving, Waving).meet()

    pair.left.send_wave("left hand", 3)

    assert pair.left_sent == [["wave", "left hand", 3]]
    assert pair.right.waves == [("left hand", 3)]


def test_items_of_a_message_may_be_left_out_where_the_method_has_defaults() -> None:
    pair = Pair(Waving, Waving).meet()

    pair.say("left", "wave", "right hand")

    assert pair.right.waves == [("right hand", 1)]


@pytest.mark.parametrize("items", [[], ["left", 1, 2]], ids=str)
def test_an_own_message_with_too_few_or_too_many_items_is_of_the_wrong_format(items: list[Any]) -> None:
    pair = Pair(Waving, Waving).catch().meet()

    pair.say("left", "wave", *items)

    assert pair.right_sent[0][:2] == ["error", "wrong-format"]
    assert pair.right_sent[0][2].startswith("wave: ")
    assert not pair.right.connected


def test_an_own_message_waits_for_authentication_like_any_other() -> None:
    pair = Pair(Waving, Waving)
    pair.catch()
    local = LocalPair()
    role = Waving("home", pair.left.log, local.right, clock=pair.clock, random=pair.left.random)
    role.catch(lambda _error: None)
    local.left.connect()

    local.left.send(b'["wave","left",1]')

    assert role.waves == []
    assert not role.connected
    role.destroy()


def test_a_role_without_the_method_answers_unknown_message() -> None:
    pair = Pair(Waving, RunPeerSync).catch().meet()

    pair.left.send_wave("left")

    assert pair.right_sent == [["error", "unknown-message", "wave"]]
    assert pair.left_errors == ["right sent unknown-message (Unknown message `wave` type)"]


def test_an_own_message_that_json_cannot_express_raises_an_error() -> None:
    pair = Pair(Waving, Waving).meet()

    with pytest.raises(ValueError, match="message wave cannot be written as JSON"):
        pair.left.send_own("wave", object())

    assert pair.left.connected


@pytest.mark.parametrize("role", [WitnessSync, Waving])
def test_an_own_message_cannot_have_a_name_of_the_protocol(role: Any) -> None:
    pair = Pair(role, role)
    pair.connect()

    for name in ("connect", "sync", *(kind.__struct_config__.tag for kind in HEARD)):
        with pytest.raises(ValueError, match=f"`{name}` is a message of the protocol: give yours another name"):
            pair.left.send_own(name)

    assert pair.left.connected and pair.right.connected


def test_a_method_that_fails_ends_the_link() -> None:
    class Clumsy(RunPeerSync):
        def drop_message(self) -> None:
            raise KeyError("glass")

    pair = Pair(RunPeerSync, Clumsy).meet()

    with pytest.raises(KeyError, match="glass"):
        pair.say("left", "drop")

    assert not pair.left.connected
    assert pair.left.log.add({"type": "a"}).is_done
