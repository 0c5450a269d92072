"""How many examples the property tests draw: enough for every run, or HYPOTHESIS_PROFILE=thorough for a night.

The order of the files, and no leaks.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from operator import itemgetter
from pathlib import Path

import pykka
import pytest
from hypothesis import HealthCheck, settings

# Else each of the many processes that tests start compiles every module again: half of their time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long it takes to make examples says how busy the machine is.
settings.register_profile("quick", max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


_ACTORS = pytest.StashKey[dict[str, pykka.ActorRef[pykka.Actor]]]()
"""Those that ran at the end of the test before."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end: the garbage collector never looks at it, neither meanwhile nor in the tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


WAITING = ("live", "logux", "page")
"""Folders whose tests wait for processes and networks more than they compute."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Spread the files of tests that wait among the others, so that the processors always have something to do.

    Within both, those of many tests come first: what is left to one process at the end is short.
    """
    if not hasattr(config, "workerinput"):
        return
    folder = Path(__file__).parent
    kinds: dict[bool, dict[Path, list[pytest.Item]]] = {True: {}, False: {}}
    for item in items:
        is_waiting = item.path.relative_to(folder).parts[0] in WAITING
        kinds[is_waiting].setdefault(item.path, []).append(item)
    places: list[tuple[float, list[pytest.Item]]] = []
    for files in kinds.values():
        before, total = 0, sum(map(len, files.values()))
        for tests in sorted(files.values(), key=len, reverse=True):
            places.append((before / total, tests))
            before += len(tests)
    items[:] = [item for _, tests in sorted(places, key=itemgetter(0)) for item in tests]


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """A test that leaves an actor alive fails, not the next one that looks. Those of a fixture that lives on are allowed."""
    before = item.config.stash.get(_ACTORS, {})
    yield
    left = {ref.actor_urn: ref for ref in pykka.ActorRegistry.get_all()}
    item.config.stash[_ACTORS] = left
    assert not left.keys() - before.keys(), f"actors left: {[str(ref) for ref in left.values()]}"
