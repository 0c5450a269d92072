"""Many connections at once, with the default limits: honest ones all come in, and strangers keep out no member."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mesh.gateway.clients.tokens import Tokens
from mesh.node import Node
from peers.clock import LoopClock
from peers.log.run_log import RunLog
from peers.roles.client import ClientSync
from peers.stores.disk import InlineDisk
from peers.stores.runs.memory import MemoryRunStore
from peers.transport.reconnect import Reconnect
from peers.transport.web_socket import WebSocketNetwork
from tests.support.root import ROOT
from tests.support.street import Street, at, wait_until

NODES = 30
CLIENTS = 60
SILENT = 2_000
CROWD_SECONDS = 60.0
"""How long the two crowds may take on a machine with much else to do; alone they take about 5 and 10 s."""


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(CROWD_SECONDS):
        while not await condition():
            await asyncio.sleep(0.2)


def neighbours(node: Node) -> set[str]:
    return {row["other_node_id"] for row in node.status().get(10)["sessions"] if row["state"] == "synchronized"}


@pytest.mark.long
def test_thirty_nodes_of_one_machine_that_start_at_once_all_connect(tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            nodes = [
                Node(f"node{number}", home=tmp_path / str(number), listen="127.0.0.1:0", open=True, mdns=False)
                for number in range(NODES)
            ]
            await asyncio.gather(*(stack.enter_async_context(node) for node in nodes))
            begun = time.monotonic()
            await asyncio.gather(*(node.add_peer(at(lower)) for node in nodes for lower in nodes[: nodes.index(node)]))

            async def all_met() -> bool:
                for node in nodes:
                    met = {row["other_node_id"] for row in (await node.status())["sessions"] if row["other_node_id"]}
                    if len(met) < NODES - 1:
                        return False
                return True

            await until(all_met)
            print(f"{NODES} nodes connected after {time.monotonic() - begun:.2f} s")

    asyncio.run(run())


@pytest.mark.long
def test_sixty_clients_behind_one_address_that_come_at_once_are_all_let_in(tmp_path: Path) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        clock = LoopClock(loop)
        node = Node(
            "kitchen", home=tmp_path / "home", listen="127.0.0.1:0", open=True, clients="127.0.0.1:0", mdns=False
        )
        network = WebSocketNetwork(loop)
        async with node, AsyncExitStack() as stack:
            token = Tokens(node.home).add("ada", None, clock.now_ms())
            stack.push_async_callback(lambda: as_coroutine(network.close()))
            clients: list[ClientSync] = []
            begun = time.monotonic()
            for number in range(CLIENTS):
                name = f"ada:{number}"
                log = await RunLog.open(InlineDisk(MemoryRunStore()), name, clock=clock, random=Random(number))
                connection = Reconnect(
                    network.dial(f"127.0.0.1:{node.clients_port}"), clock=clock, random=Random(number)
                )
                client = ClientSync(
                    name, log, connection, clock=clock, random=Random(number), credentials=token, timeout=20_000
                )
                client.catch(lambda error: None)
                stack.callback(client.destroy)
                clients.append(client)
                connection.connect()

            async def all_in() -> bool:
                return all(client.authenticated for client in clients)

            await until(all_in)
            print(f"{CLIENTS} clients let in after {time.monotonic() - begun:.2f} s")

    asyncio.run(run())


async def as_coroutine(later: Any) -> None:
    await later


def test_a_member_dials_in_beside_two_thousand_silent_connections(street: Street) -> None:
    kitchen = street.start("kitchen")
    study = street.start("study", peers=[at(kitchen)])
    wait_until(lambda: neighbours(kitchen), "the first connection")
    street.nodes.remove(study)
    study.stop()
    crowd = subprocess.Popen(
        [sys.executable, "-m", "tests.support.silent_crowd", str(kitchen.port), str(SILENT)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert crowd.stdout is not None and crowd.stdout.readline()

        begun = time.monotonic()
        street.start("study", peers=[at(kitchen)])
        wait_until(lambda: neighbours(kitchen), "the connection beside the crowd")
        print(f"connected after {time.monotonic() - begun:.2f} s")
        hits = {row["limit"] for row in kitchen.status().get(10)["limits"]}
        assert hits & {"connects_per_second", "connects_of_address_per_second"}
        assert {row["by"] for row in kitchen.status().get(10)["limits"]}.isdisjoint({"127.0.0.1"})
    finally:
        crowd.communicate()
