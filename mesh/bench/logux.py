"""How fast a real Logux client sends events to a node and gets them from it, compared with a Logux server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.bench import MEASURE_SECONDS
from mesh.bench.npm_packages import installed_packages, scripts_beside
from mesh.gateway.clients.tokens import Tokens
from mesh.node import Node
from peers.limits import Limits

HERE = Path(__file__).parent / "js"
EVENTS_PER_BATCH = 20
"""Events added at once: about as many as the Logux log takes in one ms."""


@dataclass(frozen=True, slots=True)
class LoguxRun:
    """One measurement: one direction, with one kind of server."""

    server: str
    direction: str
    events: int
    seconds: float
    """From the client's first message to the last confirmation, or until it has the last event."""
    client_cpu: float
    server_cpu: float
    """Seconds of processor time that each end took."""


def measure(events: int) -> list[LoguxRun]:
    """Both directions, with a node and with @logux/core 0.10 as the server. Raises PackagesError without Node.js."""
    packages = installed_packages(HERE, "peermesh-bench")
    with tempfile.TemporaryDirectory() as folder:
        scripts = scripts_beside(packages, HERE, Path(folder))
        return [
            asyncio.run(_ours(scripts, "in", events)),
            _theirs(scripts, "in", events),
            asyncio.run(_ours(scripts, "out", events)),
            _theirs(scripts, "out", events),
        ]


async def _ours(scripts: Path, direction: str, events: int) -> LoguxRun:
    """The server is a node with its log on disk; the client connects to its clients' port."""
    with tempfile.TemporaryDirectory() as home:
        token = Tokens(Path(home)).add("bench", None, int(time.time() * 1000))
        door = "127.0.0.1:0"
        # The client sends each event in a message of its own, as fast as it can.
        limits = Limits(other_cpu_ms_per_second=10_000.0)
        async with Node("bench", home=home, mdns=False, listen=door, open=True, clients=door, limits=limits) as node:
            if direction == "out":
                for first in range(0, events, EVENTS_PER_BATCH):
                    numbers = range(first, min(first + EVENTS_PER_BATCH, events))
                    await node.log.add_batch(
                        [({"type": "reading", "number": n, "text": "x" * 100}, None) for n in numbers]
                    )
            options: dict[str, Any] = {"url": f"ws://127.0.0.1:{node.clients_port}/", "token": token}
            began = time.process_time()
            result = await asyncio.to_thread(_client, scripts, options, direction, events)
            cpu = time.process_time() - began
            assert node.log.last_added == events, "events are missing in the node's log"
            return LoguxRun("peermesh", direction, events, result["seconds"], result["cpu"], cpu)


def _theirs(scripts: Path, direction: str, events: int) -> LoguxRun:
    """The server is a Logux server with its log in memory."""
    held = json.dumps({"events": events if direction == "out" else 0})
    with ExitStack() as stack:
        server = stack.enter_context(
            subprocess.Popen(["node", "peer.mjs", "server", held], cwd=scripts, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(server.kill)
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        result = _client(scripts, {"url": f"ws://127.0.0.1:{port}/"}, direction, events)
        cpu = json.loads(server.stdout.readline())["cpu"]
        return LoguxRun("@logux/core", direction, events, result["seconds"], result["cpu"], cpu)


def _client(scripts: Path, options: dict[str, Any], direction: str, events: int) -> dict[str, float]:
    task = {**options, ("events" if direction == "in" else "count"): events}
    done = subprocess.run(
        ["node", "peer.mjs", "client", json.dumps(task)],
        cwd=scripts,
        stdout=subprocess.PIPE,
        text=True,
        timeout=MEASURE_SECONDS,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def show(runs: list[LoguxRun]) -> str:
    """A table with a line for each run, and below it how the two servers compare."""
    from mesh.terminal.tables import table, tables

    rows = [
        (
            run.direction,
            run.server,
            f"{run.events / run.seconds:,.0f}",
            f"{run.seconds:.2f}",
            f"{run.server_cpu:.2f}",
            f"{run.client_cpu:.2f}",
        )
        for run in runs
    ]
    headings = ("direction", "server", "events/s", "seconds", "cpu s of the server", "cpu s of the client")
    text = tables([table(headings, rows)])
    for ours, theirs in zip(runs[::2], runs[1::2], strict=True):
        ratio = theirs.seconds / ours.seconds
        share = ours.server_cpu / (ours.server_cpu + ours.client_cpu)
        text += (
            f"{ours.direction}: {ratio:.2f} times as fast as with a Logux server; "
            f"this node took {share:.0%} of the processor time of both ends\n"
        )
    return text
