"""Random stories of homes with real stores: whatever happens to them, their logs end equal and nothing is lost."""

from __future__ import annotations

import pytest

from tests.support.replication.kits import MemoryKit
from tests.support.replication.small import small
from tests.support.replication.small_stories import SMALL_STORIES
from tests.support.replication.story import Story


@pytest.mark.parametrize("seed", range(40))
def test_the_logs_of_honest_homes_end_equal(seed: int) -> None:
    with small():
        Story(MemoryKit(), seed).play()


@pytest.mark.parametrize("name", SMALL_STORIES)
def test_the_smallest_stories_end_well(name: str) -> None:
    with small():
        SMALL_STORIES[name](MemoryKit())
