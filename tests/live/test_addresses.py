"""Which addresses a node listens on, dials and announces, by real `mesh up` processes: IPv6 alone, one family, loopback."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mesh_process import MeshNode, wait_until

from mesh.control.client import ControlClient
from mesh.lab.live.namespaces import Host, NetLab
from tests.support.forked_process import HostProcess

pytestmark = pytest.mark.netlab

MEET_SECONDS = 3.0
NO_DUPLICATE_SECONDS = 6.0
"""Limit for a host to find that no other host has its link-local address, which takes about 2 s."""
Start = Callable[..., MeshNode]


@pytest.fixture(scope="module")
def netlab(netlab_flags: tuple[str, ...]) -> Iterator[NetLab]:
    """Three LANs of two hosts: with fd77::/64 and no IPv4, with only link-local addresses, and with all three."""
    lab = NetLab(netlab_flags, process=HostProcess)
    try:
        pairs = [
            lab.hosts(2, ipv4=False, ipv6=True),
            lab.hosts(2, ipv4=False, ipv6="link-local"),
            lab.hosts(2, ipv6=True),
        ]
        lab.partition(*pairs)
        hosts = [host for pair in pairs for host in pair]
        wait_until(lambda: all(map(link_local, hosts)), NO_DUPLICATE_SECONDS, "all may use their link-local addresses")
        yield lab
    finally:
        lab.close()


@pytest.fixture
def start(netlab: NetLab, tmp_path: Path) -> Iterator[Start]:
    """Start a node with this name on the host with this number, and wait until it is up."""
    nodes: list[MeshNode] = []

    def start(name: str, number: int, *options: str) -> MeshNode:
        node = MeshNode(tmp_path / name, netlab.host(number))
        nodes.append(node)
        node.up("--name", name, *options)
        return node

    yield start
    for node in nodes:
        node.kill()


def link_local(host: Host) -> str:
    """The link-local address of a host; empty until it can be used."""
    command = ["ip", "-o", "-6", "addr", "show", "dev", "eth0", "scope", "link", "-tentative"]
    found = re.search(r"inet6 (\S+)/", host.run(command, check=True).stdout)
    return found[1] if found else ""


def status(node: MeshNode) -> dict[str, Any]:
    """The same as `mesh status --json`, without a new process."""
    with ControlClient(node.home) as client:
        return client.status()


def sessions(node: MeshNode) -> dict[str, str]:
    """The address of each other node that it is synchronized with."""
    rows = status(node)["sessions"]
    return {row["other_node_id"].partition("~")[0]: row["address"] for row in rows if row["state"] == "synchronized"}


def announced(node: MeshNode, name: str) -> list[str]:
    """The addresses, without ports, that another node has announced to `node`."""
    shown = status(node)
    (row,) = [row for row in shown["peers"] if row["node_id"].startswith(f"{name}~")]
    dialled_from = [session["address"] for session in shown["sessions"] if not session["dialled"]]
    return [address.rpartition(":")[0] for address in row["addresses"] if address not in dialled_from]


@pytest.mark.parametrize(("first", "prefix"), [(1, "[fd77::"), (3, "[fe80::")])
def test_two_machines_without_ipv4_connect_within_3_s_and_share_an_event(start: Start, first: int, prefix: str) -> None:
    kitchen, study = start("kitchen", first), start("study", first + 1)
    both_up = time.monotonic()

    wait_until(lambda: "study" in sessions(kitchen) and "kitchen" in sessions(study), MEET_SECONDS, "they connect")

    print(f"{time.monotonic() - both_up:.1f} s from both up to both synchronized, over {prefix}")
    assert all(row["addresses"][0].startswith(prefix) for node in (kitchen, study) for row in status(node)["peers"])
    kitchen.ask("add", '{"type": "milk"}')
    wait_until(lambda: status(study)["events"] == 1, MEET_SECONDS, "the event came over")


def test_a_link_local_peer_is_dialled_by_the_name_or_the_number_of_the_interface(netlab: NetLab, start: Start) -> None:
    kitchen = start("kitchen", 3, "--no-mdns", "--listen", ":4000")
    there = link_local(netlab.host(3))

    study = start("study", 4, "--no-mdns", "--peer", f"[{there}%eth0]:4000")
    attic = start("attic", 4, "--no-mdns", "--peer", f"[{there}%2]:4000")

    wait_until(lambda: sessions(kitchen).keys() == {"study", "attic"}, MEET_SECONDS, "both have dialled")
    for node, scope in ((study, "eth0"), (attic, "2")):
        wait_until(lambda node=node: sessions(node), MEET_SECONDS, "it has heard so too")
        assert sessions(node) == {"kitchen": f"[{there}%{scope}]:4000"}


def test_a_node_announces_what_it_listens_on_and_one_on_loopback_says_that_it_announces_nothing(
    netlab: NetLab, start: Start
) -> None:
    study = start("study", 6)
    start("kitchen", 5, "--listen", "[::]:0")
    attic = start("attic", 5, "--listen", "127.0.0.1:0")

    text = next(notice["text"] for notice in attic.notices() if notice["event"] == "listening")
    wait_until(lambda: sessions(study).keys() == {"kitchen", "attic"}, 2 * MEET_SECONDS, "all have met")
    expected = ["[fd77::5]", f"[{link_local(netlab.host(5))}%2]"]
    wait_until(lambda: announced(study, "kitchen") == expected, MEET_SECONDS, "both addresses were heard")

    assert text.startswith("listens on 127.0.0.1 alone: other machines cannot reach it")
    assert announced(study, "attic") == []  # it has dialled
