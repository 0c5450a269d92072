"""In a mesh of many: who says what it has got elsewhere, and what is therefore not sent."""

from __future__ import annotations

from typing import Any

import pytest

from peers.events.version_vector import MAX_RANGES
from peers.later import Later
from peers.protocol.session import MAX_QUEUED
from peers.roles.peer import MAX_KNOWN, RELAY_MS
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

# What is told


def test_tells_at_once_what_came_over_another_link() -> None:
    stranger = Stranger().greet()

    stranger.log.add_entries([received(1), received(2), received(7, epoch="f")])

    assert stranger.heard == [["have", {"e": [[1, 2]], "f": [[7, 7]]}]]


def test_does_not_tell_what_came_over_this_link() -> None:
    stranger = Stranger().greet()

    stranger.say("sync", 1, *wire_event(1))

    assert stranger.heard == [["synced", 1]]


def test_does_not_tell_what_is_our_own() -> None:
    stranger = Stranger().greet()

    stranger.log.add({"type": "own"})

    assert [message[0] for message in stranger.heard] == ["sync"]


def test_of_one_commit_tells_only_what_is_news_to_the_other_end() -> None:
    stranger = Stranger().greet()
    stranger.say("sync", 1, *wire_event(2))
    stranger.heard.clear()

    stranger.log.add_entries([received(1), received(2), received(3)])

    assert stranger.heard == [["have", {"e": [[1, 1], [3, 3]]}]]


def test_tells_many_commits_in_one_message_when_its_turn_comes() -> None:
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


def test_tells_nothing_of_what_its_greeting_named() -> None:
    stranger = Stranger()
    stranger.log.add_entries([received(1)])

    stranger.greet(vector={"e": [[1, 1]]})

    assert stranger.heard == []


def test_what_was_not_told_over_a_lost_link_is_in_the_next_greeting() -> None:
    mailbox = Mailbox()
    stranger = Stranger(turn=mailbox.turn)
    mailbox.work()
    stranger.greet()
    mailbox.work()
    stranger.log.add_entries([received(1)])
    stranger._theirs.disconnect()

    mailbox.work()  # the news has its turn when the link is gone
    stranger.heard.clear()
    stranger.dialler.connect()
    stranger.say("connect", 5, "stranger", 0, {"peer": hello()})
    mailbox.work()

    assert stranger.heard[0][4]["peer"]["vector"] == {"e": [[1, 1]]}
    assert [message[0] for message in stranger.heard] == ["connected", "sync"]
    assert stranger.errors == []


# What is therefore not sent


def test_what_nobody_named_is_passed_on_after_a_while() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1)])

    stranger.clock.advance(RELAY_MS - 1)
    assert syncs(stranger.heard) == []
    stranger.clock.advance(1)

    assert sent_types(stranger.heard) == [["r"]]


def test_what_the_other_end_named_meanwhile_is_not_sent() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1)])
    assert (stranger.role.state, stranger.role.lag) == ("sending", 1)

    stranger.say("have", {"e": [[1, 1]]})
    stranger.clock.advance(RELAY_MS)

    assert syncs(stranger.heard) == []
    assert (stranger.role.state, stranger.role.lag) == ("synchronized", 0)


def test_what_the_other_end_named_before_does_not_wait_nor_is_it_sent() -> None:
    stranger = Stranger().greet()

    stranger.say("have", {"e": [[1, 1]]})
    stranger.log.add_entries([received(1)])

    assert stranger.heard == [["have", {"e": [[1, 1]]}]]
    assert (stranger.role.state, stranger.role.lag) == ("synchronized", 0)


def test_only_what_was_not_named_is_sent() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(seq, f"r{seq}") for seq in range(1, 6)])

    stranger.say("have", {"unheard-of": [[1, 9]], "e": [[2, 3], [5, 5]]})
    stranger.clock.advance(RELAY_MS)

    assert sent_types(stranger.heard) == [["r1", "r4"]]


def test_what_was_named_while_a_page_was_read_is_not_in_it() -> None:
    stranger, log = asked_stranger()
    log.add_entries([received(1, "r1"), received(2, "r2")])
    stranger.clock.advance(RELAY_MS)  # the page is asked for

    stranger.say("have", {"e": [[1, 1]]})
    log.answer()

    assert sent_types(stranger.heard) == [["r2"]]


def test_our_own_that_another_named_for_us_is_not_sent() -> None:
    stranger, log = asked_stranger()
    log.add({"type": "own"})

    stranger.say("have", {log.published.epoch: [[1, 1]]})  # it got it over another way
    log.answer()

    assert stranger.heard == []
    assert (stranger.role.state, stranger.role.lag) == ("synchronized", 0)


def test_the_next_link_does_not_trust_what_was_named_over_the_last() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1)])
    stranger.say("have", {"e": [[1, 1]]})
    stranger._theirs.disconnect()

    stranger.dialler.connect()
    stranger.say("connect", 5, "stranger", 0, {"peer": hello()})  # its disk was wiped

    assert sent_types(stranger.heard) == [["r"]]


# What is said wrong


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
def test_a_have_that_names_nothing_is_harmless(vector: dict[str, Any]) -> None:
    stranger = Stranger().greet()

    stranger.say("have", vector)

    assert stranger.connected and stranger.heard == []


def test_a_have_before_the_greeting_is_turned_away() -> None:
    stranger = Stranger()

    stranger.say("have", {"e": [[1, 1]]})

    assert stranger.heard[-1] == ["error", "missed-auth", "have"]
    assert not stranger.connected


def test_a_have_that_comes_while_auth_decides_counts_afterwards() -> None:
    verdict: Later[bool] = Later()
    stranger = Stranger(auth=lambda _token, _node_id: verdict).greet()
    stranger.say("have", {"e": [[1, 1]]})
    assert stranger.connected

    verdict.set(True)
    stranger.log.add_entries([received(1)])
    stranger.clock.advance(RELAY_MS)

    assert syncs(stranger.heard) == []


def test_any_number_of_them_may_come_while_auth_decides() -> None:
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
def test_what_is_known_of_the_other_end_is_limited(count: int, expected: list[list[str]]) -> None:
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


def test_at_the_limit_what_is_known_of_an_epoch_may_still_grow() -> None:
    stranger = Stranger().greet()
    stranger.say("have", one_each(MAX_KNOWN))

    stranger.say("have", {"x7": [[2, 9]]})
    stranger.log.add_entries([received(9, epoch="x7")])
    stranger.clock.advance(RELAY_MS)

    assert syncs(stranger.heard) == []
