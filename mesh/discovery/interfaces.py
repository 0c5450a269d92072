"""The network interfaces of this machine, and which of them we announce ourselves on."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import ifaddr

from peers.connections.sockets import EVERY_HOST

Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface

NOT_A_LAN = re.compile(r"(docker|veth|br-|virbr|tun)")
"""Names of interfaces that lead to containers, virtual machines and VPNs: noise, and addresses nobody can dial."""
ANNOUNCED_LIMIT = 12
"""How many addresses an announcement carries."""

_IFF_UP, _IFF_LOOPBACK, _IFF_RUNNING, _IFF_MULTICAST = 0x1, 0x8, 0x40, 0x1000
_SIOCGIFFLAGS = 0x8913


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface with what it has right now."""

    name: str
    index: int
    addresses: tuple[Address, ...]
    is_up: bool = True
    is_running: bool = True
    """Its cable is in, its access point reached: a return of it is a return of the network."""
    is_multicast: bool = True

    @property
    def is_loopback(self) -> bool:
        return all(address.ip.is_loopback for address in self.addresses)


@dataclass(frozen=True, slots=True)
class Network:
    """The interfaces chosen, each with only the addresses that may be used."""

    interfaces: tuple[Interface, ...] = ()
    hosts: tuple[str, ...] = field(default=EVERY_HOST, compare=False)
    """Where our door is open, as Announcement says."""

    @property
    def sockets(self) -> tuple[str, ...]:
        """One IPv4 and one IPv6 address of each interface: a group can be joined once per interface and family.

        Of IPv6 the link-local one: only a message that comes from it tells the scope of a link-local address.
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
        """Every address under which others may dial us, IPv4 first."""
        families = [version for version, host in ((4, "0.0.0.0"), (6, "::")) if host in self.hosts]
        listening = [each for one in self.interfaces for each in one.addresses if each.version in families]
        listening += [each for one in self.interfaces for each in _only(one, self.hosts).addresses]
        chosen = dict.fromkeys(address.ip for address in sorted(listening, key=lambda each: each.version))
        return tuple(str(ip) for ip in chosen)[:ANNOUNCED_LIMIT]

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(address for interface in self.interfaces for address in interface.addresses)

    def places(self) -> dict[str, int]:
        """Index of the interface behind each socket address: another one under the same address is a new interface."""
        sockets = set(self.sockets)
        found = {str(address.ip): each.index for each in self.interfaces for address in each.addresses}
        return {ip: index for ip, index in found.items() if ip in sockets}


def scan() -> tuple[Interface, ...]:
    """All interfaces that have an address, in the system's order; takes about 0.3 ms. Raises OSError."""
    try:
        adapters = list(ifaddr.get_adapters())
    except (AssertionError, UnicodeDecodeError) as error:  # ifaddr, when an interface vanishes meanwhile
        raise OSError("the list of network interfaces changed while it was read") from error
    found: dict[str, Interface] = {}
    for adapter in adapters:
        name = str(adapter.name).partition(":")[0]  # eth0:1 is a label of eth0
        before = found.get(name)
        addresses = (before.addresses if before else ()) + tuple(_addresses(adapter))
        flags = _flags(name)
        found[name] = Interface(
            name,
            before.index if before else adapter.index or 0,
            addresses,
            is_up=bool(flags & _IFF_UP),
            is_running=bool(flags & _IFF_RUNNING),
            is_multicast=bool(flags & (_IFF_MULTICAST | _IFF_LOOPBACK)),
        )
    return tuple(found.values())


def choose(found: Iterable[Interface], wanted: Sequence[str] | None) -> Network:
    """The interfaces to use: those `wanted`, by address or by name, or None for the LANs of this machine.

    A LAN is up, can multicast, and is neither loopback nor known as virtual by its name. Without any it is loopback
    (IPv4: nothing can be sent to ::1). What is wanted and not there is left out; nothing else ever takes its place.
    """
    usable = [interface for interface in found if interface.is_up and interface.addresses]
    if wanted is not None:
        return Network(tuple(_only(interface, wanted) for interface in usable if _only(interface, wanted).addresses))
    lans = [each for each in usable if not each.is_loopback and each.is_multicast and not NOT_A_LAN.match(each.name)]
    return Network(tuple(lans)) if lans else choose(usable, ["127.0.0.1"])


def why_none(found: Iterable[Interface], wanted: Sequence[str] | None) -> str:
    """A sentence for when `choose` found nothing."""
    there = ", ".join(f"{each.name} {address.ip}" for each in found for address in each.addresses) or "nothing"
    if wanted is None:
        return f"mDNS needs a network interface, and none is up, not even loopback (found: {there})"
    return f"mDNS: nothing like {', '.join(wanted)} is up on this machine (found: {there})"


def _only(interface: Interface, wanted: Sequence[str]) -> Interface:
    """The interface with its wanted addresses only."""
    zones = ("", interface.name, str(interface.index))
    kept = []
    for address in interface.addresses:
        for want in wanted:
            ip, _, zone = want.partition("%")
            if want == interface.name or (_is_same(ip, address) and zone in zones):
                kept.append(address)
                break
    return Interface(
        interface.name,
        interface.index,
        tuple(kept),
        is_up=interface.is_up,
        is_running=interface.is_running,
        is_multicast=interface.is_multicast,
    )


def _is_same(ip: str, address: Address) -> bool:
    try:
        return ipaddress.ip_address(ip) == address.ip
    except ValueError:
        return False


def _addresses(adapter: ifaddr.Adapter) -> Iterable[Address]:
    for ip in adapter.ips:
        text = ip.ip[0] if isinstance(ip.ip, tuple) else ip.ip
        try:
            yield ipaddress.ip_interface(f"{text.partition('%')[0]}/{ip.network_prefix}")
        except ValueError:  # an address family that is neither
            continue


def _flags(name: str) -> int:
    """The kernel's flags of an interface; where they cannot be asked for, those of a healthy one."""
    healthy = _IFF_UP | _IFF_RUNNING | _IFF_MULTICAST
    if sys.platform != "linux":
        return healthy
    import fcntl  # not on every platform

    request = struct.pack("16sH14x", name.encode()[:15], 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, request)
        except OSError:  # gone since it was listed
            return 0
    return int(struct.unpack("16sH14x", answer)[1])
