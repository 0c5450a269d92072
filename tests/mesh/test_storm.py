"""Random stories: writes, walls, crashes, stops and lost disks in any order, and the checker's verdict on each."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from mesh.lab import Cluster, Room

STEPS = 30
WRITE, WALL, HEAL, WAIT, CRASH, RESTART, STOP, LOSE = [
    "write",
    "wall",
    "heal",
    "wait",
    "crash",
    "restart",
    "stop",
    "lose",
]
DECK = [WRITE] * 6 + [WALL, HEAL, WAIT, CRASH, RESTART, RESTART, STOP, LOSE]


def links_of(shape: int, names: list[str]) -> list[tuple[str, str]] | None:
    """Everybody by discovery, a line, or a ring."""
    line = list(pairwise(names))
    return [None, line, [*line, (names[-1], names[0])]][shape]


def is_safe_to_lose(room: Room, house: Cluster) -> bool:
    """Whether another disk holds all that this room acknowledged."""
    others = [other for other in house.rooms.values() if other is not room]
    return any(set(room.acknowledged) <= {entry.created for entry in other.entries} for other in others)


def lose(house: Cluster, room: Room, random: Random) -> None:
    if not is_safe_to_lose(room, house):
        return
    if random.random() < 0.5:
        room.lose_log()
    else:
        house.wipe(room)


def step(house: Cluster, random: Random, count: int) -> None:
    rooms = list(house.rooms.values())
    up = [room for room in rooms if room.is_running]
    down = [room for room in rooms if not room.is_running]
    card = random.choice(DECK)
    if card == WRITE and up:
        for n in range(random.randrange(1, 5)):
            random.choice(up).log.add({"type": f"{count}.{n}"})
    elif card == WALL:
        names = [room.name for room in rooms]
        side = random.sample(names, random.randrange(1, len(names)))
        house.partition(side, [name for name in names if name not in side])
    elif card == HEAL:
        house.heal()
    elif card == WAIT:
        house.run(random.choice([0.001, 0.5, 3, 12, 70]))
    elif card == CRASH and up:
        house.crash(random.choice(up))
    elif card == RESTART and down:
        house.restart(random.choice(down))
    elif card == STOP and up:
        house.stop(random.choice(up))
    elif card == LOSE and down:
        lose(house, random.choice(down), random)
    house.run(random.choice([0, 0.002, 0.1]))


def storm(seed: int) -> None:
    random = Random(seed)
    names = [f"room{n}" for n in range(3 + seed % 3)]
    with Cluster(seed, traces=False) as house:
        house.start(*names, links=links_of(seed // 3 % 3, names))
        for count in range(STEPS):
            step(house, random, count)

        house.heal()
        for room in house.rooms.values():
            if not room.is_running:
                house.restart(room)
        house.settle("the storm is over")
        house.assert_converged()


@pytest.mark.parametrize("first", range(0, 90, 30))
def test_no_storm_breaks_a_promise(first: int) -> None:
    failures = []
    for seed in range(first, first + 30):
        try:
            storm(seed)
        except AssertionError as error:
            failures.append(f"seed {seed}: {error}")

    assert failures == []
