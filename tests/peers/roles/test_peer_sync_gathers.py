"""With many neighbours, events of other nodes are gathered for a time and then named in one message."""

from __future__ import annotations

import pytest

from peers.roles.neighbours import Neighbours
from peers.roles.run_relaying import CROWD_GATHER_MS, FEW_OF_ADDRESS, RELAY_MS
from tests.support.neighbour import Neighbour, named, names_of, sent_pieces, sent_types
from tests.support.pair import Stranger

GATHER_MS = 50.0


def gathering(ms: float = GATHER_MS) -> Stranger:
    """A scripted end that is connected to an end with many neighbours."""
    return Neighbour(gather_ms=lambda: ms).greet()


def test_many_commits_of_one_gathering_are_named_in_one_message() -> None:
    stranger = gathering()
    for _ in range(1, 6):
        stranger.elsewhere()
        stranger.clock.advance(GATHER_MS / 10)
    assert stranger.heard == []

    stranger.clock.advance(GATHER_MS / 2)

    assert named(stranger.heard) == [{stranger.attic.epoch: 5}] and len(stranger.heard) == 1


def test_events_of_others_are_gathered_while_our_own_commits_of_this_link_are_answered() -> None:
    stranger = gathering()

    for _ in range(5):
        stranger.elsewhere()
        stranger.brings()
    assert names_of(stranger.heard) == ["synced"] * 5
    stranger.clock.advance(GATHER_MS)

    assert named(stranger.heard) == [{stranger.attic.epoch: 5}]


def test_events_that_were_not_named_wait_as_long_as_other_nodes_may_gather() -> None:
    stranger = gathering()
    stranger.elsewhere()

    stranger.clock.advance(2 * GATHER_MS + RELAY_MS - 1)
    assert sent_pieces(stranger.heard) == []
    stranger.clock.advance(1)

    assert sent_types(stranger.heard) == [["r"]]


def test_own_events_are_sent_at_once_together_with_gathered_ones() -> None:
    stranger = gathering()
    stranger.elsewhere()

    stranger.log.add({"type": "own"})

    assert sent_types(stranger.heard) == [["own"]]
    assert named(stranger.heard) == [{stranger.attic.epoch: 1}]


def test_each_gathering_begins_with_the_next_commit() -> None:
    stranger = gathering()
    stranger.elsewhere()
    stranger.clock.advance(GATHER_MS)
    stranger.heard.clear()

    stranger.elsewhere()
    stranger.clock.advance(GATHER_MS - 1)
    assert stranger.heard == []
    stranger.clock.advance(1)

    assert named(stranger.heard) == [{stranger.attic.epoch: 2}] and len(stranger.heard) == 1


def test_events_gathered_for_a_lost_link_are_in_the_next_greeting() -> None:
    stranger = gathering()
    stranger.elsewhere()
    stranger.dialler.disconnect()
    stranger.heard.clear()

    stranger.dialler.connect()
    stranger.greet(forgets=False)

    assert list(stranger.heard[0][4]["runs"]["newest"]) == [stranger.attic.epoch]


def test_destroy_cancels_a_gathering() -> None:
    stranger = gathering()
    stranger.elsewhere()

    stranger.role.destroy()
    stranger.clock.advance(10 * GATHER_MS)

    assert stranger.heard == []
    assert stranger.errors == []


def test_the_links_of_one_crowded_address_gather_and_those_of_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours, crowded, beyond = Neighbours(), "192.0.2.1", 5
    for port in range(FEW_OF_ADDRESS + beyond - 1):
        neighbours.begin(object(), b"", address=f"{crowded}:{4000 + port}")
    found = []
    for address in (f"{crowded}:3999", "192.0.2.2:4000"):
        monkeypatch.setattr("tests.support.pair.RecordedConnection.address", address, raising=False)
        found.append(Neighbour(neighbours=neighbours).greet())

    for stranger in found:
        stranger.elsewhere()
        stranger.elsewhere()

    of_crowd, other = found
    assert named(of_crowd.heard) == [] and len(named(other.heard)) == 1
    of_crowd.clock.advance(beyond * CROWD_GATHER_MS)
    assert named(of_crowd.heard) == [{of_crowd.attic.epoch: 2}]


def test_an_address_whose_links_have_ended_is_crowded_no_more() -> None:
    neighbours, sessions = Neighbours(), [object() for _ in range(3)]
    for session in sessions:
        neighbours.begin(session, b"", address="192.0.2.1:4000")
        neighbours.begin(session, b"", address="192.0.2.1:4000")  # again: it is one session
    assert neighbours.crowd(sessions[0]) == 3

    for session in sessions:
        neighbours.end(session)
        neighbours.end(session)

    assert neighbours.crowd(sessions[0]) == 0
