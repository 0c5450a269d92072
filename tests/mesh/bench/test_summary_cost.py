"""What summaries cost a node that is linked with 29 others over TLS, against the same node without summaries.

`pytest -m long -n0 -s tests/mesh/bench/test_summary_cost.py` prints the figures, in three minutes.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
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

LINKS, SECONDS, PERIOD_SECONDS = 29, 120, 10.0

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
        await asyncio.sleep(30)  # until the links and the first summaries are over
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


async def cost(home: Path, period: float, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float]:
    """The CPU seconds a minute of a node, and the kilobytes of messages that it sends in a second."""
    mesh = FoundedMesh()
    home.mkdir()
    mesh.make_home(home, "node")
    pipe = asyncio.subprocess.PIPE
    arguments = [sys.executable, "-c", NODE, str(home), str(period), str(SECONDS)]
    node = await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe)
    assert node.stdin is not None and node.stdout is not None
    address = f"127.0.0.1:{int(await node.stdout.readline())}"
    roles: list[RunPeerSync] = []
    before = many_sessions.RunPeerSync

    def role(node_id: str, log: RunLog, connection: Any, *, clock: Clock, **options: Any) -> RunPeerSync:
        if connection.address != address:  # of the other node that is measured
            return before(node_id, log, connection, clock=clock, **options)
        board = SummaryBoard()
        if period:
            board.start(host(node_id, log.pen.signer, clock, period))
        roles.append(RunPeerSync(node_id, log, connection, clock=clock, summaries=board, **options))
        return roles[-1]

    monkeypatch.setattr(many_sessions, "RunPeerSync", role)
    async with ManySessions(address, mesh) as sessions:
        await sessions.open(LINKS)
        for one in roles:  # each is connected with all others, as in a mesh of 30
            one.send(RunHave({}, links=tuple(sorted(other.key[:LINK_BYTES] for other in roles))))
        node.stdin.write(b"\n")
        await node.stdout.readline()
        received = sessions.received_bytes
        cpu, linked = (await node.stdout.readline()).split()
        sent = sessions.received_bytes - received
        await node.wait()
    assert int(linked) == (LINKS if period else 0)
    return float(cpu), sent / SECONDS / 1000


@pytest.mark.long
@pytest.mark.timeout(600)
def test_summaries_take_less_than_3_s_of_cpu_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def both() -> list[tuple[float, float]]:
        # At the same time: what else the machine does slows both down.
        return await asyncio.gather(
            cost(tmp_path / "alone", 0.0, monkeypatch), cost(tmp_path / "with", PERIOD_SECONDS, monkeypatch)
        )

    (alone, few), (cpu, sent) = asyncio.run(both())
    print(
        f"\nCPU a minute: {cpu:.3f} s, without summaries {alone:.3f} s; sent: {sent:.1f} kB/s, without {few:.1f} kB/s"
    )
    assert cpu - alone < 0.05
    assert sent < 4
