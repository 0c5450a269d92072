"""Homes of one mesh, which get facts of it, and what they say to each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from peers.facts.fact import Fact
from tests.support.mesh_of_keys import MeshOfKeys, key
from tests.support.replication.home import Home, Session
from tests.support.replication.kits import MemoryKit
from tests.support.replication.small_stories import SmallStage


def stage_of(
    mesh: MeshOfKeys, count: int, *, without: Iterable[int] = ()
) -> tuple[SmallStage, list[Home], list[tuple[Home, Home, Any]]]:
    """Homes of one mesh, but those, with the keys of anna, dora and others; and what they say to each other."""
    stage = SmallStage(MemoryKit(), count)
    said: list[tuple[Home, Home, Any]] = []

    def note(session: Session, message: Any) -> list[Any]:
        said.append((session.home, session.other.home, message))
        return [message]

    for number, home in enumerate(stage.homes):
        home.twist = note
        home.use_key(key(("anna", "dora", "emil", "fred")[number]))
        if number not in without:
            enter(home, mesh)
    return stage, stage.homes, said


def enter(home: Home, mesh: MeshOfKeys) -> None:
    home.store.close()
    home.store.enter_mesh(mesh.public)
    home.restart()


def learn(home: Home, *facts: Fact) -> None:
    """The home gets facts by itself, as a command does it."""
    home.write(lambda store: [store.learn(facts)])
    while home.mailbox.is_busy:
        home.mailbox.step()


def settle(stage: SmallStage, *homes: Home) -> None:
    """All meet in a ring, and adopt what is theirs to adopt, until nothing moves."""
    for _ in range(3):
        for at, home in enumerate(homes):
            stage.meet(home, homes[(at + 1) % len(homes)])
        for home in homes:
            home.adopt()
            stage.quiet()
