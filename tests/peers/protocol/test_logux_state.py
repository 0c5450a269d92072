"""The five states of a Logux role."""

from __future__ import annotations

from typing import Any

import pytest

from peers.stores.runs.memory import MemoryRunStore
from tests.support.logux_pair import client, every_dialect, logux, meet_again, met_client, met_server, server, version
from tests.support.pair import NOW_MS, HeldDisk


@every_dialect
def test_the_first_state_is_disconnected(protocol: Any) -> None:
    assert logux(protocol).left.state == "disconnected"


def test_the_first_state_is_wait_with_unsent_events() -> None:
    stranger = client(connects=False)

    stranger.log.add({"type": "a"})

    assert stranger.role.state == "wait"


@pytest.mark.parametrize(("synced", "state"), [(0, "wait"), (1, "disconnected")])
def test_the_first_state_follows_the_given_marks(synced: int, state: str) -> None:
    earlier = client(connects=False)
    earlier.log.add({"type": "a"})

    stranger = client(connects=False, log=earlier.log, synced=synced)

    assert stranger.role.state == state


def test_the_first_state_of_a_server_is_connecting() -> None:
    assert server(connects=False).role.state == "connecting"


@every_dialect
def test_the_state_is_connecting_until_the_answer(protocol: Any) -> None:
    stranger = client(protocol)

    assert stranger.role.state == "connecting"


@every_dialect
def test_a_client_with_something_to_send_is_sending_as_soon_as_it_has_greeted(protocol: Any) -> None:
    stranger = client(protocol, connects=False)
    stranger.log.add({"type": "a"})

    stranger.dialler.connect()

    assert stranger.role.state == "sending"
    assert stranger.heard == [["connect", version(protocol), "home", 0]]


@every_dialect
def test_the_state_is_sending_until_everything_is_confirmed(protocol: Any) -> None:
    stranger = met_client(protocol)
    if protocol == 7:
        stranger.say("ready", 0)
    states = [stranger.role.state]

    for name in "ab":
        stranger.log.add({"type": name})
    for added in (1, 2):
        states.append(stranger.role.state)
        stranger.say("synced", added)

    assert [*states, stranger.role.state] == ["synchronized", "sending", "sending", "synchronized"]


@every_dialect
def test_the_state_is_disconnected_after_a_loss_when_all_is_confirmed(protocol: Any) -> None:
    pair = logux(protocol).meet()
    pair.left.log.add({"type": "a"})

    pair.cut()

    assert pair.left.state == pair.right.state == "disconnected"


@every_dialect
def test_the_state_is_wait_after_a_loss_with_unconfirmed_events(protocol: Any) -> None:
    pair = logux(protocol).meet()
    pair.mute("right")
    pair.left.log.add({"type": "a"})

    pair.cut()

    assert pair.left.state == "wait"


def test_the_state_is_wait_when_an_event_is_added_without_a_link() -> None:
    pair = logux().meet()
    pair.cut()

    pair.left.log.add({"type": "a"})

    assert pair.left.state == "wait"


@every_dialect
def test_each_change_of_state_is_emitted_once(protocol: Any) -> None:
    pair = logux(protocol)
    states: list[str] = []
    pair.left.on("state", lambda: states.append(pair.left.state))

    pair.connect()
    pair.left.log.add({"type": "a"})
    pair.cut()
    pair.left.log.add({"type": "b"})
    meet_again(pair)

    assert states == [
        *("connecting", "synchronized", "sending", "synchronized"),
        *("disconnected", "wait", "connecting", "sending", "synchronized"),
    ]


@every_dialect
def test_received_events_do_not_make_the_state_wait_after_a_loss(protocol: Any) -> None:
    pair = logux(protocol).meet()
    pair.right.log.add({"type": "a"})

    pair.cut()

    assert pair.left.state == "disconnected"
    assert pair.left.synced == 1


@every_dialect
def test_messages_that_were_lost_with_a_link_do_not_count_for_the_next(protocol: Any) -> None:
    pair = logux(protocol, timeout=1_000, ping=None).meet()
    pair.mute("right")
    pair.left.log.add({"type": "a"})
    pair.cut()
    pair.unmute("right")

    meet_again(pair, timeout=1_000, ping=None)
    pair.clock.advance(60_000)

    assert pair.left.state == "synchronized"
    assert pair.left.connected
    assert pair.left_errors == []


def test_the_state_is_not_synchronized_while_an_event_is_unconfirmed() -> None:
    stranger = client()
    stranger.log.add({"type": "a"})

    stranger.say("connected", [0, 1], "server", [NOW_MS, NOW_MS])

    assert stranger.role.state == "sending"


@every_dialect
def test_the_state_is_not_synchronized_before_the_commit_of_an_own_event(protocol: Any) -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    stranger = met_client(protocol, store=store, disk=disk)
    stranger.say("sync", 1)

    stranger.log.add({"type": "a"})
    disk.release()

    assert stranger.role.state in ("sending", "connecting")
    assert stranger.role.lag == 1


@every_dialect
def test_a_server_has_the_same_states(protocol: Any) -> None:
    stranger = met_server(protocol)
    if protocol == 7:
        stranger.say("ready", 0)
    states = [stranger.role.state]

    stranger.log.add({"type": "a"})
    states.append(stranger.role.state)
    stranger.say("synced", 1)
    states.append(stranger.role.state)
    stranger.dialler.disconnect("bye")

    assert [*states, stranger.role.state] == ["synchronized", "sending", "synchronized", "disconnected"]


def test_an_event_that_is_added_while_a_link_is_being_opened_leaves_it_connecting() -> None:
    pair, states = logux(), []
    pair.local.left.on("connecting", lambda: pair.left.log.add({"type": "a"}))
    pair.left.on("state", lambda: states.append(pair.left.state))

    pair.connect()

    assert states == ["connecting", "sending", "synchronized"]
