"""Roles of the application, started and supervised by a node: CourierSync on real sockets and in virtual time."""

from __future__ import annotations

import inspect
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mesh import Node
from mesh.errors import MeshError
from peers import ClientSync
from scenarios.own_role import CourierSync, own_role

DEADLINE_SECONDS = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def node(path: Path, name: str, **options: Any) -> Node:
    return Node(name, home=path / name, mdns=False, listen="127.0.0.1:0", open=True, **options)


def until(node: Node, is_so: Callable[[], bool]) -> None:
    """Wait for a condition, looked at whenever the node tells of a change or an event."""
    happened = threading.Event()
    undos = [node.on("change", lambda _: happened.set()), node.log.on("change", happened.set)]
    try:
        while not is_so():
            assert happened.wait(DEADLINE_SECONDS), "it did not come true"
            happened.clear()
    finally:
        for undo in undos:
            undo()


def types(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each()]


class BrittleSync(CourierSync):  # type: ignore[misc]
    """Fails as soon as both have greeted."""

    def on_authenticated(self) -> None:
        raise RuntimeError("brittle")


def test_the_scenario_of_the_courier_passes_with_every_seed() -> None:
    outcomes = [own_role.run(seed) for seed in range(20)]

    assert [outcome.seed for outcome in outcomes if outcome.failure is not None] == []


def test_the_courier_has_at_most_twenty_lines() -> None:
    assert len(inspect.getsource(CourierSync).splitlines()) <= 20


def test_a_node_serves_a_role_of_the_application_and_another_dials_it(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with node(tmp_path, "kitchen", serve={address: CourierSync}) as kitchen:
        with node(tmp_path, "attic", dial={address: CourierSync}) as attic:
            attic.log.add({"type": "letter"}).get()
            kitchen.log.add({"type": "parcel"}).get()
            until(kitchen, lambda: sorted(types(kitchen)) == ["letter", "parcel"])
            until(attic, lambda: types(attic) == types(kitchen))

            (row,) = kitchen.status().get()["clients"]

        assert row["node_id"] == attic_id(tmp_path)
        assert row["at"] == f"the door {address}"
        assert kitchen.door_ports == {address: int(address.rpartition(":")[2])}


def attic_id(path: Path) -> str:
    with node(path, "attic") as attic:
        return attic.node_id


def test_a_role_that_keeps_failing_is_restarted_and_then_paused_and_others_go_on(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    told: list[str] = []
    with ExitStack() as nodes:
        kitchen = nodes.enter_context(node(tmp_path, "kitchen", serve={address: CourierSync}))
        attic = node(tmp_path, "attic", dial={address: BrittleSync}, peers=[f"127.0.0.1:{kitchen.port}"])
        attic.on(
            "change", lambda notice: told.append(notice.kind)
        )  # before the start: the first failure may come with it
        nodes.enter_context(attic)
        kitchen.log.add({"type": "letter"}).get()
        until(attic, lambda: "paused" in told)
        kitchen.log.add({"type": "parcel"}).get()
        until(attic, lambda: types(attic) == ["letter", "parcel"])  # by the session between the nodes

        (paused,) = attic.status().get()["paused"]
        attic.retry().get()
        until(attic, lambda: told.count("paused") == 2)

    assert paused["what"] == f"the line to {address}"
    assert "brittle" in paused["why"]
    assert "restarted" in told


@pytest.mark.parametrize("options", [{"serve": {"nowhere": CourierSync}}, {"dial": {"nowhere": CourierSync}}], ids=str)
def test_an_address_that_cannot_be_is_refused_with_a_sentence(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(MeshError, match="nowhere"):
        node(tmp_path, "kitchen", **options)


@pytest.mark.parametrize("protocol", [(0, 1), None], ids=str)
def test_a_node_does_not_fix_time_where_that_changes_ids(tmp_path: Path, protocol: Any) -> None:
    role = partial(ClientSync, fix_time=True, protocol=protocol)
    told: list[str] = []
    attic = node(tmp_path, "attic", dial={f"127.0.0.1:{free_port()}": role})
    attic.on("change", lambda notice: told.append(notice.sentence))

    with attic:
        until(attic, lambda: any("paused" in sentence and "fix_time" in sentence for sentence in told))
