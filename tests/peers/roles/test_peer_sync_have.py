"""The message `have`: nodes name events from other links, so that these are not sent to them."""

from __future__ import annotations

from typing import Any

import pytest

from peers.events.version_vector import MAX_RANGES
from peers.later import Later
from peers.protocol.session import MAX_QUEUED
from peers.roles.peer import HAVE_MS, MAX_KNOWN, RELAY_MS
from tests.support.pair import (
    Mailbox,
    Stranger,
    asked_stranger,
    hello,
    received,
    sent_types,
    sentences,
    syncs,
    wire_event,
)

# What is named


def test_events_from_another_link_are_named_at_once() -> None:
    stranger = Stranger().greet()

    stranger.log.add_entries([received(1), received(2), received(7, epoch="f")])

    assert stranger.heard == [["have", {"e": [[1, 2]], "f": [[7, 7]]}]]


def test_events_from_this_link_are_not_named_on_it() -> None:
    stranger = Stranger().greet()

    stranger.say("sync", 1, *wire_event(1))

    assert stranger.heard == [["synced", 1]]


def test_own_events_are_not_named() -> None:
    stranger = Stranger().greet()

    stranger.log.add({"type": "own"})

    assert [message[0] for message in stranger.heard] == ["sync"]


def test_only_events_of_a_commit_that_did_not_come_from_the_other_end_are_named() -> None:
    stranger = Stranger().greet()
    stranger.say("sync", 1, *wire_event(2))
    stranger.heard.clear()

    stranger.log.add_entries([received(1), received(2), received(3)])

    assert stranger.heard == [["have", {"e": [[1, 1], [3, 3]]}]]


def test_many_commits_are_named_in_one_message_in_the_next_turn() -> None:
    mailbox = Mailbox()
    stranger = Stranger(turn=mailbox.turn)
    mailbox.work()
    stranger.greet()
    mailbox.work()
    stranger.heard.clear()
    for seq in range(1, 6):
        stranger.log.add_entries([received(seq)])

    mailbox.work()

    assert stranger.heard == [["have", {"e": [[1, 5]]}]]


def test_events_of_the_greeting_are_not_named_again() -> None:
    stranger = Stranger()
    stranger.log.add_entries([received(1)])

    stranger.greet(vector={"e": [[1, 1]]})

    assert stranger.heard == []


def test_events_that_were_not_named_on_a_lost_link_are_in_the_next_greeting() -> None:
    mailbox = Mailbox()
    stranger = Stranger(turn=mailbox.turn)
    mailbox.work()
    stranger.greet()
    mailbox.work()
    stranger.log.add_entries([received(1)])
    stranger.theirs.disconnect()

    mailbox.work()  # the reaction to the commit runs after the link has closed
    stranger.heard.clear()
    stranger.dialler.connect()
    stranger.say("connect", 5, "stranger", 0, {"peer": hello()})
    mailbox.work()

    assert stranger.heard[0][4]["peer"]["vector"] == {"e": [[1, 1]]}
    assert [message[0] for message in stranger.heard] == ["connected", "sync"]
    assert stranger.errors == []


def test_what_comes_soon_after_a_have_is_gathered_for_the_next_one() -> None:
    stranger = Stranger().greet()

    for seq in range(1, 5):
        stranger.log.add_entries([received(seq)])
    assert [message for message in stranger.heard if message[0] == "have"] == [["have", {"e": [[1, 1]]}]]
    stranger.clock.advance(HAVE_MS)

    assert [message for message in stranger.heard if message[0] == "have"][1:] == [["have", {"e": [[2, 4]]}]]


def test_a_have_whose_time_has_come_is_not_sent_on_a_link_that_has_just_closed() -> None:
    mailbox = Mailbox()
    stranger = Stranger(turn=mailbox.turn)
    mailbox.work()
    stranger.greet()
    mailbox.work()
    for seq in (1, 2):
        stranger.log.add_entries([received(seq)])
        mailbox.work()
    stranger.clock.advance(HAVE_MS)
    stranger.heard.clear()

    stranger.theirs.disconnect()  # before the turn of the timer
    mailbox.work()

    assert stranger.heard == [] and stranger.errors == []


# What is not sent for that reason


def test_events_that_were_not_named_are_passed_on_after_the_wait() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1)])

    stranger.clock.advance(RELAY_MS - 1)
    assert syncs(stranger.heard) == []
    stranger.clock.advance(1)

    assert sent_types(stranger.heard) == [["r"]]


def test_events_that_the_other_end_names_during_the_wait_are_not_sent() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1)])
    assert (stranger.role.state, stranger.role.lag) == ("sending", 1)

    stranger.say("have", {"e": [[1, 1]]})
    stranger.clock.advance(RELAY_MS)

    assert syncs(stranger.heard) == []
    assert (stranger.role.state, stranger.role.lag) == ("synchronized", 0)


def test_events_that_the_other_end_has_named_before_neither_wait_nor_are_sent() -> None:
    stranger = Stranger().greet()

    stranger.say("have", {"e": [[1, 1]]})
    stranger.log.add_entries([received(1)])

    assert stranger.heard == [["have", {"e": [[1, 1]]}]]
    assert (stranger.role.state, stranger.role.lag) == ("synchronized", 0)


def test_only_events_that_were_not_named_are_sent() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(seq, f"r{seq}") for seq in range(1, 6)])

    stranger.say("have", {"unheard-of": [[1, 9]], "e": [[2, 3], [5, 5]]})
    stranger.clock.advance(RELAY_MS)

    assert sent_types(stranger.heard) == [["r1", "r4"]]


