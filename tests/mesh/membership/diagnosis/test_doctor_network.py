"""What `mesh doctor` says of the network, and of other nodes."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from mesh.discovery.mdns.interfaces import Interface, choose, why_none
from mesh.membership.diagnosis.doctor.firewall import Drop
from mesh.membership.diagnosis.doctor.neighbours import (
    NodePath,
    meshes_finding,
    neighbour_findings,
    path_finding,
    releases_finding,
)
from mesh.membership.diagnosis.doctor.network import (
    Firewall,
    Heard,
    firewall_finding,
    interface_finding,
    multicast_finding,
    port_finding,
    reach_finding,
)
from tests.support.links import link

LAN = ipaddress.IPv4Interface("10.0.0.1/24")
ETH0 = Interface("eth0", 2, (LAN,))
LO = Interface("lo", 1, (ipaddress.IPv4Interface("127.0.0.1/8"),))
ON = {"on": True, "interfaces": ["eth0"], "why": None}


@pytest.mark.parametrize(
    ("machine", "is_on", "discovery", "state", "part"),
    [
        ([ETH0, LO], True, None, "ok", "eth0 (10.0.0.1) used"),
        ([ETH0, LO], True, ON, "ok", "eth0 (10.0.0.1) used"),
        ([ETH0, LO], False, None, "ok", "switched off"),
        ([ETH0], True, {"on": False, "interfaces": [], "why": "no route"}, "wrong", "discovery is off: no route"),
        ([], True, None, "wrong", "none is up"),
        ([LO], True, None, "look", "only nodes of this machine"),
        ([Interface("eth0", 2, (LAN,), is_running=False)], True, None, "look", "no cable or access point: eth0"),
    ],
)
def test_the_interfaces(machine: list[Interface], is_on: bool, discovery: Any, state: str, part: str) -> None:
    network, why = choose(machine, None), why_none(machine, None)

    found = interface_finding(network, why, is_on=is_on, is_chosen=False, discovery=discovery)

    assert (found.state, part in found.found) == (state, True), found


def test_an_interface_that_an_option_chose_is_ok() -> None:
    found = interface_finding(choose([LO], ["lo"]), "", is_on=True, is_chosen=True, discovery=None)

    assert (found.state, found.found.endswith("as the options say")) == ("ok", True)


@pytest.mark.parametrize(
    ("heard", "is_linked", "state", "part"),
    [
        (Heard("eth0", ("IPv4",), (), ("10.0.0.7",)), False, "ok", "hears itself over IPv4, and 10.0.0.7"),
        (
            Heard("eth0", ("IPv4",), ("IPv6",), ("10.0.0.7", "10.0.0.8")),
            True,
            "ok",
            "10.0.0.7 and 1 more (IPv6 is not heard)",
        ),
        (Heard("eth0", ("IPv4",)), False, "look", "no other machine is heard"),
        (Heard("eth0", ("IPv4",)), True, "look", "though one is connected"),
        (Heard("eth0", (), ("IPv4",)), True, "wrong", "does not hear its own question to UDP port 5353"),
        (Heard("eth0", error="Address already in use"), True, "wrong", "Address already in use"),
        (Heard("eth0", ("IPv4",), (), ("10.9.0.7",), ("10.9.0.7",)), False, "wrong", "a node at 10.9.0.7 is heard"),
        (Heard("eth0", ("IPv4",), (), ("10.9.0.7",), ("10.9.0.7",)), True, "look", "in no network of this interface"),
        (Heard("eth0", ("IPv4",), (), ("10.9.0.7",)), False, "ok", "10.9.0.7"),
        (Heard("eth0", ("IPv4",), (), ("fd77::7",), ("fd77::7",)), False, "ok", "fd77::7"),
    ],
)
def test_multicast_on_an_interface(heard: Heard, is_linked: bool, state: str, part: str) -> None:
    found = multicast_finding(heard, [LAN], is_linked=is_linked)

    assert (found.check, found.state, part in found.found) == ("multicast eth0", state, True), found


@pytest.mark.parametrize(
    ("firewall", "is_proven", "state"),
    [
        (Firewall(True), False, "ok"),
        (Firewall(True, drops=(Drop("it drops UDP", "nft insert x"),)), False, "wrong"),
        (Firewall(True, drops=(Drop("it drops UDP", "nft insert x"),)), True, "look"),
        (Firewall(why_not="there is no nft"), False, "look"),
        (Firewall(why_not="there is no nft"), True, "ok"),
    ],
)
def test_the_firewall(firewall: Firewall, is_proven: bool, state: str) -> None:
    found = firewall_finding(firewall, is_proven=is_proven)

    assert found.state == state
    assert state != "wrong" or "`nft insert x`" in found.remedy


def test_a_port_that_another_program_has_is_named_with_that_program() -> None:
    taken = port_finding(4000, "nginx (process 12)", is_taken=True, is_kept=True)

    assert (taken.state, "taken by nginx (process 12)" in taken.found) == ("wrong", True)
    assert port_finding(4000, "", is_taken=True, is_kept=False).found == "TCP port 4000 is taken by another program"
    assert port_finding(4000, "", is_taken=False, is_kept=True).state == "ok"
    assert port_finding(0, "", is_taken=False, is_kept=True).state == "ok"


@pytest.mark.parametrize(
    ("links", "is_loopback", "state", "part"),
    [
        ([], True, "ok", "for programs of this machine alone"),
        ([], False, "look", "no other node is connected"),
        ([link(reached=True)], False, "ok", "study~b has dialled TCP port 4000 here just now"),
        ([link(reached=True)], True, "ok", "study~b has dialled TCP port 4000 here just now"),
        ([link(reached=False, why="timed out after 3 s")], False, "wrong", "cannot dial TCP port 4000 here: timed out"),
        ([link(reached=True), link(reached=False, why="no route")], False, "wrong", "no route; study~b can"),
        ([link(dialled=False)], False, "ok", "dialled TCP port 4000 here when it connected"),
        ([link(not_dialled="too many ask")], False, "look", "study~b: too many ask"),
        ([link(release="")], False, "look", "of an earlier release, which cannot try"),
    ],
)
def test_whether_others_reach_the_port(links: Any, is_loopback: bool, state: str, part: str) -> None:
    found = reach_finding(4000, links, is_loopback)

    assert (found.state, part in found.found) == (state, True), found


@pytest.mark.parametrize(
    ("why", "part"),
    [("timed out after 3 s", "firewall"), ("refused", "--listen"), ("its key is that of another node, x", "router")],
)
def test_the_remedy_follows_the_reason(why: str, part: str) -> None:
    assert part in reach_finding(4000, [link(reached=False, why=why)], False).remedy


# Other nodes


def peer(**fields: Any) -> dict[str, Any]:
    row = {"node_id": "study~b", "state": "found", "session": None, "addresses": ["10.0.0.2:4000"], "reason": ""}
    return {**row, **fields}


def lines(*peers: dict[str, Any], sessions: Any = (), paused: Any = ()) -> list[tuple[str, str]]:
    status = {"peers": peers, "sessions": sessions, "paused": paused}
    return [(found.state, f"{found.found} -> {found.remedy}") for found in neighbour_findings(status, [LAN])]


@pytest.mark.parametrize(
    ("row", "state", "part"),
    [
        (peer(session="synchronized", state="alive"), "ok", "connected with study~b"),
        (peer(), "look", "not connected yet"),
        (
            peer(reason="10.0.0.2:4000: timed out after 3 s"),
            "wrong",
            "timed out after 3 s -> see whether it is on, and",
        ),
        (peer(reason="10.0.0.2:4000: refused"), "wrong", "refused -> nothing listens there"),
        (peer(state="left"), "ok", "it said goodbye"),
        (peer(state="refused", reason="belongs to another mesh"), "wrong", "is refused: belongs to another mesh"),
        (peer(addresses=["10.9.0.2:4000"], reason="no route"), "wrong", "in no network of this machine (10.0.0.0/24)"),
        (peer(addresses=["10.9.0.2:4000"], reason="10.9.0.2:4000: refused"), "wrong", "nothing listens there"),
        (peer(addresses=["10.9.0.2:4000", "10.0.0.2:4000"]), "look", "not connected yet"),
        (peer(addresses=["[fe80::1%eth0]:4000"]), "look", "not connected yet"),
        (peer(addresses=["till.local:4000"], reason="refused"), "wrong", "nothing listens there"),
    ],
)
def test_a_neighbour_is_connected_or_it_is_said_why_not(row: dict[str, Any], state: str, part: str) -> None:
    ((found, sentence),) = lines(row)

    assert (found, part in sentence) == (state, True), sentence


def test_an_address_without_an_answer_is_named_once() -> None:
    silent = {"address": "10.0.0.9:4000", "reason": "no route", "dialled": True, "other_node_id": None}
    known = {"address": "10.0.0.2:4000", "reason": "refused", "dialled": True, "other_node_id": None}

    found = lines(peer(reason="refused"), sessions=[silent, known])

    assert [state for state, _ in found] == ["wrong", "wrong"]
    assert "10.0.0.9:4000" in found[1][1]


def test_what_is_paused_is_wrong_and_no_peer_at_all_is_worth_a_look() -> None:
    assert lines(paused=[{"what": "the log", "why": "it failed"}])[0][0] == "wrong"
    assert lines()[0] == ("look", lines()[0][1])


@pytest.mark.parametrize(
    ("path", "sends_small", "state", "part"),
    [
        (NodePath("s", 1500, 1500, "eth0", True, True), False, "ok", "1500 bytes, tried"),
        (NodePath("s", 1500, 1500, "eth0"), False, "ok", "1500 bytes"),
        (NodePath("s", 1500, 1500, "eth0", True, False), False, "wrong", "those of 1500 bytes are lost"),
        (NodePath("s", 1500, 1500, "eth0", False, False), False, "ok", "1500 bytes"),
        (NodePath("s", 1280, 1500, "eth0", True, True), False, "look", "1280 bytes, and eth0 has 1500"),
        (NodePath("s", 1500, 1500, "eth0"), True, "wrong", "large packets do not get through to s"),
        (NodePath("s", None, None), False, "look", "does not say it"),
    ],
)
def test_the_packets_that_get_through(path: NodePath, sends_small: bool, state: str, part: str) -> None:
    found = path_finding(path, sends_small=sends_small)

    assert (found.state, part in found.found) == (state, True), found


def test_other_meshes_and_other_releases_are_worth_a_look() -> None:
    assert [meshes_finding(count).state for count in (0, 1, 2)] == ["ok", "look", "look"]
    assert releases_finding("0.6", [link(), link()]).found == "this node and 2 connected have 0.6"
    mixed = releases_finding("0.6", [link(), link(release=""), link(release="0.5")])
    assert (mixed.state, "1 0.5, 1 0.6, 1 an earlier one" in mixed.found) == ("look", True)
    assert releases_finding("0.6", []).state == "ok"
