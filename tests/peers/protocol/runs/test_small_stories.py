"""The smallest stories, honest and hostile, each for one rule."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.replication.hostile_stories import HOSTILE_STORIES
from tests.support.replication.kits import Kit, MemoryKit, SqliteKit
from tests.support.replication.small import small
from tests.support.replication.small_stories import SMALL_STORIES

GO_ON = {"two_live_copies", "resumed_snapshot", "resumed_snapshot_that_hears_first"}
"""Those in which a copied store goes on in the same epoch."""


@pytest.mark.parametrize("name", SMALL_STORIES)
def test_the_smallest_stories_end_with_equal_logs(name: str) -> None:
    with small():
        SMALL_STORIES[name](MemoryKit())


@pytest.mark.parametrize("name", sorted(SMALL_STORIES.keys() - GO_ON))
def test_they_do_so_with_stores_on_disk(name: str, tmp_path: Path) -> None:
    kit = SqliteKit(tmp_path)
    with small():
        SMALL_STORIES[name](kit)
    kit.close()


@pytest.mark.parametrize("story", HOSTILE_STORIES, ids=lambda story: story.__name__)
def test_a_villain_ends_its_own_link_at_most(story: Callable[[Kit], str]) -> None:
    with small():
        said = story(MemoryKit())

    assert re.search(HOSTILE_STORIES[story], said), said
