"""Random stories of homes with real stores: whatever happens to them, their logs end equal and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.replication.kits import MemoryKit, SqliteKit
from tests.support.replication.small import small
from tests.support.replication.story import Story


def villains(seed: int) -> int:
    return (1 + seed % 2) * (seed % 3 == 2)


def play(seeds: range, *, is_coded: bool = False) -> None:
    with small():
        for seed in seeds:
            Story(MemoryKit(), seed, villains=villains(seed), is_coded=is_coded).play()


@pytest.mark.parametrize("first", range(0, 100, 10))
def test_whatever_happens_the_logs_of_honest_homes_end_equal(first: int) -> None:
    play(range(first, first + 10))


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 4_000, 100))
def test_in_thousands_of_stories_the_logs_of_honest_homes_end_equal(first: int) -> None:
    play(range(first, first + 100))


@pytest.mark.parametrize("first", range(5_000, 5_020, 5))
def test_stories_end_well_when_each_message_passes_the_wire(first: int) -> None:
    play(range(first, first + 5), is_coded=True)


@pytest.mark.long
@pytest.mark.parametrize("first", range(5_100, 5_600, 50))
def test_hundreds_of_stories_end_well_when_each_message_passes_the_wire(first: int) -> None:
    play(range(first, first + 50), is_coded=True)


def play_on_disk(seeds: range, folder: Path) -> None:
    with small():
        for seed in seeds:
            kit = SqliteKit(folder / str(seed))
            Story(kit, seed, villains=villains(seed)).play()
            kit.close()


@pytest.mark.parametrize("first", range(6_000, 6_012, 3))
def test_stories_end_well_with_stores_on_disk(first: int, tmp_path: Path) -> None:
    play_on_disk(range(first, first + 3), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("first", range(6_100, 6_400, 20))
def test_hundreds_of_stories_end_well_with_stores_on_disk(first: int, tmp_path: Path) -> None:
    play_on_disk(range(first, first + 20), tmp_path)
