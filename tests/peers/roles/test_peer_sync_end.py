"""What is left of a role after its link has closed, or after destroy."""

from __future__ import annotations

import pytest

from peers.clock import ManualClock
from peers.errors import SyncError
from peers.roles.base import BaseSync
from peers.roles.run_peer import RunPeerSync
from peers.roles.run_session import PEER_PING_MS, PEER_TIMEOUT_MS
from peers.transport.reconnect import Reconnect
from tests.support.neighbour import Neighbour
from tests.support.pair import NOW_MS, AskedLog, Pair, open_log

# The end


def test_destroy_leaves_no_listener_and_no_timer() -> None:
    pair = Pair().meet()
    pair.mute("right")
    pair.left.log.add({"type": "a"})

    pair.destroy()

    assert pair.clock.waiting == 0
    assert pair.left_connection.listeners == pair.right_connection.listeners == 0
    assert not pair.left.log.listeners["commit"]
    assert not pair.left.connected
    assert pair.left.state == "disconnected"


def test_destroy_before_the_greeting_leaves_nothing_either() -> None:
    pair = Pair()
    pair.mute("left")
    pair.connect()

    pair.destroy()

    assert pair.clock.waiting == 0


def test_destroy_sends_its_reason_to_the_other_end() -> None:
    pair = Pair().meet()
    reasons: list[str] = []
    pair.local.right.on("disconnect", reasons.append)

    pair.left.destroy("leaving")
    pair.left.destroy("again")

    assert reasons == ["leaving"]


def test_a_destroyed_role_takes_and_sends_nothing() -> None:
    pair = Pair().meet()
    pair.left.destroy()

    pair.connect()
    pair.left.log.add({"type": "a"})
    pair.local.right.send(b'["ping",1]')

    assert pair.left_sent == []


def test_an_answer_of_the_log_after_the_end_is_ignored() -> None:
    clock = ManualClock(NOW_MS)
    log = open_log("left", clock, kind=AskedLog)
    assert isinstance(log, AskedLog)
    pair = Pair(clock=clock, left={"log": log}).connect()
    log.add({"type": "a"})
    pair.left.destroy()

    log.answer()

    assert pair.right.log.types == []


def test_on_silence_may_end_the_role() -> None:
    class Impatient(RunPeerSync):
        def on_silence(self) -> None:
            self.destroy("bored")

    pair = Pair(Impatient, RunPeerSync, right={"ping": None}).meet()

    pair.clock.advance(PEER_PING_MS)

    assert pair.left.is_destroyed
    assert pair.clock.waiting == 0


def test_sending_without_a_link_raises_an_error() -> None:
    pair = Pair()

    with pytest.raises(RuntimeError, match="left could not send Ping to a closed connection"):
        pair.left.send_ping()


def test_a_timeout_does_not_stop_a_reconnect() -> None:
    pair = Pair(right={"ping": None})
    reconnect = Reconnect(pair.left_connection, clock=pair.clock, random=pair.left.random)
    again = RunPeerSync("left", pair.left.log, reconnect, clock=pair.clock, random=pair.left.random)
    pair.left.destroy()
    again.catch(lambda _error: None)
    pair.right.catch(lambda _error: None)
    reconnect.connect()
    pair.mute("right")
    pair.clock.advance(PEER_PING_MS + PEER_TIMEOUT_MS)
    assert not again.connected
    pair.unmute("right")

    pair.clock.advance(1_000)

    assert again.authenticated
    again.destroy()
    reconnect.destroy()
    pair.right.destroy()
    assert pair.clock.waiting == 0


@pytest.mark.parametrize("error", ["wrong-protocol", "wrong-subprotocol", "wrong-credentials"])
def test_a_fatal_error_stops_a_reconnect(error: str) -> None:
    pair = Pair()
    reconnect = Reconnect(pair.left_connection, clock=pair.clock, random=pair.left.random)
    role = RunPeerSync("left", pair.left.log, reconnect, clock=pair.clock, random=pair.left.random)
    pair.left.destroy()
    seen: list[SyncError] = []
    role.catch(seen.append)
    reconnect.connect()

    pair.say("right", "error", error)

    assert not reconnect.reconnecting and not reconnect.connected
    assert seen[0].is_fatal and seen[0].received


def test_a_role_without_options_has_no_timers() -> None:
    pair = Pair(BaseSync, BaseSync).connect()

    assert pair.clock.waiting == 0


def test_no_ping_is_sent_while_events_are_exchanged() -> None:
    stranger = Neighbour(ping=4_000, timeout=5_000).greet()

    for _ in range(1, 20):
        stranger.clock.advance(3_000)
        stranger.brings()

    assert ["ping", 0] not in stranger.heard
    assert stranger.connected
