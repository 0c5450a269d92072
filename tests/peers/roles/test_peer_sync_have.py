"""The message `have`: nodes name what came over other links, so that it is not sent to them."""

from __future__ import annotations

from typing import Any

import pytest

from peers.clock import ManualClock
from peers.codec.run_messages import MAX_HAVE, MAX_SPANS, RunHave
from peers.events.epoch import EpochEnd
from peers.events.reconcile import MAX_FOREIGN
from peers.later import Later
from peers.protocol.session import MAX_QUEUED
from peers.roles.run_relaying import HAVE_MS, RELAY_MS
from tests.support.neighbour import (
    Author,
    Neighbour,
    asked_neighbour,
    bring,
    messages,
    named,
    names_of,
    sent_pieces,
    sent_types,
)
from tests.support.pair import NOW_MS, Mailbox, open_log, sentences

# What is named


def test_events_from_another_link_are_named_at_once() -> None:
    stranger, loft = Neighbour().greet(), Author("loft", 201)
    pieces = [stranger.attic.write("r", "r"), loft.write("r")]

    bring(stranger.log, *pieces)

    assert names_of(stranger.heard) == ["have"]
    assert named(stranger.heard) == [{stranger.attic.epoch: 2, loft.epoch: 1}]


def test_events_from_this_link_are_not_named_on_it() -> None:
    stranger = Neighbour().greet()

    stranger.brings()

    assert stranger.heard == [["synced", 1]]


def test_own_events_are_not_named() -> None:
    stranger = Neighbour().greet()

    stranger.log.add({"type": "own"})

    assert names_of(stranger.heard) == ["pieces"]


def test_only_events_of_a_commit_that_did_not_come_from_the_other_end_are_named() -> None:
    stranger = Neighbour().greet()
    first = stranger.attic.write()
    stranger.sends(first)
    stranger.heard.clear()

    bring(stranger.log, first, stranger.own.write())

    assert named(stranger.heard) == [{stranger.own.epoch: 1}]


def test_many_commits_are_named_in_one_message_in_the_next_turn() -> None:
    mailbox = Mailbox()
    stranger = Neighbour(turn=mailbox.turn)
    mailbox.work()
    stranger.greet()
    mailbox.work()
    stranger.heard.clear()
    for _ in range(5):
        stranger.elsewhere()

    mailbox.work()

    assert named(stranger.heard) == [{stranger.attic.epoch: 5}]
    assert names_of(stranger.heard) == ["have"]


def test_events_of_the_greeting_are_not_named_again() -> None:
    stranger = Neighbour()
    stranger.elsewhere()

    stranger.greet(ends=stranger.attic.ends)

    assert stranger.heard == []


def test_events_that_were_not_named_on_a_lost_link_are_in_the_next_greeting() -> None:
    mailbox = Mailbox()
    stranger = Neighbour(turn=mailbox.turn)
    mailbox.work()
    stranger.greet()
    mailbox.work()
    stranger.elsewhere()
    stranger.theirs.disconnect()

    mailbox.work()  # the reaction to the commit runs after the link has closed
    stranger.heard.clear()
    stranger.dialler.connect()
    stranger.greet(forgets=False)
    mailbox.work()

    assert list(stranger.heard[0][4]["runs"]["newest"]) == [stranger.attic.epoch]
    assert [name for name in names_of(stranger.heard) if name != "same"] == ["connected", "pieces"]
    assert stranger.errors == []


def test_what_comes_soon_after_a_have_is_gathered_for_the_next_one() -> None:
    stranger = Neighbour().greet()

    for _ in range(4):
        stranger.elsewhere()
    assert named(stranger.heard) == [{stranger.attic.epoch: 1}]
    stranger.clock.advance(HAVE_MS)

    assert named(stranger.heard)[1:] == [{stranger.attic.epoch: 4}]


def test_a_have_whose_time_has_come_is_not_sent_on_a_link_that_has_just_closed() -> None:
    mailbox = Mailbox()
    stranger = Neighbour(turn=mailbox.turn)
    mailbox.work()
    stranger.greet()
    mailbox.work()
    for _ in range(2):
        stranger.elsewhere()
        mailbox.work()
    stranger.clock.advance(HAVE_MS)
    stranger.heard.clear()

    stranger.theirs.disconnect()  # before the turn of the timer
    mailbox.work()

    assert stranger.heard == [] and stranger.errors == []


def test_events_that_are_committed_during_the_greeting_are_named_after_it() -> None:
    verdict: Later[bool] = Later()
    stranger = Neighbour(auth=lambda _token, _node_id: verdict).greet()
    stranger.elsewhere()
    assert stranger.heard == []

    verdict.set(True)

    assert named(stranger.heard) == [{stranger.attic.epoch: 1}]


# What is not sent for that reason


def test_events_that_were_not_named_are_passed_on_after_the_wait() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere()

    stranger.clock.advance(RELAY_MS - 1)
    assert sent_pieces(stranger.heard) == []
    stranger.clock.advance(1)

    assert sent_types(stranger.heard) == [["r"]]


def test_events_that_the_other_end_names_during_the_wait_are_not_sent() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere()
    assert (stranger.role.state, stranger.role.lag) == ("sending", 1)

    stranger.names()
    stranger.clock.advance(RELAY_MS)

    assert sent_pieces(stranger.heard) == []
    assert (stranger.role.state, stranger.role.lag) == ("synchronized", 0)


def test_events_that_the_other_end_has_named_before_neither_wait_nor_are_sent() -> None:
    stranger = Neighbour().greet()
    piece = stranger.attic.write()

    stranger.names()
    bring(stranger.log, piece)

    assert names_of(stranger.heard) == ["have"]
    assert (stranger.role.state, stranger.role.lag) == ("synchronized", 0)


