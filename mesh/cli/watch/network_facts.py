"""Measures what the checks of the network need: rules of nft, who has a port, and the packets that get through."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mesh.discovery.mdns.interfaces import Interface
from mesh.membership.diagnosis.doctor.firewall import Packet, why_dropped
from mesh.membership.diagnosis.doctor.neighbours import NodePath
from mesh.membership.diagnosis.doctor.network import Firewall
from mesh.membership.diagnosis.links import LinkRow

NFT_SECONDS = 3.0
PING_SECONDS = 0.7
"""Within which a ping is answered in a LAN."""
MAX_PATHS = 16
"""Neighbours to which the path is looked at."""
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO, _IP_MTU = 10, 2, 14
_IPV6_MTU_DISCOVER, _IPV6_PMTUDISC_DO, _IPV6_MTU = 23, 2, 24
"""Linux; `socket` does not name them."""
_SMALL_PING = 56
_HEADERS = {socket.AF_INET: 28, socket.AF_INET6: 48}
"""Bytes of the IP header and that of a ping."""
_ECHO = {socket.AF_INET: 8, socket.AF_INET6: 128}


def read_firewall(packets: Sequence[Packet]) -> Firewall:
    """Which of these packets the rules of nft drop, as far as this user may read them."""
    program = shutil.which("nft", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        return Firewall(why_not="there is no program nft on this machine")
    try:
        done = subprocess.run(
            [program, "--json", "list", "ruleset"], capture_output=True, timeout=NFT_SECONDS, check=False
        )
        if done.returncode:
            return Firewall(why_not="this user may not read them")
        ruleset = json.loads(done.stdout or b"{}")
        drops = tuple(why for packet in packets if (why := why_dropped(ruleset, packet)))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Firewall(why_not=f"nft failed: {error}")
    except (KeyError, TypeError, AttributeError):
        return Firewall(why_not="this release of nft prints them in an unknown form")
    return Firewall(True, drops=drops)


def is_port_taken(host: str, port: int) -> bool:
    """Whether another program listens at this port; an empty host is every address. Nothing is accepted meanwhile."""
    places = [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")] if not host else []
    if host:
        with contextlib.suppress(OSError):
            places = [(found[0], str(found[4][0])) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for family, address in places:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((address, port))
                sock.listen(1)  # on Linux two may bind, and one listen
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
    return False


def port_holder(port: int) -> str:
    """The program that listens at a TCP port, as far as this user may see it; empty if that is not known."""
    wanted = {f"socket:[{inode}]" for inode in _listening(port)}
    if not wanted:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for file in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(file.readlink()) in wanted:
                        return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return ""


def _listening(port: int) -> Iterator[str]:
    """The inodes of the sockets that listen at a port."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            for line in Path(table).read_text().splitlines()[1:]:
                cells = line.split()
                if cells[3] == "0A" and int(cells[1].rpartition(":")[2], 16) == port:
                    yield cells[9]


def paths_to(links: Sequence[LinkRow], interfaces: Sequence[Interface]) -> list[NodePath]:
    """The path to each neighbour, and whether pings get there; those on this machine are left out."""
    own = {str(address.ip): each for each in interfaces for address in each.addresses}
    paths, pings = [], []
    for link in links[:MAX_PATHS]:
        host = link["address"].rpartition(":")[0].strip("[]")
        with contextlib.suppress(OSError):
            family, _, _, _, place = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
            if str(place[0]).partition("%")[0] in own:
                continue
            local, mtu = _route(family, place)
            interface = own.get(local)
            interface_mtu = _interface_mtu(interface.name) if interface is not None else None
            paths.append(NodePath(link["node_id"], mtu, interface_mtu, interface.name if interface is not None else ""))
            pings.append((family, place, mtu or interface_mtu or 0))
    answered = _ping_all(pings)
    return [
        NodePath(path.node_id, path.mtu, path.interface_mtu, path.interface, *answers)
        for path, answers in zip(paths, answered, strict=True)
    ]


def _route(family: int, place: tuple[object, ...]) -> tuple[str, int | None]:
    """Our address on the way to a place, and the largest packet there, as the kernel has it; nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(place)
        local = str(sock.getsockname()[0]).partition("%")[0]
        if sys.platform != "linux":
            return local, None
        level, option = (socket.IPPROTO_IP, _IP_MTU) if family == socket.AF_INET else (socket.IPPROTO_IPV6, _IPV6_MTU)
        return local, sock.getsockopt(level, option)


def _interface_mtu(name: str) -> int | None:
    try:
        return int(Path(f"/sys/class/net/{name}/mtu").read_text())
    except (OSError, ValueError):
        return None


def _ping_all(places: Sequence[tuple[int, tuple[object, ...], int]]) -> list[tuple[bool | None, bool | None]]:
    """For each place, with the size of its packets, whether a small and a full ping were answered; None: not tried."""
    found: list[list[bool | None]] = []
    waiting: dict[socket.socket, tuple[int, int]] = {}
    with contextlib.ExitStack() as stack:
        for number, (family, place, size) in enumerate(places):
            found.append([None, None])
            for kind, data in enumerate((_SMALL_PING, size - _HEADERS[socket.AddressFamily(family)])):
                if data < _SMALL_PING:
                    continue
                with contextlib.suppress(OSError):  # EACCES: this user may send no pings; else it was lost
                    sock = stack.enter_context(_ping(family, place, data))
                    found[number][kind] = False
                    waiting[sock] = (number, kind)
        ends = time.monotonic() + PING_SECONDS
        while waiting and (left := ends - time.monotonic()) > 0:
            for sock in select.select(list(waiting), [], [], left)[0]:
                number, kind = waiting.pop(sock)
                with contextlib.suppress(OSError):  # an error of the network instead of an answer
                    sock.recv(65_535)
                    found[number][kind] = True
    return [(small, large) for small, large in found]


def _ping(family: int, place: tuple[object, ...], data: int) -> socket.socket:
    """A socket that has sent a ping with so many bytes, which no router may cut into pieces. Raises OSError."""
    is_v4 = family == socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_ICMP if is_v4 else socket.IPPROTO_ICMPV6)
    try:
        if sys.platform == "linux":
            if is_v4:
                sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _IPV6_PMTUDISC_DO)
        sock.connect(place)
        # The kernel fills in the id and the checksum.
        sock.send(struct.pack(">BBHHH", _ECHO[socket.AddressFamily(family)], 0, 0, 0, 1) + bytes(data))
    except BaseException:
        sock.close()
        raise
    return sock
