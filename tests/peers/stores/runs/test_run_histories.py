"""Stores that have taken the same have the same ends and show the same, whatever happened before."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import HealthCheck, given, settings

from peers.stores.runs.memory import MemoryRunStore
from tests.support.run_histories import History, Step, histories

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _copied(store: MemoryRunStore) -> MemoryRunStore:
    return deepcopy(store)


@QUIET
@given(histories)
def test_nodes_that_meet_end_equal_after_any_history(steps: list[Step]) -> None:
    history = History(MemoryRunStore, _copied)
    history.play(steps)
    history.meet()
