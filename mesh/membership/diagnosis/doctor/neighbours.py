"""The checks of other nodes: who is connected and why not, the packets that get through, other meshes, releases."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.discovery.mdns.interfaces import Address
from mesh.membership.diagnosis.black_holes import black_hole_sentence
from mesh.membership.diagnosis.doctor.finding import Finding
from mesh.membership.diagnosis.links import LinkRow
from mesh.membership.dialling.refusals import unreachable_sentence

APART_STATES = {"refused", "paused", "cloned"}
"""States of a node that do not end by themselves."""


@dataclass(frozen=True, slots=True)
class NodePath:
    """The path to another node, as the system knows it and as it was tried."""

    node_id: str
    mtu: int | None
    """The largest packet, in bytes, by what the kernel has learned; None: unknown."""
    interface_mtu: int | None
    interface: str = ""
    is_small_answered: bool | None = None
    """Whether a small ping was answered; None: this process may send none."""
    is_large_answered: bool | None = None
    """Whether one that fills a packet was."""


def neighbour_findings(status: Mapping[str, Any], addresses: Sequence[Address]) -> list[Finding]:
    """A line for those that are connected, and one for each that is not; `addresses` are those of this machine's networks."""
    peers: Sequence[Mapping[str, Any]] = status["peers"]
    met = [peer["node_id"] for peer in peers if peer["session"]]
    found = [_apart(peer, addresses) for peer in peers if not peer["session"]]
    shown = {address for peer in peers for address in peer["addresses"]}
    found += [
        _not_known(row)
        for row in status["sessions"]
        if row["dialled"] and not row["other_node_id"] and row["address"] not in shown
    ]
    found += [
        Finding("paused", "wrong", f"{row['what']}: {row['why']}", "`mesh retry` starts it again")
        for row in status["paused"]
    ]
    if met:
        return [Finding("neighbours", "ok", f"connected with {', '.join(met)}"), *found]
    if found:
        return found
    remedy = "start another one in this network and mesh; where multicast does not pass, `mesh peer add HOST:PORT`"
    return [Finding("neighbours", "look", "no other node is known", remedy)]


def _apart(peer: Mapping[str, Any], addresses: Sequence[Address]) -> Finding:
    who, state, reason = peer["node_id"], peer["state"], peer["reason"]
    check = "neighbour"
    hosts = [_host(address) for address in peer["addresses"]]
    known = [host for host in hosts if host is not None]
    if state in APART_STATES:
        return Finding(check, "wrong", f"{who} is {state}: {reason}", "`mesh retry` tries it again")
    if state == "left":
        return Finding(check, "ok", f"{who} was stopped: it said goodbye")
    if (
        "refused" not in reason
        and known
        and not any(host.is_link_local or host in each.network for host in known for each in addresses)
    ):
        nets = ", ".join(str(each.network) for each in addresses if not each.ip.is_link_local) or "none"
        but = f", and does not answer: {reason}" if reason else ""
        found = f"{who} is at {peer['addresses'][0]}, in no network of this machine ({nets}){but}"
        remedy = (
            "if both are in one LAN, give them addresses of one subnet; else see that it runs, and a route leads there"
        )
        return Finding(check, "wrong", found, remedy)
    if not reason:
        return Finding(check, "look", f"{who} is known, and not connected yet", "call `mesh doctor` again in a moment")
    found, _, remedy = unreachable_sentence(who, peer["addresses"], reason).partition("; ")
    return Finding(check, "wrong", found, remedy)


def _not_known(session: Mapping[str, Any]) -> Finding:
    """An address of --peer or `mesh peer add` at which no node has answered yet."""
    address, reason = session["address"], session["reason"]
    found, _, remedy = unreachable_sentence(address, [address], reason or "no answer yet").partition("; ")
    return Finding("neighbour", "wrong" if reason else "look", found, remedy)


def path_finding(path: NodePath, *, sends_small: bool) -> Finding:
    """The packets that get through to a connected node."""
    check, who = "MTU", path.node_id
    fix = "check the MTU of the networks, tunnels and VPNs between the two, or set that of the interface lower"
    if path.is_small_answered and path.is_large_answered is False:
        found = f"to {who}: small packets are answered, those of {path.mtu or path.interface_mtu} bytes are lost"
        return Finding(check, "wrong", found, fix)
    if sends_small:
        found, _, remedy = black_hole_sentence(who).partition("; ")
        return Finding(check, "wrong", found, remedy)
    if path.mtu is None:
        return Finding(check, "look", f"to {who}: this system does not say it", "nothing, while events come through")
    if path.interface_mtu is not None and path.mtu < path.interface_mtu:
        found = f"to {who}: {path.mtu} bytes, and {path.interface} has {path.interface_mtu}"
        return Finding(
            check, "look", found, "nothing, while events come through: the system has learned it from the network"
        )
    tried = ", tried" if path.is_large_answered else ""
    return Finding(check, "ok", f"to {who}: {path.mtu} bytes{tried}")


def meshes_finding(count: int) -> Finding:
    """How many other meshes announce themselves on this network."""
    if not count:
        return Finding("other meshes", "ok", "none is heard on this network")
    found = f"{count} other mesh{'es are' if count > 1 else ' is'} heard on this network"
    return Finding(
        "other meshes", "look", found, "nothing, if that is intended; else `mesh join` takes a machine into this one"
    )


def releases_finding(own: str, links: Sequence[LinkRow]) -> Finding:
    """Which releases this node and those that are connected have."""
    if not links:
        return Finding("releases", "ok", f"this node has {own}; no other one is connected")
    others = Counter(link["release"] or "an earlier one" for link in links)
    if others.keys() == {own}:
        return Finding("releases", "ok", f"this node and {len(links)} connected have {own}")
    shown = ", ".join(f"{count} {release}" for release, count in sorted(others.items()))
    return Finding(
        "releases", "look", f"this node has {own}, of those connected {shown}", "bring all nodes to one release"
    )


def _host(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address.rpartition(":")[0].strip("[]").partition("%")[0])
    except ValueError:
        return None
