"""Asks by multicast DNS on each interface, and listens who is heard: this machine itself, and others."""

from __future__ import annotations

import secrets
import select
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from mesh.discovery.mdns.interfaces import MDNS_PORT, Interface

GROUPS = {4: "224.0.0.251", 6: "ff02::fb"}
LISTEN_SECONDS = 1.3
"""Others may wait for 1 s before they repeat an answer (RFC 6762, 6)."""
ASK_AGAIN_SECONDS = 0.5
"""One packet may be lost."""
HEARD_LIMIT = 64
"""Addresses of others that are counted on one interface."""
MAX_PACKET = 9_000
_IP_MULTICAST_ALL = 49
"""Linux; `socket` does not name it."""
_ASKED = (b"_peermesh._tcp.local", b"_services._dns-sd._udp.local")
"""Nodes answer the first one, and every responder the second one (RFC 6763, 9)."""
_NODES = b"\x09_peermesh\x04_tcp"
"""The beginning of the first one in a packet."""
_ANSWER = b"\x80"
"""From here on, the third byte of a packet is that of an answer."""
_PTR, _IN = 12, 1


@dataclass(slots=True)
class Echo:
    """What was heard on one interface."""

    interface: str
    own: set[int] = field(default_factory=set)
    """The IP versions in which this machine heard its own question."""
    asked: set[int] = field(default_factory=set)
    """Those in which it asked."""
    others: set[str] = field(default_factory=set)
    """The addresses of other machines."""
    nodes: set[str] = field(default_factory=set)
    """Those of them that answered as nodes."""
    error: str = ""


def ask_around(interfaces: Sequence[Interface], own_hosts: frozenset[str]) -> list[Echo]:
    """Ask on these interfaces, and listen for LISTEN_SECONDS at most: until on each of them all that can be heard was.

    `own_hosts` are all addresses of this machine. Trouble with the sockets of an interface is in its row; raises nothing.
    """
    echoes = {each.name: Echo(each.name) for each in interfaces}
    # A random id, which responders ignore, tells our question from those of other processes of this machine.
    question = _question(secrets.randbits(16))
    with ExitStack() as stack:
        opened: dict[socket.socket, tuple[Echo, int, str]] = {}
        for each in interfaces:
            for version in sorted({address.version for address in each.addresses}):
                host = next(str(one.ip) for one in each.addresses if one.version == version)
                try:
                    opened[stack.enter_context(_open(version, host, each.index))] = (echoes[each.name], version, host)
                except OSError as error:
                    echoes[each.name].error = echoes[each.name].error or f"{error.strerror or error} (IPv{version})"
        _listen(opened, question, own_hosts)
    for echo in echoes.values():
        if echo.asked:
            echo.error = ""
    return list(echoes.values())


def _listen(opened: dict[socket.socket, tuple[Echo, int, str]], question: bytes, own_hosts: frozenset[str]) -> None:
    began = time.monotonic()
    asks = [0.0, ASK_AGAIN_SECONDS]
    while opened and (left := began + LISTEN_SECONDS - time.monotonic()) > 0:
        if asks and time.monotonic() - began >= asks[0]:
            del asks[0]
            for sock, (echo, version, _) in opened.items():
                _ask(sock, echo, version, question)
        if all(echo.own >= echo.asked and echo.nodes for echo, _, _ in opened.values()):
            return
        wait = min(left, max(0.0, began + asks[0] - time.monotonic())) if asks else left
        for sock in select.select(list(opened), [], [], wait)[0]:
            echo, version, _ = opened[sock]
            try:
                packet, (source, *_) = sock.recvfrom(MAX_PACKET)
            except OSError:  # an error of an earlier packet
                continue
            if packet == question and source.partition("%")[0] in own_hosts:
                echo.own.add(version)
            elif source.partition("%")[0] not in own_hosts and len(echo.others) < HEARD_LIMIT:
                echo.others.add(source)
                if packet[2:3] >= _ANSWER and _NODES in packet:
                    echo.nodes.add(source)


def _ask(sock: socket.socket, echo: Echo, version: int, question: bytes) -> None:
    try:
        sock.sendto(question, (GROUPS[version], MDNS_PORT))
    except OSError as error:
        echo.error = echo.error or f"{error.strerror or error} (IPv{version})"
    else:
        echo.asked.add(version)


def _open(version: int, host: str, index: int) -> socket.socket:
    """A socket that hears the group on one interface. Raises OSError."""
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if version == 4:
            if hasattr(socket, "SO_DOMAIN"):  # Linux: hear no groups that others have joined on other interfaces
                sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            sock.bind((GROUPS[4], MDNS_PORT))
            member = socket.inet_aton(GROUPS[4]) + socket.inet_aton(host)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((GROUPS[6], MDNS_PORT, 0, index))
            member = socket.inet_pton(socket.AF_INET6, GROUPS[6]) + struct.pack("@I", index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _question(number: int) -> bytes:
    """A query for all services of _ASKED (RFC 1035, 4.1)."""
    asked = b""
    for name in _ASKED:
        labels = b"".join(bytes([len(label)]) + label for label in name.split(b"."))
        asked += labels + b"\0" + struct.pack(">HH", _PTR, _IN)
    return struct.pack(">HHHHHH", number, 0, len(_ASKED), 0, 0, 0) + asked
