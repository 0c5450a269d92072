"""Live nodes of one mesh of which one home was copied, and is used twice."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from mesh.membership.diagnosis.clones import TAKEN_REASON
from mesh.node import Node
from tests.support.street import at, types, wait_until
from tests.support.trusted_street import TrustedStreet

REFUSED_SECONDS = 10.0


def test_two_machines_with_one_home_that_no_node_is_connected_with_at_once_say_so_themselves_and_nothing_is_lost(
    street: TrustedStreet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.node_resources.MAX_DRIFT_MS", 0)
    street.start("kitchen").stop()
    shutil.copytree(tmp_path / "kitchen", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock", "lock"))
    kitchen = street.start("kitchen")
    said_by_kitchen = street.notices["kitchen"]
    copy = street.start("kitchen", home=tmp_path / "copy")
    study = street.start("study", peers=[at(kitchen)])
    attic = street.start("attic", peers=[at(copy), at(study)])

    for number in range(2):
        for node in (kitchen, copy):
            node.log.add({"type": f"{number}"}).get()
            wait_until(lambda: len({tuple(types(each)) for each in (kitchen, copy, study, attic)}) == 1, "all have it")

    assert types(study) == ["0", "0", "1", "1"]
    for said in (said_by_kitchen, street.notices["kitchen"]):
        wait_until(lambda: [each.kind for each in said].count("cloned") == 1, "it says so once")  # noqa: B023


def sessions(node: Node) -> list[str]:
    return [row["session"] for row in node.status().get()["peers"] if row["session"] == "synchronized"]


def test_both_machines_with_one_home_are_refused_until_one_stops_and_then_the_other_is_back(
    street: TrustedStreet, tmp_path: Path
) -> None:
    attic = street.start("attic")
    kitchen = street.start("kitchen", peers=[at(attic)])
    kitchen.log.add({"type": "monday"}).get()
    street.converge(attic, kitchen, events=1)
    kitchen.stop()
    shutil.copytree(tmp_path / "kitchen", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock", "lock"))

    began = time.monotonic()
    kitchen = street.start("kitchen", peers=[at(attic)])
    copy = street.start("kitchen", home=tmp_path / "copy", peers=[at(attic)])
    wait_until(lambda: "cloned" in street.kinds("attic"), "the attic has seen both")
    wait_until(lambda: not sessions(attic), "both are refused")
    assert time.monotonic() - began < REFUSED_SECONDS
    (said,) = [notice.sentence for notice in street.notices["attic"] if notice.kind == "cloned"]
    assert said.startswith(f"two machines run as {kitchen.node_id}: stop one of the two; they are at 127.0.0.1; ")
    assert "retry" not in said and "in an empty home (which has to join the mesh, unless it is open)" in said
    wait_until(lambda: not sessions(kitchen) and not sessions(copy), "neither has a session")
    reasons = lambda: {row["reason"] for node in (kitchen, copy) for row in node.status().get()["peers"]}  # noqa: E731
    wait_until(lambda: reasons() == {f"it turns us away: {TAKEN_REASON}"}, "each of the two says why")

    copy.stop()
    deadline = time.monotonic() + 30
    while not sessions(kitchen):
        assert time.monotonic() < deadline, "the kitchen is not back"
        time.sleep(0.05)
    kitchen.log.add({"type": "tuesday"}).get()
    wait_until(lambda: types(attic) == ["monday", "tuesday"], "it goes on")
