"""The smallest stories, honest and hostile, each for one rule; also over the codec of the wire."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.replication.hostile_stories import HOSTILE_STORIES
from tests.support.replication.kits import Kit, MemoryKit
from tests.support.replication.small import small
from tests.support.replication.small_stories import SMALL_STORIES


@pytest.mark.parametrize("name", SMALL_STORIES)
def test_the_smallest_stories_end_with_equal_logs(name: str) -> None:
    with small():
        SMALL_STORIES[name](MemoryKit())


@pytest.mark.parametrize("story", HOSTILE_STORIES, ids=lambda story: story.__name__)
def test_a_villain_ends_its_own_link_at_most(story: Callable[[Kit], str]) -> None:
    with small():
        said = story(MemoryKit())

    assert re.search(HOSTILE_STORIES[story], said), said
