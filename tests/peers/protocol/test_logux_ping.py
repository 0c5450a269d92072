"""Pings, and missing answers."""

from __future__ import annotations

from typing import Any

import pytest

from peers.stores.runs.memory import MemoryRunStore
from tests.support.logux_pair import Asked, client, every_dialect, logux, meet_again, met_client, met_server, names
from tests.support.pair import HeldDisk, sentences


def pings(messages: list[Any]) -> list[Any]:
    return [message for message in messages if message[0] == "ping"]


@every_dialect
def test_a_ping_is_sent_after_a_time_of_silence(protocol: Any) -> None:
    stranger = met_client(protocol, ping=300, timeout=1_000)

    stranger.clock.advance(299)
    before = pings(stranger.heard)
    stranger.clock.advance(1)

    assert before == []
    assert pings(stranger.heard) == [["ping", 0]]


@every_dialect
def test_a_server_pings_too(protocol: Any) -> None:
    stranger = met_server(protocol, ping=300, timeout=1_000)

    stranger.clock.advance(300)

    assert pings(stranger.heard) == [["ping", 0]]


@every_dialect
@pytest.mark.parametrize("way", ["in", "out"])
def test_a_message_of_either_end_delays_the_ping(protocol: Any, way: str) -> None:
    stranger = met_client(protocol, ping=300, timeout=1_000)
    stranger.clock.advance(250)

    if way == "in":
        stranger.say("headers", {})
    else:
        stranger.role.send_headers({})
    stranger.clock.advance(250)
    before = pings(stranger.heard)
    stranger.clock.advance(50)

    assert before == []
    assert pings(stranger.heard) == [["ping", 0]]


@every_dialect
def test_at_most_one_ping_is_unanswered(protocol: Any) -> None:
    stranger = met_client(protocol, ping=300, timeout=10_000)

    stranger.clock.advance(3_000)

    assert pings(stranger.heard) == [["ping", 0]]


@every_dialect
def test_after_a_pong_the_next_ping_is_sent(protocol: Any) -> None:
    pair = logux(protocol, left={"ping": 300, "timeout": 1_000}, right={"ping": None}).meet()

    pair.clock.advance(1_000)

    assert names(pair.left_sent) == ["ping"] * 3
    assert names(pair.right_sent) == ["pong"] * 3


@every_dialect
def test_a_pong_has_the_mark_up_to_which_all_was_sent(protocol: Any) -> None:
    pair = logux(protocol).meet()
    pair.right.log.add({"type": "a"})
    pair.forget()

    pair.say("left", "ping", 0)

    assert pair.right_sent == [["pong", 1]]


@every_dialect
def test_the_marks_in_ping_and_pong_advance_other_synced(protocol: Any) -> None:
    stranger = met_client(protocol, ping=300, timeout=1_000)

    stranger.say("ping", 5)
    after_ping = stranger.role.other_synced
    stranger.clock.advance(300)
    stranger.say("pong", 7).say("ping", 6)

    assert after_ping == 5
    assert stranger.role.other_synced == 7


@every_dialect
def test_a_mark_counts_only_once_all_events_before_it_are_committed(protocol: Any) -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    stranger = met_client(protocol, store=store, disk=disk)
    second: Any = {"id": 1, "time": 1} if protocol == 5 else {"id": "1", "time": 1}

    stranger.say("sync", 1, {"type": "a"}, [1, "server", 0] if protocol == (0, 1) else second).say("ping", 5)
    before = stranger.role.other_synced
    disk.release()

    assert before == 0
    assert stranger.role.other_synced == 5


@every_dialect
def test_no_ping_is_sent_before_authentication(protocol: Any) -> None:
    stranger = client(protocol, ping=300, timeout=10_000)

    stranger.clock.advance(3_000)

    assert names(stranger.heard) == ["connect"]


