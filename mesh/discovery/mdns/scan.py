"""Reads the list of network interfaces from the system, and which address families this process may use."""

from __future__ import annotations

import array
import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import ifaddr

from mesh.discovery.mdns.interfaces import Address, Interface

SANDBOX = "(RestrictAddressFamilies= of its unit, or another seccomp filter)"
INTERFACES = Path("/sys/class/net")
IPV6_ADDRESSES = Path("/proc/net/if_inet6")
LIST_LIMIT = 256
"""IPv4 addresses of this machine that are read where AF_NETLINK is denied."""

_IFF_UP, _IFF_LOOPBACK, _IFF_RUNNING, _IFF_MULTICAST = 0x1, 0x8, 0x40, 0x1000
_HEALTHY = _IFF_UP | _IFF_RUNNING | _IFF_MULTICAST
_SIOCGIFCONF, _SIOCGIFFLAGS, _SIOCGIFNETMASK = 0x8912, 0x8913, 0x891B
_IFREQ_BYTES = 16 + (24 if struct.calcsize("P") == 8 else 16)


def scan() -> tuple[Interface, ...]:
    """All interfaces that have an address, in the order of the system; takes about 0.3 ms.

    Addresses of a family that this process may not use are left out. Raises OSError if the interfaces cannot be listed.
    """
    versions = [version for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)) if _may_open(family)]
    found: dict[str, Interface] = {}
    for name, index, addresses in _list():
        before = found.get(name)
        flags = _flags(name)
        found[name] = Interface(
            name,
            before.index if before else index,
            (before.addresses if before else ()) + tuple(each for each in addresses if each.version in versions),
            is_up=bool(flags & _IFF_UP),
            is_running=bool(flags & _IFF_RUNNING),
            is_multicast=bool(flags & (_IFF_MULTICAST | _IFF_LOOPBACK)) and not _is_bridge_port(name),
        )
    return tuple(found.values())


def what_is_denied() -> str:
    """Which address families this process may not use, and why, as the end of a sentence; empty if it may use all."""
    denied = {"AF_INET": "IPv4"} if not _may_open(socket.AF_INET) else {}
    if not _may_open(socket.AF_INET6) and _has_ipv6():
        denied["AF_INET6"] = "IPv6"
    if _is_netlink_denied():
        denied["AF_NETLINK"] = "IPv6"
    if not denied:
        return ""
    without = " and ".join(dict.fromkeys(denied.values()))
    return f"without {without}, since this process may not open {' and '.join(denied)} sockets {SANDBOX}"


def _list() -> Iterator[tuple[str, int, list[Address]]]:
    """Name, index and addresses of each interface; the same interface may come several times."""
    try:
        adapters = list(ifaddr.get_adapters())
    except (AssertionError, UnicodeDecodeError) as error:  # ifaddr, when an interface vanishes meanwhile
        raise OSError("the list of network interfaces changed while it was read") from error
    except OSError:
        if not _is_netlink_denied():
            raise
        yield from _list_ipv4()
        return
    for adapter in adapters:
        name = str(adapter.name).partition(":")[0]  # eth0:1 is a label of eth0
        yield name, adapter.index or 0, list(_addresses(adapter))


def _addresses(adapter: ifaddr.Adapter) -> Iterable[Address]:
    for ip in adapter.ips:
        text = ip.ip[0] if isinstance(ip.ip, tuple) else ip.ip
        try:
            yield ipaddress.ip_interface(f"{text.partition('%')[0]}/{ip.network_prefix}")
        except ValueError:  # an address family that is neither
            continue


def _list_ipv4() -> Iterator[tuple[str, int, list[Address]]]:
    """The same for IPv4 on Linux, without AF_NETLINK."""
    import fcntl  # not on every platform

    rows = array.array("B", bytes(LIST_LIMIT * _IFREQ_BYTES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFCONF, struct.pack("iP", len(rows), rows.buffer_info()[0]))
        used_bytes = struct.unpack("iP", answer)[0]
        for at in range(0, used_bytes, _IFREQ_BYTES):
            row = rows[at : at + _IFREQ_BYTES].tobytes()
            try:
                mask = fcntl.ioctl(sock, _SIOCGIFNETMASK, row)[20:24]
            except OSError:  # gone since it was listed
                continue
            name = row[:16].partition(b"\0")[0].decode(errors="replace").partition(":")[0]
            address = f"{socket.inet_ntoa(row[20:24])}/{socket.inet_ntoa(mask)}"
            yield name, _index(name), [ipaddress.IPv4Interface(address)]


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _flags(name: str) -> int:
    """The kernel's flags of an interface; on other systems than Linux, those of a working one."""
    if sys.platform != "linux":
        return _HEALTHY
    import fcntl  # not on every platform

    request = struct.pack("16sH14x", name.encode()[:15], 0)
    family = socket.AF_INET if _may_open(socket.AF_INET) else socket.AF_INET6  # any socket may ask
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, request)
        except OSError:  # gone since it was listed
            return 0
    return int(struct.unpack("16sH14x", answer)[1])


def _is_bridge_port(name: str) -> bool:
    """Whether an interface is a port of a bridge, such as those of containers, which come and go."""
    return (INTERFACES / name / "brport").exists()


def _may_open(family: int) -> bool:
    """Whether this process may open sockets of an address family."""
    kind = socket.SOCK_DGRAM  # fits AF_NETLINK, too
    try:
        socket.socket(family, kind).close()
    except OSError as error:
        return error.errno in {
            errno.EMFILE,
            errno.ENFILE,
            errno.ENOBUFS,
            errno.ENOMEM,
        }  # too many files: a passing trouble
    return True


def _is_netlink_denied() -> bool:
    return sys.platform == "linux" and not _may_open(socket.AF_NETLINK)


def _has_ipv6() -> bool:
    """Whether an interface other than loopback has an IPv6 address."""
    try:
        return any(line.split()[-1] != "lo" for line in IPV6_ADDRESSES.read_text().splitlines())
    except (OSError, IndexError):
        return False
