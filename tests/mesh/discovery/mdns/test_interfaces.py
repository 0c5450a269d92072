"""Which interfaces of the machine are used, and what a sandbox leaves of them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_interface

import pytest

from mesh.discovery.mdns.interfaces import ChosenInterfaces, choose, what_is_missing
from mesh.discovery.mdns.scan import scan
from tests.support.mdns_parts import DOCKER, ETH, LO, WLAN, card
from tests.support.root import ROOT


def test_uses_every_lan_and_nothing_else() -> None:
    veth, down = card("veth12ab34c", 5, "10.9.0.1/24"), card("eth1", 6, "10.1.1.7/24", is_up=False)
    tunnel = card("wg0", 7, "10.8.0.1/24", is_multicast=False)

    network = choose([LO, ETH, WLAN, DOCKER, veth, down, tunnel], None)

    assert network.sockets == ("192.168.1.7", "fe80::7", "10.1.1.7")
    assert network.announced == ("192.168.1.7", "192.168.1.8", "10.1.1.7", "fd00::7", "fe80::7")


@pytest.mark.parametrize(
    ("hosts", "announced"),
    [
        (("0.0.0.0",), ("192.168.1.7", "192.168.1.8", "10.1.1.7")),
        (("::",), ("fd00::7", "fe80::7")),
        (("192.168.1.8",), ("192.168.1.8",)),
        (("fe80::7%2",), ("fe80::7",)),
        (("fe80::7%3",), ()),
        (("10.1.1.7", "fd00::7"), ("10.1.1.7", "fd00::7")),
        (("127.0.0.1",), ()),
        (("127.0.0.1", "::1"), ()),
        ((), ()),
    ],
)
def test_announces_exactly_the_addresses_at_which_the_node_listens(
    hosts: tuple[str, ...], announced: tuple[str, ...]
) -> None:
    network = choose([LO, ETH, WLAN, DOCKER], None)

    assert replace(network, hosts=hosts).announced == announced


def test_addresses_of_the_other_family_do_not_count_for_the_limit_of_an_announcement() -> None:
    many = card("eth0", 2, *(f"10.0.0.{n}/24" for n in range(1, 30)), "fd00::7/64")

    assert ChosenInterfaces((many,), hosts=("::",)).announced == ("fd00::7",)


def test_nodes_that_listen_on_loopback_are_announced_where_discovery_is_on_loopback() -> None:
    assert replace(choose([LO], None), hosts=("127.0.0.1",)).announced == ("127.0.0.1",)


@pytest.mark.parametrize("name", ["br-lan", "br-home", "vethlan", "veth0", "tun5", "virbr0", "docker1", "dockerlan"])
def test_only_interfaces_with_names_of_docker_are_ignored(name: str) -> None:
    docker = [card(each, 9, "172.18.0.1/16") for each in ("br-0123456789ab", "veth0a1b2c3")]

    network = choose([LO, DOCKER, *docker, card(name, 5, "10.9.0.1/24")], None)

    assert network.names == (name,)
    assert what_is_missing(network, None) == ""


def test_without_a_lan_docker_is_used_and_without_that_loopback() -> None:
    docker, alone = choose([LO, DOCKER], None), choose([LO], None)

    assert (docker.announced, alone.announced) == (("172.17.0.1",), ("127.0.0.1",))
    assert what_is_missing(docker, None) == "no other network than Docker's is up"
    assert (
        what_is_missing(alone, None) == "no network that can multicast is up, so only nodes of this machine are found"
    )
    assert what_is_missing(choose([LO], ["lo"]), ["lo"]) == ""
    assert choose([], None).sockets == ()


@pytest.mark.parametrize(
    ("wanted", "announced"),
    [
        (["192.168.1.8"], ("192.168.1.8",)),
        (["wlan0"], ("10.1.1.7",)),
        (["fe80::7%eth0", "10.1.1.7"], ("10.1.1.7", "fe80::7")),
        (["fe80::7%wlan0"], ()),
        (["docker0"], ("172.17.0.1",)),
        (["10.99.99.99", "nonsense"], ()),
        ([], ()),
    ],
)
def test_never_uses_more_interfaces_than_those_it_was_given(wanted: list[str], announced: tuple[str, ...]) -> None:
    assert choose([LO, ETH, WLAN, DOCKER], wanted).announced == announced


def test_finds_loopback_on_this_machine() -> None:
    loopback = [interface for interface in scan() if ip_interface("127.0.0.1/8") in interface.addresses]

    assert [interface.is_loopback and interface.is_up for interface in loopback] == [True]


SANDBOX = ROOT / "tests" / "support" / "sandbox.py"


@pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are made with Linux's seccomp")
@pytest.mark.parametrize(
    ("denied", "versions", "missing"),
    [
        ("AF_INET", {6}, "without IPv4, since this process may not open AF_INET sockets"),
        ("AF_NETLINK", {4}, "without IPv6, since this process may not open AF_NETLINK sockets"),
        ("AF_INET,AF_NETLINK", set(), "without IPv4 and IPv6, since this process may not open AF_INET and AF_NETLINK"),
    ],
)
def test_in_a_sandbox_the_allowed_families_are_listed_and_the_denied_ones_named(
    denied: str, versions: set[int], missing: str
) -> None:
    code = """
from mesh.discovery.mdns.scan import scan, what_is_denied
try:
    print(sorted({address.version for each in scan() for address in each.addresses}))
except OSError:
    print([])
print(what_is_denied())
"""

    command = [sys.executable, SANDBOX, denied, sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()

    assert set(json.loads(shown[0])) <= versions  # a machine may have no IPv6
    assert shown[1].startswith(missing)