def test_only_events_that_were_not_named_are_sent() -> None:
    stranger, loft = Neighbour().greet(), Author("loft", 201)
    stranger.elsewhere("r1", "r2")
    end = stranger.attic.end
    stranger.elsewhere("r3")
    bring(stranger.log, loft.write("r4"))

    stranger.tell(RunHave({stranger.attic.epoch: end, loft.epoch: loft.end, "0" * 32: EpochEnd(9, bytes(16))}))
    stranger.clock.advance(2 * RELAY_MS)

    assert sent_types(stranger.heard) == [["r3"]]


def test_events_that_are_named_while_changes_are_read_are_not_sent_with_them() -> None:
    stranger, log = asked_neighbour()
    loft = Author("loft", 201)
    stranger.elsewhere("r1")
    bring(log, loft.write("r2"))
    stranger.clock.advance(2 * RELAY_MS)  # the changes are asked for

    stranger.names()
    log.answer()

    assert sent_types(stranger.heard) == [["r2"]]


def test_an_own_event_that_the_other_end_names_is_not_sent() -> None:
    stranger, log = asked_neighbour()
    log.add({"type": "own"})
    epoch = stranger.role.epoch

    stranger.tell(RunHave({epoch: log.ends.get(epoch)}))  # it got the event over another link
    log.answer()

    assert stranger.heard == []
    assert (stranger.role.state, stranger.role.lag) == ("synchronized", 0)


def test_names_of_the_last_link_do_not_count_on_the_next() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere().names()
    stranger.theirs.disconnect()

    stranger.dialler.connect()
    stranger.greet(forgets=False)  # its disk was wiped

    assert sent_types(stranger.heard) == [["r"]]


# Faulty messages

EPOCH = "0" * 32
HEAD = "AAAAAAAAAAAAAAAAAAAAAA=="


@pytest.mark.parametrize(
    "items",
    [
        [],
        [None],
        [[]],
        ["e"],
        [{EPOCH: None}],
        [{EPOCH: [-1, HEAD]}],
        [{EPOCH: [2**53, HEAD]}],
        [{EPOCH: ["1", HEAD]}],
        [{EPOCH: [1.5, HEAD]}],
        [{EPOCH: [1, "AAAA"]}],
        [{EPOCH: [1, HEAD, HEAD, 1]}],
        [{"": [1, HEAD]}],
        [{"0" * 31: [1, HEAD]}],
        [{"0" * 33: [1, HEAD]}],
        [{EPOCH[1:] + "\n": [1, HEAD]}],
        [{}, [[EPOCH, 0, 1]]],
        [{}, [[EPOCH, 1]]],
        [{}, [[EPOCH, 1, 2]] * (MAX_SPANS + 1)],
    ],
    ids=lambda items: str(items)[:40],
)
def test_a_malformed_have_is_a_wrong_format(items: list[Any]) -> None:
    stranger = Neighbour().greet()

    stranger.say("have", *items)

    assert stranger.heard[-1][:2] == ["error", "wrong-format"]
    assert len(sentences(stranger.errors)) == 1
    assert not stranger.connected


def test_an_empty_have_changes_nothing() -> None:
    stranger = Neighbour().greet()

    stranger.say("have", {})

    assert stranger.connected and stranger.heard == []


def test_a_have_before_the_greeting_is_refused() -> None:
    stranger = Neighbour()

    stranger.tell(RunHave({EPOCH: EpochEnd(1, bytes(16))}))

    assert stranger.heard[-1] == ["error", "missed-auth", "have"]
    assert not stranger.connected


def test_a_have_that_arrives_while_auth_decides_counts() -> None:
    verdict: Later[bool] = Later()
    stranger = Neighbour(auth=lambda _token, _node_id: verdict).greet()
    piece = stranger.attic.write()
    stranger.names()
    assert stranger.connected

    verdict.set(True)
    bring(stranger.log, piece)
    stranger.clock.advance(RELAY_MS)

    assert sent_pieces(stranger.heard) == []


def test_any_number_of_have_messages_may_arrive_while_auth_decides() -> None:
    verdict: Later[bool] = Later()
    stranger = Neighbour(auth=lambda _token, _node_id: verdict).greet()

    for number in range(1, 2 * MAX_QUEUED):
        stranger.tell(RunHave({EPOCH: EpochEnd(number, bytes(16))}))
    verdict.set(True)

    assert stranger.connected
    assert stranger.errors == []


def test_a_malformed_have_while_auth_decides_is_a_wrong_format_too() -> None:
    stranger = Neighbour(auth=lambda _token, _node_id: Later()).greet()

    stranger.say("have", {EPOCH: [-1, HEAD]})

    assert stranger.heard[-1][:2] == ["error", "wrong-format"]
    assert not stranger.connected


def test_what_is_remembered_of_the_other_ends_epochs_is_limited() -> None:
    log = open_log("home", ManualClock(NOW_MS))
    stranger = Neighbour(log=log).greet()
    attic = stranger.attic.write()

    for number in range(0, 2 * MAX_FOREIGN, MAX_HAVE):
        stranger.tell(RunHave({f"{n:032x}": EpochEnd(1, bytes(16)) for n in range(number, number + MAX_HAVE)}))
    stranger.names()  # of an epoch that is not known here, and one too many
    bring(log, attic)
    stranger.clock.advance(RELAY_MS)

    assert sent_types(stranger.heard) == [["r"]]
    stranger.elsewhere("again").names()
    stranger.clock.advance(2 * RELAY_MS)
    assert sent_types(stranger.heard) == [["r"]]  # of what is held here it is remembered
    assert len(messages(stranger.heard, "error")) == 0
