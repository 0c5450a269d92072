"""The checks of the network as this machine sees it: interfaces, multicast, the firewall and the port."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.discovery.mdns.interfaces import MDNS_PORT, Address, ChosenInterfaces, Interface
from mesh.membership.diagnosis.doctor.finding import Finding
from mesh.membership.diagnosis.doctor.firewall import Drop
from mesh.membership.diagnosis.links import LinkRow
from mesh.membership.dialling.refusals import why_unreachable


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of multicast DNS on one interface, after a question of ours."""

    interface: str
    own: tuple[str, ...] = ()
    """The families, IPv4 and IPv6, in which we heard ourselves."""
    deaf: tuple[str, ...] = ()
    """Those in which we did not."""
    others: tuple[str, ...] = ()
    """The addresses of other machines."""
    nodes: tuple[str, ...] = ()
    """Those of them that answered as nodes."""
    error: str = ""
    """Why nothing could be sent."""


@dataclass(frozen=True, slots=True)
class Firewall:
    """What could be read of the firewall of this machine."""

    is_read: bool = False
    why_not: str = ""
    drops: tuple[Drop, ...] = ()
    """For each packet that is needed, and certainly dropped."""


def interface_finding(
    network: ChosenInterfaces, why_none: str, *, is_on: bool, is_chosen: bool, discovery: Mapping[str, Any] | None
) -> Finding:
    """Which interfaces discovery uses, and whether an option chose them. `discovery` is the row of a running node's status."""
    if not is_on:
        return Finding("interfaces", "ok", "the node looks for no others: mDNS is switched off")
    if discovery is not None and not discovery["on"]:
        return Finding(
            "interfaces", "wrong", f"discovery is off: {discovery['why']}", "connect a network, or give --interface"
        )
    if not network.interfaces:
        return Finding("interfaces", "wrong", why_none, "connect a network, or correct --interface")
    used = ", ".join(map(_shown, network.interfaces))
    unused = [each.name for each in network.machine if each.name not in network.names and not each.is_loopback]
    found = f"{used} used" + (f", {', '.join(unused)} not" if unused else "")
    down = [each.name for each in network.interfaces if not each.is_running]
    if down:
        return Finding("interfaces", "look", f"{found}; no cable or access point: {', '.join(down)}", "plug it in")
    if all(each.is_loopback for each in network.interfaces):
        here = f"{found}: only nodes of this machine are found"
        if is_chosen:
            return Finding("interfaces", "ok", f"{here}, as the options say")
        return Finding("interfaces", "look", here, "connect a network")
    return Finding("interfaces", "ok", found)


def multicast_finding(heard: Heard, addresses: Sequence[Address], *, is_linked: bool) -> Finding:
    """About one interface; `addresses` are those of it. `is_linked`: whether another node is connected."""
    check = f"multicast {heard.interface}"
    if heard.error:
        remedy = (
            f"stop the program that keeps UDP port {MDNS_PORT} for itself, or name nodes by `mesh peer add HOST:PORT`"
        )
        return Finding(check, "wrong", f"cannot ask by mDNS: {heard.error}", remedy)
    if not heard.own:
        found = f"this machine does not hear its own question to UDP port {MDNS_PORT}"
        return Finding(check, "wrong", found, f"let UDP port {MDNS_PORT} in through the firewall of this machine")
    families = " and ".join(heard.own)
    strange = [one for one in heard.nodes if not _is_near(one, addresses)]
    if strange:
        nets = ", ".join(str(each.network) for each in addresses)
        found = f"a node at {', '.join(strange)} is heard, in no network of this interface ({nets})"
        remedy = "give all machines addresses of one subnet, or set routes between the two"
        return Finding(check, "look" if is_linked else "wrong", found, remedy)
    if heard.others:
        also = f" ({' and '.join(heard.deaf)} is not heard)" if heard.deaf else ""
        return Finding(check, "ok", f"hears itself over {families}, and {_some(heard.others)}{also}")
    remedy = (
        f"if other nodes run here: let UDP port {MDNS_PORT} in on their machines; guest Wi-Fi and some switches pass no "
        "multicast, then use `mesh peer add HOST:PORT`"
    )
    known = "no other machine is heard, though one is connected" if is_linked else "no other machine is heard"
    return Finding(check, "look", f"hears itself over {families}; {known}", remedy)


