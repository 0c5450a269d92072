"""The network interfaces of this machine, and which of them discovery uses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from peers.transport.sockets import EVERY_HOST

Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface

NOT_A_LAN = re.compile(r"docker0|br-[0-9a-f]{12}|veth[0-9a-f]{7}")
"""Names that Docker gives to its interfaces: there may be many, and other machines cannot dial their addresses.

The whole name must match: OpenWrt calls its LAN br-lan.
"""
MDNS_PORT = 5353
"""Of UDP."""
ANNOUNCED_LIMIT = 12
"""Most addresses in one announcement."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface and its present state."""

    name: str
    index: int
    addresses: tuple[Address, ...]
    is_up: bool = True
    is_running: bool = True
    """Whether its cable is plugged in, or its access point connected."""
    is_multicast: bool = True
    """Whether multicast is possible on it; false for a port of a bridge, which does it instead."""

    @property
    def is_loopback(self) -> bool:
        return all(address.ip.is_loopback for address in self.addresses)


@dataclass(frozen=True, slots=True)
class ChosenInterfaces:
    """The interfaces chosen, each with only the addresses that may be used."""

    interfaces: tuple[Interface, ...] = ()
    hosts: tuple[str, ...] = field(default=EVERY_HOST, compare=False)
    """Where this node listens, as in Announcement."""
    machine: tuple[Interface, ...] = field(default=(), compare=False)
    """All interfaces of this machine with all their addresses."""

    @property
    def own_hosts(self) -> frozenset[str]:
        """All addresses of this machine, as text."""
        return frozenset(str(address.ip) for interface in self.machine for address in interface.addresses)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(interface.name for interface in self.interfaces)

    @property
    def sockets(self) -> tuple[str, ...]:
        """One IPv4 and one IPv6 address of each interface: a multicast group is joined once per interface and family.

        The IPv6 one is link-local, if there is one: only a packet from such a source gives scope to a link-local address.
        """
        chosen: dict[str, None] = {}
        for interface in self.interfaces:
            fours = [address for address in interface.addresses if address.version == 4]
            sixes = [address for address in interface.addresses if address.version == 6]
            for address in fours[:1] + sorted(sixes, key=lambda six: not six.ip.is_link_local)[:1]:
                chosen[str(address.ip)] = None
        return tuple(chosen)

    @property
    def announced(self) -> tuple[str, ...]:
        """The addresses at which others can dial this node, IPv4 first."""
        families = [version for version, host in ((4, "0.0.0.0"), (6, "::")) if host in self.hosts]
        listening = [each for one in self.interfaces for each in one.addresses if each.version in families]
        listening += [each for one in self.interfaces for each in _only(one, self.hosts).addresses]
        chosen = dict.fromkeys(address.ip for address in sorted(listening, key=lambda each: each.version))
        return tuple(str(ip) for ip in chosen)[:ANNOUNCED_LIMIT]

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(address for interface in self.interfaces for address in interface.addresses)

    def places(self) -> dict[str, int]:
        """The index of the interface of each socket address. If it changes, the interface was replaced."""
        sockets = set(self.sockets)
        found = {str(address.ip): each.index for each in self.interfaces for address in each.addresses}
        return {ip: index for ip, index in found.items() if ip in sockets}


def choose(found: Iterable[Interface], wanted: Sequence[str] | None) -> ChosenInterfaces:
    """The interfaces to use: those `wanted`, by address or name; None: the LANs of this machine.

    A LAN is up, can multicast, and is neither loopback nor one of Docker's. If there is none, Docker's interfaces are used, and
    without those loopback (only IPv4: nothing can be sent to ::1). A wanted interface that is missing is left out, and never
    replaced by another one.
    """
    everything = tuple(found)
    usable = [interface for interface in everything if interface.is_up and interface.addresses]
    if wanted is None:
        lans = [each for each in usable if not each.is_loopback and each.is_multicast]
        chosen = [each for each in lans if not NOT_A_LAN.fullmatch(each.name)] or lans
        chosen = chosen or [_only(interface, ["127.0.0.1"]) for interface in usable]
    else:
        chosen = [_only(interface, wanted) for interface in usable]
    return ChosenInterfaces(tuple(interface for interface in chosen if interface.addresses), machine=everything)


def why_none(found: Iterable[Interface], wanted: Sequence[str] | None) -> str:
    """The sentence for users when `choose` found nothing."""
    there = ", ".join(f"{each.name} {address.ip}" for each in found for address in each.addresses) or "nothing"
    if wanted is None:
        return f"mDNS needs a network interface, and none is up, not even loopback (found: {there})"
    return f"mDNS: nothing like {', '.join(wanted)} is up on this machine (found: {there})"


def what_is_missing(network: ChosenInterfaces, wanted: Sequence[str] | None) -> str:
    """Why the chosen interfaces may not be enough; empty if they are LANs, or were wanted."""
    if wanted is not None:
        return ""
    if all(interface.is_loopback for interface in network.interfaces):
        return "no network that can multicast is up, so only nodes of this machine are found"
    if all(NOT_A_LAN.fullmatch(name) for name in network.names):
        return "no other network than Docker's is up"
    return ""


def _only(interface: Interface, wanted: Sequence[str]) -> Interface:
    """The interface with only its wanted addresses."""
    zones = ("", interface.name, str(interface.index))
    kept = []
    for address in interface.addresses:
        for want in wanted:
            ip, _, zone = want.partition("%")
            if want == interface.name or (_is_same(ip, address) and zone in zones):
                kept.append(address)
                break
    return replace(interface, addresses=tuple(kept))


def _is_same(ip: str, address: Address) -> bool:
    try:
        return ipaddress.ip_address(ip) == address.ip
    except ValueError:
        return False
