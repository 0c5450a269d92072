"""What the other end gets from the nodes that it is connected with is not passed on, unless it does not come."""

from __future__ import annotations

import json

import msgspec

from peers.codec.run_messages import LINK_BYTES, MAX_LINKS, RunHave
from peers.roles.neighbours import Neighbours
from peers.roles.run_relaying import HAVE_MS, LINKS_MS, RELAY_MS, SERVED_MS
from tests.support.neighbour import Author, Neighbour, bring, messages, sent_pieces, sent_types
from tests.support.pair import NOW_MS, ManualClock, fill, open_log

ATTIC = Author().writer.signer.public[:LINK_BYTES]
"""The third node of a Neighbour, as a `have` names it."""
OTHER = bytes(LINK_BYTES)


def links_told(stranger: Neighbour) -> list[frozenset[bytes]]:
    """What the role said of its links."""
    said = [msgspec.json.decode(json.dumps(each), type=RunHave) for each in messages(stranger.heard, "have")]
    return [frozenset(have.links) for have in said if have.links is not None]


def linked(*others: bytes) -> RunHave:
    return RunHave({}, links=others)


def served() -> Neighbour:
    """A scripted end that is connected with the attic, as it says."""
    stranger: Neighbour = Neighbour(timeout=None, ping=None).greet()
    return stranger.tell(linked(ATTIC, OTHER))


def test_events_of_a_node_that_the_other_end_is_connected_with_wait_longer() -> None:
    stranger = served().elsewhere()

    stranger.clock.advance(SERVED_MS - 1)
    assert sent_pieces(stranger.heard) == []
    stranger.clock.advance(1)

    assert sent_types(stranger.heard) == [["r"]]


def test_they_are_passed_on_at_once_when_that_link_is_lost() -> None:
    stranger = served().elsewhere()

    stranger.tell(linked(OTHER))

    assert sent_types(stranger.heard) == [["r"]]


def test_they_wait_no_longer_than_others_after_that_link_was_lost() -> None:
    stranger = served().tell(linked())
    stranger.elsewhere()

    stranger.clock.advance(RELAY_MS)

    assert sent_types(stranger.heard) == [["r"]]


def test_a_lost_link_that_nothing_waited_for_changes_nothing() -> None:
    stranger = served().elsewhere().names()

    stranger.tell(linked())
    stranger.clock.advance(SERVED_MS)

    assert sent_pieces(stranger.heard) == []


def test_events_of_another_node_do_not_wait_for_them() -> None:
    stranger, loft = served().elsewhere("waits"), Author("loft", 201)

    bring(stranger.log, loft.write("goes"))
    stranger.clock.advance(RELAY_MS)

    assert ["goes"] in [names[-1:] for names in sent_types(stranger.heard)]


def test_an_end_that_names_all_that_waited_is_in_sync_at_once() -> None:
    stranger = served().elsewhere()
    assert stranger.role.state == "sending"

    stranger.names()

    assert (stranger.role.state, stranger.role.lag) == ("synchronized", 0)


def test_links_of_the_last_connection_do_not_count_on_the_next() -> None:
    stranger = served()
    stranger.theirs.disconnect()
    stranger.dialler.connect()
    stranger.greet()

    stranger.elsewhere()
    stranger.clock.advance(RELAY_MS)

    assert sent_types(stranger.heard) == [["r"]]


def test_an_end_with_very_many_connections_names_some() -> None:
    neighbours = Neighbours()
    stranger = Neighbour(neighbours=neighbours).greet()
    for number in range(MAX_LINKS + 1):
        neighbours.begin(number, number.to_bytes(LINK_BYTES, "big"))

    stranger.clock.advance(LINKS_MS * (MAX_LINKS + 1))

    assert len(links_told(stranger)[0]) == MAX_LINKS


def test_each_end_is_told_of_the_other_connections_once_after_they_changed() -> None:
    log, neighbours = open_log("home", ManualClock(NOW_MS)), Neighbours()
    keys = [bytes([number]) * 32 for number in range(3)]
    first, second, third = (Neighbour(log=log, neighbours=neighbours).greet(key=key) for key in keys)
    assert links_told(first) == []

    first.clock.advance(LINKS_MS)
    second.clock.advance(LINKS_MS)
    assert links_told(first) == [{keys[1][:LINK_BYTES], keys[2][:LINK_BYTES]}]
    assert links_told(second) == [{keys[0][:LINK_BYTES], keys[2][:LINK_BYTES]}]
    third.theirs.disconnect()
    first.clock.advance(LINKS_MS)

    assert links_told(first)[1:] == [{keys[1][:LINK_BYTES]}]


def test_an_end_without_a_key_is_not_named_to_others() -> None:
    log, neighbours = open_log("home", ManualClock(NOW_MS)), Neighbours()
    first = Neighbour(log=log, neighbours=neighbours).greet(key=bytes([1]) * 32)
    Neighbour(log=log, neighbours=neighbours).greet(key=b"")

    first.clock.advance(LINKS_MS)

    assert links_told(first) == []


def test_an_end_without_other_connections_says_nothing_of_them() -> None:
    stranger = Neighbour(neighbours=Neighbours()).greet()
    fill(stranger.log, 3)
    stranger.clock.advance(LINKS_MS + HAVE_MS)

    assert links_told(stranger) == []


def test_neighbours_know_of_which_epochs_others_have_more_as_long_as_these_are_connected() -> None:
    neighbours = Neighbours()
    for number, lacked in enumerate([set(), {"aa", "bb"}, {"bb", "cc"}]):
        neighbours.begin(number, number.to_bytes(LINK_BYTES, "big"), lambda lacked=lacked: lacked)
    assert (neighbours.count, neighbours.lacked) == (3, {"aa", "bb", "cc"})

    neighbours.end(1)

    assert (neighbours.count, neighbours.lacked) == (2, {"bb", "cc"})


def test_of_a_node_with_many_links_the_clock_counts_once() -> None:
    neighbours, honest, liar = Neighbours(), bytes([1]) * 32, bytes([2]) * 32
    neighbours.begin("attic", honest, ahead_ms=3)
    for number in range(4):
        neighbours.begin(number, liar, ahead_ms=10**12 + number)

    assert neighbours.clock_ahead_ms == 3

    neighbours.end("attic")
    assert neighbours.clock_ahead_ms == 10**12
