"""Node.examine: what a node knows of its links, and whether the others can dial it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.node import Node
from mesh.version import __version__
from peers.roles.run_peer import RunPeerSync
from tests.support.street import SECONDS, at, wait_until
from tests.support.trusted_street import TrustedStreet


@pytest.fixture
def street(tmp_path: Path) -> Iterator[TrustedStreet]:
    street = TrustedStreet(tmp_path)
    yield street
    street.close()


def connected(node: Node) -> list[Any]:
    return [peer["session"] for peer in node.status().get(SECONDS)["peers"]]


def met(street: TrustedStreet, **options: Any) -> tuple[Node, Node]:
    kitchen = street.start("kitchen", **options)
    study = street.start("study", peers=[at(kitchen)], **options)
    wait_until(lambda: connected(kitchen) == connected(study) == ["synchronized"], "the two are connected")
    return kitchen, study


@pytest.mark.parametrize("mesh", ["mesh", ""], ids=["members", "open nodes"])
def test_the_other_node_dials_the_port_of_this_one_also_when_it_dialled_first(street: TrustedStreet, mesh: str) -> None:
    kitchen, study = met(street, mesh=mesh)
    before = street.said("kitchen"), street.said("study")

    for node, other in ((kitchen, study), (study, kitchen)):
        (row,) = node.examine().get(SECONDS)

        assert row["node_id"] == other.node_id
        assert row["dialled"] is (node is study)
        assert (row["reached"], row["why"], row["not_dialled"]) == (True, "", "")
        assert row["release"] == __version__
        assert abs(row["clock_ahead_ms"] or 0) < 1000
    wait_until(lambda: connected(kitchen) == connected(study) == ["synchronized"], "the link is as before")
    assert (street.said("kitchen"), street.said("study")) == before
    (again,) = kitchen.examine().get(SECONDS)
    assert again["reached"] is None and "less than 5 s before" in again["not_dialled"]


class SilentSync(RunPeerSync):
    """A node of a release that does not say its release, and does not know what came with it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "release": ""})


def test_a_node_of_an_earlier_release_is_not_asked(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    study = street.start("study", peers=[at(kitchen)], role=SilentSync)
    wait_until(lambda: connected(kitchen) == connected(study) == ["synchronized"], "the two are connected")

    (row,) = kitchen.examine().get(SECONDS)

    assert (row["release"], row["reached"], row["not_dialled"]) == ("", None, "")


class PointingSync(RunPeerSync):
    """A member that asks others to dial a port at which another node listens."""

    port = 0

    def ask_reach(self, port: int) -> Any:
        return super().ask_reach(self.port)


def test_another_program_at_the_port_is_no_answer_of_this_node(street: TrustedStreet) -> None:
    kitchen, attic = street.start("kitchen"), street.start("attic")
    PointingSync.port = attic.port
    study = street.start("study", peers=[at(kitchen)], role=PointingSync)
    wait_until(lambda: connected(study) == ["synchronized"], "the two are connected")

    (row,) = study.examine().get(SECONDS)

    # The link was dialled from here: its address is that of this machine, the port that of the other node.
    assert row["reached"] is False and "its key is that of another node" in row["why"]
