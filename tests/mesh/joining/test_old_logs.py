"""Live nodes: what becomes of events of a time without a mesh, when a home founds one or joins one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.joining_parts import invited, joined
from tests.support.mesh_of_homes import homes_of_one_mesh
from tests.support.street import at, types, wait_until
from tests.support.trusted_street import TrustedStreet


@pytest.fixture
def street(tmp_path: Path) -> Iterator[TrustedStreet]:
    street = TrustedStreet(tmp_path)
    yield street
    street.close()


def open_pair(street: TrustedStreet) -> tuple[Path, Path]:
    """Homes of two open nodes, "porch" and "shed", that have one event of each."""
    porch = street.start("porch", mesh="")
    shed = street.start("shed", mesh="", peers=[at(porch)])
    porch.log.add({"type": "doorbell"}).get()
    wait_until(lambda: types(shed) == ["doorbell"], "the first event")
    shed.log.add({"type": "rake"}).get()
    street.converge(porch, shed, events=2)
    for node in (porch, shed):
        node.stop()
    return porch.home, shed.home


def test_who_founds_a_mesh_vouches_for_the_events_of_others_that_its_log_has(street: TrustedStreet) -> None:
    home, _ = open_pair(street)
    assert b"vouches for 1 event of its log" in run(home, "found").stdout
    porch = street.start("porch")
    joined(street.path / "study", invited(porch), porch)

    study = street.start("study", peers=[at(porch)])

    wait_until(lambda: types(study) == ["doorbell", "rake"], "both events")
    assert [meta.get("vouched") is not None for _, meta in study.log.each()] == [False, True]


def test_who_joins_with_its_log_vouches_for_the_events_of_others_that_it_has(street: TrustedStreet) -> None:
    home, other = open_pair(street)
    homes_of_one_mesh(street.path, "kitchen")
    kitchen = street.start("kitchen")
    joined(home, invited(kitchen, with_log=True), kitchen, with_log=True)

    porch = street.start("porch", peers=[at(kitchen)])

    wait_until(lambda: types(kitchen) == ["doorbell", "rake"], "both events")
    joined(other, invited(kitchen, with_log=True), kitchen, with_log=True)
    shed = street.start("shed", peers=[at(kitchen)])
    street.converge(kitchen, porch, shed, events=2)


def test_a_home_restored_without_keys_joins_like_a_new_one(street: TrustedStreet) -> None:
    homes_of_one_mesh(street.path, "kitchen")
    kitchen = street.start("kitchen")
    kitchen.log.add({"type": "milk"}).get()
    run(kitchen.home, "backup", str(street.path / "backup"))
    restored = street.path / "again" / "kitchen"
    restored.parent.mkdir()
    run(restored, "restore", str(street.path / "backup"))

    joined(restored, invited(kitchen), kitchen)

    again = street.start("kitchen", home=restored, peers=[at(kitchen)])
    again.log.add({"type": "bread"}).get()
    street.converge(kitchen, again, events=2)
