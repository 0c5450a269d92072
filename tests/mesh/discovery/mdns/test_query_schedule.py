"""When discovery queries again."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from mesh.discovery.mdns.query_schedule import QuerySchedule, requery_pauses
from peers.clock import ManualClock


@pytest.mark.parametrize(
    ("requery_seconds", "pauses"),
    [(45.0, [0, 1, 2, 6, 18]), (4.0, [0, 1, 2, 4, 4]), (1.0, [0, 1, 1, 1, 1])],
)
def test_queries_several_times_soon(requery_seconds: float, pauses: list[float]) -> None:
    assert list(itertools.islice(requery_pauses(requery_seconds, Random(1)), 5)) == pauses


def test_queries_steadily_later_with_jitter() -> None:
    steady = list(itertools.islice(requery_pauses(45, Random(1)), 5, 205))

    assert 36 <= min(steady) < 38
    assert 52 < max(steady) <= 54


def test_queries_again_after_a_restart_but_never_within_a_second() -> None:
    clock = ManualClock()
    asked: list[float] = []
    requery = QuerySchedule(clock, Random(1), lambda: asked.append(clock.elapsed_ms()), requery_seconds=45)

    requery.restart()
    clock.advance(3_500)
    for _ in range(8):  # as when eight sessions end one after the other
        requery.restart()
        clock.advance(100)
    clock.advance(2_000)
    requery.stop()

    assert asked == [0, 1000, 3000, 4000, 5000, 6000]
    assert clock.waiting == 0
