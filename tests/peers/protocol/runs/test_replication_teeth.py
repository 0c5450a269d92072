"""Each rule is broken in turn: a story has to notice."""

from __future__ import annotations

import pytest

from tests.support.replication.hostile_stories import other_signature
from tests.support.replication.kits import MemoryKit
from tests.support.replication.small import small
from tests.support.replication.small_stories import SMALL_STORIES
from tests.support.replication.story import Story
from tests.support.replication.teeth import TEETH

MOST = 60
"""Stories that are played until one notices."""


def notice() -> object:
    """What breaks first."""
    for story in (*SMALL_STORIES.values(), other_signature):
        try:
            story(MemoryKit())
        except (AssertionError, LookupError) as error:
            return error
    for seed in range(MOST):
        try:
            Story(MemoryKit(), seed, villains=(1 + seed % 2) * (seed % 3 == 2)).play()
        except AssertionError as error:
            return error
    return None


@pytest.mark.parametrize("name", TEETH)
def test_a_broken_rule_is_noticed(name: str) -> None:
    with small(), TEETH[name]():
        assert notice() is not None
