"""With many neighbours: what came from others is gathered for a while, then told in one message."""

from __future__ import annotations

from peers.roles.peer import RELAY_MS
from peers.roles.untold import MAX_UNTOLD
from tests.support.pair import Stranger, hello, received, sent_types, syncs

GATHER_MS = 50.0


def gathering(ms: float = GATHER_MS) -> Stranger:
    """Somebody who has met an end with many neighbours."""
    return Stranger(gather_ms=lambda: ms).greet()


def test_many_commits_of_a_while_are_told_in_one_message() -> None:
    stranger = gathering()
    for seq in range(1, 6):
        stranger.log.add_entries([received(seq)])
        stranger.clock.advance(GATHER_MS / 10)
    assert stranger.heard == []

    stranger.clock.advance(GATHER_MS / 2)

    assert stranger.heard == [["have", {"e": [[1, 5]]}]]


def test_more_commits_than_are_remembered_one_by_one_are_told_all_the_same() -> None:
    stranger = gathering()
    for seq in range(1, 3 * MAX_UNTOLD):
        stranger.log.add_entries([received(seq)])

    stranger.clock.advance(GATHER_MS)

    assert stranger.heard == [["have", {"e": [[1, 3 * MAX_UNTOLD - 1]]}]]


def test_what_nobody_named_waits_as_long_as_others_may_gather() -> None:
    stranger = gathering()
    stranger.log.add_entries([received(1)])

    stranger.clock.advance(2 * GATHER_MS + RELAY_MS - 1)
    assert syncs(stranger.heard) == []
    stranger.clock.advance(1)

    assert sent_types(stranger.heard) == [["r"]]


def test_what_is_our_own_goes_at_once_and_takes_along_what_was_gathered() -> None:
    stranger = gathering()
    stranger.log.add_entries([received(1)])

    stranger.log.add({"type": "own"})

    assert sent_types(stranger.heard) == [["own"]]
    assert ["have", {"e": [[1, 1]]}] in stranger.heard


def test_each_while_begins_with_what_is_news() -> None:
    stranger = gathering()
    stranger.log.add_entries([received(1)])
    stranger.clock.advance(GATHER_MS)
    stranger.heard.clear()

    stranger.log.add_entries([received(2)])
    stranger.clock.advance(GATHER_MS - 1)
    assert stranger.heard == []
    stranger.clock.advance(1)

    assert stranger.heard == [["have", {"e": [[2, 2]]}]]


def test_what_was_gathered_for_a_lost_link_is_in_the_next_greeting() -> None:
    stranger = gathering()
    stranger.log.add_entries([received(1)])
    stranger.dialler.disconnect()
    stranger.heard.clear()

    stranger.dialler.connect()
    stranger.say("connect", 5, "stranger", 0, {"peer": hello()})

    assert stranger.heard[0][4]["peer"]["vector"] == {"e": [[1, 1]]}


def test_nothing_is_left_to_happen_once_it_is_destroyed() -> None:
    stranger = gathering()
    stranger.log.add_entries([received(1)])

    stranger.role.destroy()
    stranger.clock.advance(10 * GATHER_MS)

    assert stranger.heard == []
    assert stranger.errors == []
