"""With many neighbours, events of other nodes are gathered for a time and then named in one message."""

from __future__ import annotations

from peers.roles.peer import RELAY_MS
from peers.roles.untold import MAX_UNTOLD
from tests.support.pair import Stranger, hello, received, sent_types, syncs

GATHER_MS = 50.0


def gathering(ms: float = GATHER_MS) -> Stranger:
    """A scripted end that is connected to an end with many neighbours."""
    return Stranger(gather_ms=lambda: ms).greet()


def test_many_commits_of_one_gathering_are_named_in_one_message() -> None:
    stranger = gathering()
    for seq in range(1, 6):
        stranger.log.add_entries([received(seq)])
        stranger.clock.advance(GATHER_MS / 10)
    assert stranger.heard == []

    stranger.clock.advance(GATHER_MS / 2)

    assert stranger.heard == [["have", {"e": [[1, 5]]}]]


def test_more_commits_than_are_kept_separately_are_named_too() -> None:
    stranger = gathering()
    for seq in range(1, 3 * MAX_UNTOLD):
        stranger.log.add_entries([received(seq)])

    stranger.clock.advance(GATHER_MS)

    assert stranger.heard == [["have", {"e": [[1, 3 * MAX_UNTOLD - 1]]}]]


def test_events_that_were_not_named_wait_as_long_as_other_nodes_may_gather() -> None:
    stranger = gathering()
    stranger.log.add_entries([received(1)])

    stranger.clock.advance(2 * GATHER_MS + RELAY_MS - 1)
    assert syncs(stranger.heard) == []
    stranger.clock.advance(1)

    assert sent_types(stranger.heard) == [["r"]]


def test_own_events_are_sent_at_once_together_with_gathered_ones() -> None:
    stranger = gathering()
    stranger.log.add_entries([received(1)])

    stranger.log.add({"type": "own"})

    assert sent_types(stranger.heard) == [["own"]]
    assert ["have", {"e": [[1, 1]]}] in stranger.heard


def test_each_gathering_begins_with_the_next_commit() -> None:
    stranger = gathering()
    stranger.log.add_entries([received(1)])
    stranger.clock.advance(GATHER_MS)
    stranger.heard.clear()

    stranger.log.add_entries([received(2)])
    stranger.clock.advance(GATHER_MS - 1)
    assert stranger.heard == []
    stranger.clock.advance(1)

    assert stranger.heard == [["have", {"e": [[2, 2]]}]]


def test_events_gathered_for_a_lost_link_are_in_the_next_greeting() -> None:
    stranger = gathering()
    stranger.log.add_entries([received(1)])
    stranger.dialler.disconnect()
    stranger.heard.clear()

    stranger.dialler.connect()
    stranger.say("connect", 5, "stranger", 0, {"peer": hello()})

    assert stranger.heard[0][4]["peer"]["vector"] == {"e": [[1, 1]]}


def test_destroy_cancels_a_gathering() -> None:
    stranger = gathering()
    stranger.log.add_entries([received(1)])

    stranger.role.destroy()
    stranger.clock.advance(10 * GATHER_MS)

    assert stranger.heard == []
    assert stranger.errors == []
