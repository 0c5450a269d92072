"""What a program that uses a node loads: memory and a start for what it uses, and for nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.commands import environment
from tests.support.mesh_of_homes import homes_of_one_mesh

SECONDS = 60

UNWANTED_NAMES = """
    click rich zeroconf ifaddr platformdirs multiprocessing concurrent.futures.process statistics fractions xml unittest
    http.server websockets.sync mesh.bench mesh.cli mesh.lab mesh.terminal mesh.discovery.mdns.mdns
    mesh.gateway.clients.http mesh.gateway.clients.page mesh.gateway.clients.tokens mesh.gateway.upstream.role
    prometheus_client mesh.gateway.metrics.metrics
"""
UNWANTED = frozenset(UNWANTED_NAMES.split())

IMPORTED = """
import json, sys
from mesh import Node
"""

SYNCHRONIZED = (
    IMPORTED
    + """
import asyncio

def node(name, *peers):
    return Node(name, home=sys.argv[1] + "/" + name, listen="127.0.0.1:0", open=True, mdns=False, peers=peers)

async def run():
    async with node("a") as one:
        async with node("b", f"127.0.0.1:{one.port}") as other:
            await one.log.add({"type": "milk"})
            await one.synchronized()
            assert other.log.last_added == 1

asyncio.run(run())
"""
)
SHOWN = "\nprint(json.dumps(sorted(sys.modules)))"


def loaded(program: str, folder: Path) -> set[str]:
    """The names of UNWANTED that a process has loaded when it has run this program."""
    done = subprocess.run(
        [sys.executable, "-c", program + SHOWN, str(folder)],
        capture_output=True,
        timeout=SECONDS,
        env=environment(),
        check=True,
    )
    return set(json.loads(done.stdout)) & UNWANTED


def test_a_library_loads_nothing_that_only_commands_or_other_options_need(tmp_path: Path) -> None:
    assert loaded(IMPORTED + "Node", tmp_path) == set()


def test_neither_does_a_node_without_mdns_that_ran_and_synchronized(tmp_path: Path) -> None:
    assert loaded(SYNCHRONIZED, tmp_path) == set()


def test_the_names_are_those_of_modules() -> None:
    program = "import importlib, json, sys\nfor name in sys.argv[2:]: importlib.import_module(name)"

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, "", *UNWANTED], timeout=SECONDS, env=environment(), check=False
    )

    assert done.returncode == 0


INVITING = (
    IMPORTED
    + """
import time
from mesh.control.client import ControlClient

with Node(home=sys.argv[1], listen="127.0.0.1:0", mdns=False) as node:
    assert "cryptography.x509" not in sys.modules
    with ControlClient(node.home) as client:
        client.invite(600, 1)
    deadline = time.monotonic() + 30
    while "cryptography.x509" not in sys.modules and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "cryptography.x509" in sys.modules
"""
)


def test_a_node_of_a_mesh_loads_what_makes_certificates_once_a_code_is_open(tmp_path: Path) -> None:
    """Not at its start, since it takes 14 MB; and not when the first node joins, since that would hold up all others."""
    (home,) = homes_of_one_mesh(tmp_path, "kitchen")

    loaded(INVITING, home)
