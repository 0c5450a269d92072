"""Honest set-ups that no limit may hit: many nodes at once, a till that was offline, a bench."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from mesh_process import MeshNode, wait_until

from mesh.bench.many_sessions import ManySessions
from mesh.bench.node_process import NodeProcess
from mesh.control.client import ControlClient
from mesh.lab import Cluster
from mesh.lab.live.namespaces import NetLab

NODES = 30
MEET_SECONDS = 6.0
OFFLINE_EVENTS = 30_000
SESSIONS = 1_000


def hits(node: NodeProcess) -> list[Any]:
    found: list[Any] = node.ask("status")["limits"]
    return found


def test_thirty_nodes_that_start_in_one_moment_are_connected_within_six_seconds_in_the_lab() -> None:
    with Cluster(1, traces=False) as house:
        rooms = house.start(*[f"room{number}" for number in range(NODES)])
        house.settle("all have met", limit_seconds=MEET_SECONDS)
        assert sum(len(room.peers) for room in rooms) == NODES * (NODES - 1)
        rooms[0].log.add({"type": "milk"})
        house.settle("all agree")

        # Each dials some of the others and is dialled by the rest: the rate only spreads the dials of the first second.
        hits = {row["limit"] for room in rooms for row in house.status(room)["limits"]}
        assert hits <= {"dials_per_second"}


@pytest.fixture
def many(netlab: NetLab, tmp_path: Path) -> Iterator[list[MeshNode]]:
    """Nodes that find each other by mDNS, each on a host of its own; they are all up at about the same time."""
    nodes = [MeshNode(tmp_path / f"till{host.number}", host) for host in netlab.hosts(NODES)]
    try:
        for node in nodes:
            node.process = node.spawn("up", "--open=lan", "--json", "--name", node.home.name)
        yield nodes
    finally:
        for node in nodes:
            node.kill()


@pytest.mark.long
@pytest.mark.netlab
def test_thirty_nodes_that_start_at_once_hit_no_limit_on_a_network(many: list[MeshNode]) -> None:
    for node in many:
        assert node.process is not None and node.process.stdout is not None
        assert json.loads(node.process.stdout.readline())["event"] in ("new", "up")
    began = time.monotonic()
    clients = []
    with ExitStack() as stack:
        for node in many:
            clients.append(stack.enter_context(ControlClient(node.home)))

        def links() -> int:
            rows = [row for client in clients for row in client.status()["sessions"]]
            return len([row for row in rows if row["state"] == "synchronized"])

        wait_until(lambda: links() == NODES * (NODES - 1), 60, "all are connected to all")
        print(f"{NODES * (NODES - 1)} links after {time.monotonic() - began:.1f} s")

        assert [client.status()["limits"] for client in clients] == [[]] * NODES


def test_a_till_that_was_offline_brings_many_events_without_a_limit(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "shop", "shop") as shop, NodeProcess(tmp_path / "till", "till") as till:
        till.ask("add", events=OFFLINE_EVENTS, batch=500)

        till.ask("connect", peer=shop.address)
        shop.ask("wait", events=OFFLINE_EVENTS)

        assert hits(shop) == hits(till) == []


@pytest.mark.long
def test_a_bench_opens_a_thousand_sessions_with_limits_of_its_own(tmp_path: Path) -> None:
    many = {"connections": 4 * SESSIONS, "connections_of_address": 4 * SESSIONS}
    rates = {"connects_per_second": SESSIONS, "connects_of_address_per_second": SESSIONS, "members": 2 * SESSIONS}
    rates |= {"changes_shown": 8 * 4 * SESSIONS}

    async def open_all(address: str) -> None:
        async with ManySessions(address) as sessions:
            await sessions.open(SESSIONS)

    with NodeProcess(tmp_path / "kitchen", "kitchen", limits=many | rates) as node:
        asyncio.run(open_all(node.address))

        assert hits(node) == []
