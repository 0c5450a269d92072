"""Stores that have taken the same have the same ends and show the same, whatever happened before."""

from __future__ import annotations

from copy import deepcopy
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.stores.runs import epochs, writing
from peers.stores.runs.memory import MemoryRunStore
from tests.support.run_histories import History, Step, histories

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _copied(store: MemoryRunStore) -> MemoryRunStore:
    return deepcopy(store)


@QUIET
@given(histories, st.sampled_from([2, 4, 500]))
def test_nodes_that_meet_end_equal_after_any_history(steps: list[Step], run_entries: int) -> None:
    with patch.object(writing, "RUN_ENTRIES", run_entries), patch.object(epochs, "MAX_OPEN_RUNS", run_entries):
        history = History(MemoryRunStore, _copied)
        history.play(steps)
        history.meet()
