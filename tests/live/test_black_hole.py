"""A path on which frames above 1 400 bytes are lost: a tunnel or VPN with a smaller MTU that the hosts do not know."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mesh_process import ROOT

from mesh.lab.live.namespaces import Host, NetLab, Process

pytestmark = pytest.mark.netlab

HASTY_NODE = """
import json, sys, threading
from mesh import Node
from peers.roles.run_peer import RunPeerSync

class HastySync(RunPeerSync):
    def __init__(self, *args, **options):
        super().__init__(*args, timeout=700, ping=300, **options)

name, home, count, *peers = sys.argv[1:]
printing = threading.Lock()  # the node's thread prints too
def tell(kind, sentence=""):
    with printing:
        print(json.dumps([kind, sentence, node.log.last_added]), flush=True)

node = Node(name, home=home, mdns=False, listen="0.0.0.0:4000", open="lan", peers=peers, role=HastySync)
node.on("change", lambda notice: tell(notice.kind, notice.sentence))
with node:
    node.log.add_batch([({"type": "reading", "text": "x" * 100}, None)] * int(count)).get()
    tell("up")
    sys.stdin.read()
"""


def start(host: Host, folder: Path, count: int, *peers: str) -> Process:
    args = [sys.executable, "-c", HASTY_NODE, f"h{host.number}", folder / f"h{host.number}", count, *peers]
    return host.spawn(args, env={"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def notices_until(process: Process, kind: str) -> list[Any]:
    assert process.stdout is not None
    notices = []
    while not notices or notices[-1][0] != kind:
        notices.append(json.loads(process.stdout.readline()))  # pytest's own timeout ends this
    return notices


def test_lost_large_packets_are_noticed_and_small_ones_bring_the_events(netlab: NetLab, tmp_path: Path) -> None:
    one, two = netlab.hosts(2)
    netlab.rules("meta length > 1400 drop")
    notices_until(start(one, tmp_path, 40), "up")

    notices = notices_until(start(two, tmp_path, 0, f"{one.ip}:4000"), "synchronized")

    assert notices[-1][2] == 40  # it was not synchronized before it had all events
    large = [sentence for _, sentence, _ in notices if sentence.startswith("large packets do not get through to h1~")]
    assert len(large) == 1
    assert [kind for kind, _, _ in notices].count("connected") <= 4
