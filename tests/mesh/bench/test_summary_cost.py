"""What summaries cost a node that is linked with 29 others over TLS, against the same node without summaries.

`pytest -m long -n0 -s tests/mesh/bench/test_summary_cost.py` prints the figures, in five minutes.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from mesh.bench import many_sessions
from mesh.bench.many_sessions import ManySessions
from mesh.lab.live.homes import FoundedMesh
from peers.clock import Clock
from peers.codec.run_messages import LINK_BYTES, RunHave
from peers.events.signature import Signer
from peers.facts.summary import Measures
from peers.limits import LimitHits, Limits
from peers.log.run_log import RunLog
from peers.roles.run_peer import RunPeerSync
from peers.roles.summaries import BoardHost, SummaryBoard

LINKS, SECONDS, PERIOD_SECONDS, PAIRS = 29, 60, 10.0, 2

NODE = """
import asyncio, functools, resource, sys
from mesh import node_resources
from mesh.node import Node
from mesh.process import suit_node

home, period, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
node_resources.Settings = functools.partial(node_resources.Settings, summary_seconds=period)

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

async def main():
    async with Node("node", home=home, listen="127.0.0.1:0", mdns=False) as node:
        print(node.port, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.sleep(3 * period or 5)  # until the links and the first summaries are over
        print("ready", flush=True)
        before = cpu()
        await asyncio.sleep(seconds)
        rows = (await node.status())["mesh_nodes"]
        print((cpu() - before) / seconds * 60, sum(row["state"] == "linked" for row in rows), flush=True)

suit_node()
asyncio.run(main())
"""
"""Prints its port, that it measures from now on, and its CPU seconds a minute and how many nodes it shows as linked."""


def host(node_id: str, signer: Signer, clock: Clock, period: float) -> BoardHost:
    limits, hits = Limits(), LimitHits(clock)
    measures = Measures("0.1.0", last_added=1)
    return BoardHost(node_id, signer, clock, limits, hits, lambda *_: "", lambda: measures, lambda work: work, period)


async def cost(path: Path, period: float, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float]:
    """The CPU seconds a minute of a node, and the kilobytes of messages that it sends in a second."""
    roles: list[RunPeerSync] = []

    def role(node_id: str, log: RunLog, connection: Any, *, clock: Clock, **options: Any) -> RunPeerSync:
        board = SummaryBoard()
        if period:
            board.start(host(node_id, log.pen.signer, clock, period))
        roles.append(RunPeerSync(node_id, log, connection, clock=clock, summaries=board, **options))
        return roles[-1]

    monkeypatch.setattr(many_sessions, "RunPeerSync", role)
    mesh, home = FoundedMesh(), path / "node"
    home.mkdir(parents=True)
    mesh.make_home(home, "node")
    pipe = asyncio.subprocess.PIPE
    arguments = [sys.executable, "-c", NODE, str(home), str(period), str(SECONDS)]
    node = await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe)
    assert node.stdin is not None and node.stdout is not None
    async with ManySessions(f"127.0.0.1:{int(await node.stdout.readline())}", mesh) as sessions:
        await sessions.open(LINKS)
        for one in roles:  # each is connected with all others, as in a mesh of 30
            one.send(RunHave({}, links=tuple(sorted(other.key[:LINK_BYTES] for other in roles))))
        node.stdin.write(b"\n")
        await node.stdout.readline()
        before = sessions.received_bytes
        cpu, linked = (await node.stdout.readline()).split()
        sent = sessions.received_bytes - before
        await node.wait()
    assert int(linked) == (LINKS if period else 0)
    return float(cpu), sent / SECONDS / 1000


@pytest.mark.long
@pytest.mark.timeout(900)
def test_summaries_take_less_than_3_s_of_cpu_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: dict[float, list[tuple[float, float]]] = {0.0: [], PERIOD_SECONDS: []}
    for number in range(PAIRS):
        for period, all_of_it in figures.items():
            all_of_it.append(asyncio.run(cost(tmp_path / f"{number} {period}", period, monkeypatch)))

    (alone, few), (cpu, bytes_) = ([median(one) for one in zip(*each, strict=True)] for each in figures.values())
    print(
        f"\nCPU a minute: {cpu:.3f} s, without summaries {alone:.3f} s; sent: {bytes_:.1f} kB/s, without {few:.1f} kB/s"
    )
    assert cpu - alone < 0.05
    assert bytes_ < 4