def test_events_that_are_named_while_a_page_is_read_are_not_sent_with_it() -> None:
    stranger, log = asked_stranger()
    log.add_entries([received(1, "r1"), received(2, "r2")])
    stranger.clock.advance(RELAY_MS)  # the page is asked for

    stranger.say("have", {"e": [[1, 1]]})
    log.answer()

    assert sent_types(stranger.heard) == [["r2"]]


def test_an_own_event_that_the_other_end_names_is_not_sent() -> None:
    stranger, log = asked_stranger()
    log.add({"type": "own"})

    stranger.say("have", {log.published.epoch: [[1, 1]]})  # it got the event over another link
    log.answer()

    assert stranger.heard == []
    assert (stranger.role.state, stranger.role.lag) == ("synchronized", 0)


def test_names_of_the_last_link_do_not_count_on_the_next() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1)])
    stranger.say("have", {"e": [[1, 1]]})
    stranger.theirs.disconnect()

    stranger.dialler.connect()
    stranger.say("connect", 5, "stranger", 0, {"peer": hello()})  # its disk was wiped

    assert sent_types(stranger.heard) == [["r"]]


# Faulty messages


@pytest.mark.parametrize(
    "items",
    [
        [],
        [None],
        [[]],
        ["e"],
        [{"e": None}],
        [{"e": [1]}],
        [{"e": [[1]]}],
        [{"e": [[1, 2, 3]]}],
        [{"e": [[0, 1]]}],
        [{"e": [[2, 1]]}],
        [{"e": [[1, 2**53]]}],
        [{"e": [["1", 2]]}],
        [{"e": [[1, 1.5]]}],
        [{"e": [[1, 2], [2, 3]]}],
        [{"e": [[1, 2], [3, 4]]}],
        [{"e": [[5, 6], [1, 2]]}],
        [{"": [[1, 1]]}],
        [{"x" * 65: [[1, 1]]}],
        [{"e\n": [[1, 1]]}],
        [{"e": [[n, n] for n in range(1, 2 * MAX_RANGES + 3, 2)]}],
    ],
    ids=lambda items: str(items)[:40],
)
def test_a_malformed_have_is_a_wrong_format(items: list[Any]) -> None:
    stranger = Stranger().greet()

    stranger.say("have", *items)

    assert stranger.heard[-1][:2] == ["error", "wrong-format"]
    assert len(sentences(stranger.errors)) == 1
    assert not stranger.connected


@pytest.mark.parametrize("vector", [{}, {"e": []}])
def test_an_empty_have_changes_nothing(vector: dict[str, Any]) -> None:
    stranger = Stranger().greet()

    stranger.say("have", vector)

    assert stranger.connected and stranger.heard == []


def test_a_have_before_the_greeting_is_refused() -> None:
    stranger = Stranger()

    stranger.say("have", {"e": [[1, 1]]})

    assert stranger.heard[-1] == ["error", "missed-auth", "have"]
    assert not stranger.connected


def test_a_have_that_arrives_while_auth_decides_counts() -> None:
    verdict: Later[bool] = Later()
    stranger = Stranger(auth=lambda _token, _node_id: verdict).greet()
    stranger.say("have", {"e": [[1, 1]]})
    assert stranger.connected

    verdict.set(True)
    stranger.log.add_entries([received(1)])
    stranger.clock.advance(RELAY_MS)

    assert syncs(stranger.heard) == []


def test_any_number_of_have_messages_may_arrive_while_auth_decides() -> None:
    verdict: Later[bool] = Later()
    stranger = Stranger(auth=lambda _token, _node_id: verdict).greet()

    for number in range(1, 2 * MAX_QUEUED):
        stranger.say("have", {"e": [[number, number]]})
    verdict.set(True)

    assert stranger.connected
    assert stranger.errors == []


def test_a_malformed_have_while_auth_decides_is_a_wrong_format_too() -> None:
    stranger = Stranger(auth=lambda _token, _node_id: Later()).greet()

    stranger.say("have", {"e": [[2, 1]]})

    assert stranger.heard[-1][:2] == ["error", "wrong-format"]
    assert not stranger.connected


def one_each(count: int) -> dict[str, Any]:
    return {f"x{number}": [[1, 1]] for number in range(count)}


@pytest.mark.parametrize(("count", "expected"), [(MAX_KNOWN - 1, []), (MAX_KNOWN, [["r"]])])
def test_what_is_remembered_of_the_other_ends_events_is_limited(count: int, expected: list[list[str]]) -> None:
    stranger = Stranger().greet()
    stranger.say("have", one_each(count))

    stranger.say("have", {"e": [[1, 1]]})
    stranger.log.add_entries([received(1)])
    stranger.clock.advance(RELAY_MS)

    assert sent_types(stranger.heard) == expected


def test_many_ranges_of_few_epochs_are_limited_too() -> None:
    stranger = Stranger().greet()
    holes = [[number, number] for number in range(1, 2 * MAX_RANGES, 2)]

    for number in range(2 * MAX_KNOWN // MAX_RANGES):
        stranger.say("have", {f"x{number}": holes})

    assert stranger.connected
    assert sum(map(len, stranger.role.lacking.ranges.values())) == MAX_KNOWN


def test_at_the_limit_the_range_of_a_known_epoch_may_still_grow() -> None:
    stranger = Stranger().greet()
    stranger.say("have", one_each(MAX_KNOWN))

    stranger.say("have", {"x7": [[2, 9]]})
    stranger.log.add_entries([received(9, epoch="x7")])
    stranger.clock.advance(RELAY_MS)

    assert syncs(stranger.heard) == []
