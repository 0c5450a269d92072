"""What several tests of mDNS need: TXT entries, interfaces of a machine that does not exist, names of nodes."""

from __future__ import annotations

from ipaddress import ip_interface

from mesh.discovery.mdns.interfaces import Interface

KITCHEN = "kitchen~7f3q2x5a"
ATTIC = "attic~2222aaaa"


def entries(*texts: bytes) -> bytes:
    """A TXT record with these entries."""
    return b"".join(bytes([len(text)]) + text for text in texts)


def card(name: str, index: int, *addresses: str, **flags: bool) -> Interface:
    """A network interface with these addresses, as `10.0.0.1/24`; `flags` are those of Interface."""
    return Interface(name, index, tuple(ip_interface(address) for address in addresses), **flags)


LO = card("lo", 1, "127.0.0.1/8", "::1/128")
ETH = card("eth0", 2, "192.168.1.7/24", "192.168.1.8/24", "fd00::7/64", "fe80::7/64")
WLAN = card("wlan0", 3, "10.1.1.7/24")
DOCKER = card("docker0", 4, "172.17.0.1/16")
