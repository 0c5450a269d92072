"""Unusual networks: container bridges, odd names of interfaces, late interfaces, sandboxes, forged announcements."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mesh_process import MESH, MeshNode, wait_until

from mesh.lab.live.namespaces import Host, NetLab
from tests.support.root import ROOT

pytestmark = pytest.mark.netlab

HERE = Path(__file__).parent
MEET_SECONDS = 3.0
BRIDGES = (
    "podman0",
    "cni0",
    "lxdbr0",
    "virbr1",
    "vmnet8",
    "vboxnet0",
    "tailscale0",
    "incusbr0",
    "kube-bridge",
    "vnet0",
)
ADD_BRIDGES = "".join(
    f"ip link add {name} type bridge; ip link set {name} up; ip addr add 10.{88 + number}.0.1/24 dev {name}\n"
    for number, name in enumerate(BRIDGES)
)
ADD_CONTAINER = """
ip link add veth1a2b3c4d type veth peer name inside
ip link set veth1a2b3c4d master podman0 up
ip addr add 10.250.0.1/24 dev veth1a2b3c4d
"""


class Node:
    """`mesh up` on a host; its notices are collected, with their times."""

    def __init__(self, host: Host, folder: Path, *options: str, without: str = "") -> None:
        self.mesh = MeshNode(folder / f"home{host.number}", host)
        sandbox = [sys.executable, ROOT / "tests" / "support" / "sandbox.py", without] if without else []
        args = [*sandbox, *MESH, "--home", self.mesh.home, "up", "--open=lan", "--json", *options]
        self.process = host.spawn(args, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
        self.notices: list[tuple[float, dict[str, Any]]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.notices.append((time.monotonic(), json.loads(line)))

    def when(self, event: str, text: str = "") -> list[float]:
        """The times of the notices of one kind that contain `text`."""
        return [at for at, notice in self.notices if notice["event"] == event and text in notice.get("text", "")]

    def started(self) -> Node:
        wait_until(lambda: self.when("up"), 10, "the node is up")
        return self

    @property
    def looks(self) -> list[str]:
        """The notices on which interfaces it looks for other nodes."""
        return [notice["text"] for _, notice in self.notices if "look" in notice.get("text", "")]


@pytest.fixture
def took(record_property: Callable[[str, object], None]) -> Iterator[Callable[..., None]]:
    """Wait until each node has connected to all others, at most 3 s after `since`; records and prints the time."""

    def meet(what: str, nodes: list[Node], since: float) -> None:
        others = len(nodes) - 1
        wait_until(lambda: all(len(node.when("connected")) == others for node in nodes), 20, what)
        seconds = max(at for node in nodes for at in node.when("connected")) - since
        record_property(what, round(seconds, 3))
        print(f"{seconds:.3f} s  {what}")
        assert seconds <= MEET_SECONDS, f"{seconds:.1f} s: {what}"

    yield meet


Took = Callable[[str, list[Node], float], None]


def all_up(nodes: list[Node]) -> float:
    """Wait until all are up. Returns when the last one was."""
    return max(node.started().when("up")[0] for node in nodes)


def rename_card(host: Host, name: str) -> None:
    script = f"ip link set eth0 down; ip link set eth0 name {name}; ip link set {name} up"
    host.run(["sh", "-euc", script], check=True)


def test_machines_with_ten_bridges_of_the_same_addresses_connect_whatever_the_name_of_their_lan(
    netlab: NetLab, tmp_path: Path, took: Took
) -> None:
    names = ("br-lan", "br-home", "vethlan", "tun5")
    hosts = netlab.hosts(len(names))
    for host, name in zip(hosts, names, strict=True):
        rename_card(host, name)
        host.run(["sh", "-euc", ADD_BRIDGES + ADD_CONTAINER], check=True)

    nodes = [Node(host, tmp_path) for host in hosts]

    took("ten bridges and an odd name each: the last is up -> all have met", nodes, all_up(nodes))
    addresses = [address.rpartition(":")[0] for row in nodes[0].mesh.peers() for address in row["addresses"]]
    assert sorted(addresses) == [host.ip for host in hosts[1:]]
    assert set(nodes[0].mesh.status()["discovery"]["interfaces"]) == {"br-lan", *BRIDGES}
    assert [node.looks[0].split()[5].strip(",") for node in nodes] == list(names)


def test_a_network_that_comes_late_is_used_within_3_s(netlab: NetLab, tmp_path: Path, took: Took) -> None:
    hosts = netlab.hosts(3)
    for host in hosts[:2]:
        host.run(["ip", "link", "set", "eth0", "down"], check=True)
    nodes = [Node(hosts[0], tmp_path), Node(hosts[1], tmp_path, "--interface", "eth0"), Node(hosts[2], tmp_path)]
    all_up(nodes)
    waiting = nodes[1].mesh.status()["discovery"]
    assert (waiting["on"], waiting["interfaces"]) == (False, [])
    assert "nothing like eth0 is up on this machine" in waiting["why"]

    late = time.monotonic()
    for host in hosts[:2]:
        host.run(["ip", "link", "set", "eth0", "up"], check=True)

    took("cards come up -> all have met", nodes, late)
    alone, off, _ = nodes
    for node in (alone, off):  # it may have connected before it says so
        wait_until(
            lambda node=node: node.looks[1:] == ["looks for other nodes on eth0"], 5, "it says where it looks now"
        )
    assert alone.looks[0].startswith("warning: looks for other nodes on lo, but no network that can multicast is up")
    assert off.looks[0].startswith("warning: does not look for other nodes: mDNS: nothing like eth0 is up")


def test_in_a_sandbox_a_node_uses_the_allowed_families_and_names_the_denied_ones(
    netlab: NetLab, tmp_path: Path, took: Took
) -> None:
    hosts = netlab.hosts(3, ipv6=True)
    denied = ("AF_INET6", "AF_NETLINK", "AF_INET6,AF_NETLINK")

    nodes = [Node(host, tmp_path, without=families) for host, families in zip(hosts, denied, strict=True)]

    took("sandboxes: the last is up -> all have met", nodes, all_up(nodes))
    for node, families in zip(nodes, denied, strict=True):
        missing = f"without IPv6, since this process may not open {families.replace(',', ' and ')} sockets"
        assert [text.partition(" (")[0] for text in node.looks] == [
            f"warning: looks for other nodes on eth0, but {missing}"
        ]
        assert node.process.stderr_text().count("\n") == 1  # only the warning that links are open


def test_thousands_of_forged_announcements_cost_little(netlab: NetLab, tmp_path: Path) -> None:
    """See test_instances.py for the exact limits."""
    one, two, forger = netlab.hosts(3)
    args = [sys.executable, HERE / "mdns_node.py", "kitchen", "4000", "{}"]
    kitchen = one.spawn(args, env={"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert kitchen.stdout is not None and kitchen.stdin is not None
    kitchen.stdout.readline()
    before = resident_kib(kitchen.pid)

    forge = [sys.executable, HERE / "forger.py", forger.ip, "1461", "mesh"]
    forger.run(forge, env={"PYTHONPATH": str(ROOT)}, check=True)
    attic = two.spawn([*args[:2], "attic", "4001", "{}"], env={"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE)
    sightings = []
    for line in kitchen.stdout:
        sightings.append(json.loads(line)["node_id"])
        if sightings[-1] == "attic":
            break

    grown = resident_kib(kitchen.pid) - before
    print(f"{len(sightings)} sightings, {grown} KiB more")
    assert len(sightings) < 80
    assert grown < 16_000
    for process in (kitchen, attic):
        process.communicate("stop\n", timeout=5)


def resident_kib(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])