@every_dialect
def test_a_missing_pong_ends_the_link(protocol: Any) -> None:
    stranger = met_client(protocol, ping=300, timeout=1_000)

    stranger.clock.advance(1_299)
    assert stranger.connected
    stranger.clock.advance(1)

    assert stranger.heard[-1] == ["error", "timeout", 1_000]
    assert sentences(stranger.errors) == ["server: timeout (A timeout was reached (1000ms))"]
    assert not stranger.errors[0].received
    assert stranger.reasons == ["timeout"]


@every_dialect
def test_a_server_is_destroyed_after_a_missing_pong(protocol: Any) -> None:
    stranger = met_server(protocol, ping=300, timeout=1_000)

    stranger.clock.advance(1_300)

    assert stranger.role.is_destroyed
    assert stranger.clock.waiting == 0


@pytest.mark.parametrize(("protocol", "gives_up"), [((0, 1), True), (5, True), (7, False)], ids=str)
def test_an_event_that_is_not_confirmed_ends_the_link(protocol: Any, gives_up: bool) -> None:
    stranger = met_client(protocol, ping=None, timeout=1_000)

    stranger.log.add({"type": "a"})
    stranger.clock.advance(1_000)

    assert stranger.connected != gives_up


def test_each_event_has_a_timeout_of_its_own_and_confirmations_end_the_oldest() -> None:
    stranger = met_client(ping=None, timeout=1_000)
    stranger.log.add({"type": "a"})
    stranger.clock.advance(800)
    stranger.log.add({"type": "b"})

    stranger.say("synced", 1)
    stranger.clock.advance(999)
    before = stranger.connected
    stranger.clock.advance(1)

    assert before
    assert stranger.heard[-1] == ["error", "timeout", 1_000]


def test_a_second_event_does_not_extend_the_timeout_of_the_first() -> None:
    stranger = met_client(ping=None, timeout=1_000)
    stranger.log.add({"type": "a"})
    stranger.clock.advance(800)

    stranger.log.add({"type": "b"})
    stranger.clock.advance(200)

    assert not stranger.connected


@every_dialect
def test_bytes_that_arrive_slowly_keep_the_link_open(protocol: Any) -> None:
    stranger = met_client(protocol, ping=300, timeout=1_000)

    for _ in range(5):
        stranger.clock.advance(900)
        stranger.trickle()

    assert stranger.connected


@every_dialect
def test_a_burst_of_events_that_are_all_confirmed_leaves_no_timer(protocol: Any) -> None:
    pair = logux(protocol, ping=None, timeout=1_000).meet()
    for number in range(50):
        pair.left.log.add({"type": f"{number}"})

    pair.clock.advance(60_000)

    assert pair.left.connected
    assert pair.left_errors == pair.right_errors == []
    assert pair.clock.waiting == 0


@every_dialect
def test_nothing_is_lost_when_a_javascript_peer_cuts_the_link_during_bursts(protocol: Any) -> None:
    pair = logux(protocol).meet()
    for number in range(20):
        pair.right.log.add({"type": f"{number:02}"})
        if number % 5 == 4:
            meet_again(pair)

    assert pair.left.log.types == [f"{number:02}" for number in range(20)]
    assert pair.left.log.last_added == 20


@every_dialect
def test_a_pong_does_not_count_events_that_a_filter_holds(protocol: Any) -> None:
    stranger = met_server(protocol, out_filter=Asked())
    stranger.log.add({"type": "a"})

    stranger.say("ping", 0)

    assert stranger.heard[-1] == ["pong", 0]


@every_dialect
def test_a_ping_that_was_lost_with_its_link_does_not_stop_pings_on_the_next(protocol: Any) -> None:
    pair = logux(protocol, left={"ping": 300, "timeout": 1_000}, right={"ping": None}).meet()
    pair.mute("right")
    pair.clock.advance(300)
    pair.unmute("right")

    meet_again(pair, ping=None)
    pair.clock.advance(600)

    assert len(pings(pair.left_sent)) == 2
