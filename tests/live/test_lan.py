"""Machines on one LAN: `mesh up` processes in network namespaces find each other by mDNS, without configuration."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mesh_process import MeshNode, wait_until

from mesh.lab.live.namespaces import Host, NetLab

pytestmark = pytest.mark.netlab

EVENTS = 200
CUT_SECONDS = 5.0


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[list[MeshNode]]:
    nodes: list[MeshNode] = []
    yield nodes
    for node in nodes:
        node.kill()


def node_on(host: Host, folder: Path, homes: list[MeshNode]) -> MeshNode:
    node = MeshNode(folder / f"home{host.number}", host)
    homes.append(node)
    return node


def lines(first: int, count: int = EVENTS) -> str:
    return "".join(json.dumps({"type": "reading", "host": first, "n": n}) + "\n" for n in range(count))


def test_two_machines_find_each_other_and_share_an_event(netlab: NetLab, tmp_path: Path, homes: list[MeshNode]) -> None:
    one, two = (node_on(host, tmp_path, homes) for host in netlab.hosts(2))
    one_id = one.up("--name", "kitchen")["node_id"]
    two_id = two.up("--name", "study")["node_id"]
    started = time.monotonic()

    wait_until(
        lambda: one_id in [row["node_id"] for row in two.peers()], 3 - (time.monotonic() - started), "two lists one"
    )
    wait_until(
        lambda: two_id in [row["node_id"] for row in one.peers()], 3 - (time.monotonic() - started), "one lists two"
    )
    follower = two.spawn("log", "--json", "--follow")
    assert follower.stdout is not None
    one.ask("add", '{"type": "warm-up"}')
    follower.stdout.readline()
    delays = []
    for n in range(5):
        adder = one.spawn("add", json.dumps({"type": "milk", "n": n}))
        assert adder.stdout is not None
        adder.stdout.readline()
        added = time.monotonic()
        line = json.loads(follower.stdout.readline())
        delays.append(time.monotonic() - added)
        adder.communicate(timeout=10)
        assert line["event"] == {"type": "milk", "n": n}

    assert sorted(delays)[2] < 0.1, delays
    assert [row["event"] for row in two.events()] == [row["event"] for row in one.events()]
    follower.kill()
    follower.communicate()


def test_five_machines_agree_after_a_partition_during_which_two_of_them_started(
    netlab: NetLab, tmp_path: Path, homes: list[MeshNode]
) -> None:
    nodes = [node_on(host, tmp_path, homes) for host in netlab.hosts(5)]
    early, late = [nodes[0], nodes[2], nodes[3]], [nodes[1], nodes[4]]
    for node in early:
        node.up("--requery", "1")
    wait_until(lambda: all(len(node.peers()) == 2 for node in early), 5, "the first three have met")

    netlab.partition([1, 2], [3, 4, 5])
    cut = time.monotonic()
    for node in late:
        node.up("--requery", "1")
    adders = [node.spawn("add", "-", stdin=subprocess.PIPE) for node in nodes]
    for number, adder in enumerate(adders):
        adder.communicate(lines(number), timeout=30)
        assert adder.returncode == 0
    time.sleep(max(0.0, cut + CUT_SECONDS - time.monotonic()))
    assert all(node.status()["events"] < 5 * EVENTS for node in nodes)
    netlab.heal()
    healed = time.monotonic()
    wait_until(lambda: all(node.status()["events"] == 5 * EVENTS for node in nodes), 15, "all have a thousand events")

    took = time.monotonic() - healed
    logs = [[(tuple(row["meta"]["created"]), json.dumps(row["event"])) for row in node.events()] for node in nodes]
    assert took < 5, f"it took {took:.1f} s"
    assert all(log == logs[0] for log in logs)
    assert len(set(logs[0])) == 5 * EVENTS


def test_without_multicast_a_static_address_is_enough(netlab: NetLab, tmp_path: Path, homes: list[MeshNode]) -> None:
    hosts = netlab.hosts(2)
    netlab.rules("udp dport 5353 drop")
    one, two = (node_on(host, tmp_path, homes) for host in hosts)
    port = one.up()["port"]

    two.up("--peer", f"{hosts[0].ip}:{port}")
    two.ask("add", '{"type": "milk"}')

    wait_until(lambda: [row["event"]["type"] for row in one.events()] == ["milk"], 5, "the event came over")


def test_open_nodes_of_one_machine_meet_and_the_lan_hears_nothing_of_them(
    netlab: NetLab, tmp_path: Path, homes: list[MeshNode]
) -> None:
    one, two = netlab.hosts(2)
    hall = node_on(two, tmp_path, homes)
    hall.up()
    homes += (MeshNode(tmp_path / name, one, is_open=False) for name in ("kitchen", "study"))
    for node in homes[1:]:
        node.up("--open", "--name", node.home.name)

    homes[1].ask("wait", "--timeout", "10")
    homes[1].ask("add", '{"type": "milk"}')

    wait_until(lambda: [row["event"]["type"] for row in homes[2].events()] == ["milk"], 5, "the event came over")
    assert hall.peers() == []
    assert hall.events() == []
