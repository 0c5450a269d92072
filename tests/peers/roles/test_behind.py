"""Since when the other end is behind, from confirmed positions and the clock."""

from __future__ import annotations

import pytest

from peers.roles.behind import Behind
from tests.support.neighbour import Neighbour


@pytest.mark.parametrize(
    ("notes", "since_ms", "is_from_start"),
    [
        ([], None, False),
        ([(5, 5, 10.0)], None, False),
        ([(3, 5, 10.0)], 10.0, True),
        ([(3, 5, 10.0), (4, 9, 20.0)], 10.0, True),
        ([(3, 5, 10.0), (5, 5, 20.0)], None, False),
        ([(3, 5, 10.0), (5, 9, 20.0)], 20.0, False),
        ([(5, 5, 10.0), (5, 6, 20.0), (5, 7, 30.0)], 20.0, False),
        ([(5, 5, 10.0), (5, 6, 20.0), (6, 7, 30.0)], 30.0, False),
    ],
    ids=str,
)
def test_an_end_is_behind_since_it_was_last_known_to_have_all_events(
    notes: list[tuple[int, int, float]], since_ms: float | None, is_from_start: bool
) -> None:
    behind = Behind()

    for note in notes:
        behind.note(*note)

    assert (behind.since_ms, behind.is_from_start) == (since_ms, is_from_start)


def test_an_end_that_confirms_nothing_is_behind_since_our_first_event() -> None:
    stranger = Neighbour(timeout=None, ping=None).greet()
    assert stranger.role.behind.since_ms is None
    stranger.clock.advance(1_000)
    began = stranger.clock.elapsed_ms()
    stranger.log.add({"type": "a"})
    stranger.clock.advance(1_000)
    stranger.log.add({"type": "b"})
    assert stranger.role.behind.since_ms == began

    stranger.confirms()

    assert stranger.role.behind.since_ms is None