def firewall_finding(firewall: Firewall, *, is_proven: bool) -> Finding:
    """`is_proven`: whether multicast was heard from others, and another node has dialled this one."""
    if firewall.drops:
        remedy = "let it in: " + ", ".join(f"`{drop.fix}`" for drop in firewall.drops)
        found = "; ".join(drop.found for drop in firewall.drops)
        remedy += ", and in the file from which the rules are loaded"
        return Finding("firewall", "look" if is_proven else "wrong", found, remedy)
    if firewall.is_read:
        return Finding("firewall", "ok", "no nft rule is seen that drops what the node needs")
    if is_proven:
        return Finding("firewall", "ok", f"others reach this node ({firewall.why_not})")
    return Finding(
        "firewall", "look", f"its rules are not read: {firewall.why_not}", "run `mesh doctor` as root to see them"
    )


def port_finding(port: int, holder: str, is_taken: bool, is_kept: bool) -> Finding:
    """Of a node that does not run: whether its port is free. `holder` is the program that has it, if it is known."""
    if not port:
        return Finding("port", "ok", "none is chosen yet: the first start takes a free one")
    if not is_taken:
        return Finding("port", "ok", f"TCP port {port} is free")
    who = holder or "another program"
    if is_kept:
        found = f"TCP port {port}, which this node keeps, is taken by {who}"
        return Finding(
            "port",
            "wrong",
            found,
            "stop that program; else the node starts on another port, where others do not expect it",
        )
    return Finding(
        "port", "wrong", f"TCP port {port} is taken by {who}", "stop that program, or choose another port with --listen"
    )


def reach_finding(port: int, links: Sequence[LinkRow], is_loopback: bool) -> Finding:
    """Of a running node: whether others could dial its port just now."""
    if is_loopback and not links:
        return Finding("port", "ok", f"TCP port {port} is for programs of this machine alone, as the options say")
    reached = [link["node_id"] for link in links if link["reached"]]
    failed = [link for link in links if link["reached"] is False]
    if failed:
        first = failed[0]
        but = f"; {_some(reached)} can" if reached else ""
        found = f"{first['node_id']} cannot dial TCP port {port} here: {first['why']}{but}"
        return Finding("port", "wrong", found, _reach_remedy(port, first["why"]))
    if reached:
        return Finding("port", "ok", f"{_some(reached)} has dialled TCP port {port} here just now")
    came = [link["node_id"] for link in links if not link["dialled"]]
    if came:
        return Finding("port", "ok", f"{_some(came)} dialled TCP port {port} here when it connected")
    if not links:
        return Finding(
            "port", "look", "not checked: no other node is connected that could dial this one", "connect another node"
        )
    why = next((f"{link['node_id']}: {link['not_dialled']}" for link in links if link["not_dialled"]), "")
    if not why:
        found = "not checked: the others are of an earlier release, which cannot try"
        return Finding("port", "look", found, "bring them to this release")
    return Finding("port", "look", f"not checked: {why}", "call `mesh doctor` again in a moment, or on another node")


def _reach_remedy(port: int, why: str) -> str:
    kind = why_unreachable(why)
    if kind in {"timed out", "no route"}:
        return f"let TCP port {port} in through the firewall of this machine, or that between the two"
    if kind == "refused":
        return f"a firewall refuses TCP port {port}: let it in; or the node listens at another address: see --listen"
    return "another program answers there: a router is between the two, and has to pass this port on to this machine"


def _shown(interface: Interface) -> str:
    return f"{interface.name} ({', '.join(str(address.ip) for address in interface.addresses)})"


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _is_near(ip: str, addresses: Sequence[Address]) -> bool:
    """Whether an address is in one of these networks; one of IPv6 tells nothing, since a machine has several."""
    found = ipaddress.ip_address(ip.partition("%")[0])
    return found.version == 6 or found.is_link_local or any(found in address.network for address in addresses)
