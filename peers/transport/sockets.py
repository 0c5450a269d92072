"""Functions for plain sockets: listen at every address, dial with small segments, explain an OSError."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import Iterable
from typing import Any

from peers.transport.address import MAX_PORT, Target

EVERY_HOST = ("0.0.0.0", "::")
"""What `hosts_of` returns for sockets that listen at every address of this machine."""
NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EHOSTDOWN}
RESET = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}


def listen_everywhere(port: int) -> socket.socket:
    """A listening socket for IPv4 and IPv6 with one port. Raises OSError if the port is taken."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in NO_ROUTE:
                raise  # the port is taken; otherwise IPv6 is built in but switched off
    return socket.create_server(("", port))


async def dial_options(loop: asyncio.AbstractEventLoop, target: Target) -> dict[str, Any]:
    """The options of `loop.create_connection` for `target`: its host and port, or an open socket with small segments.

    A segment size that is set before connecting is announced to the other end, so it limits both (RFC 9293, 3.7.1).
    Raises OSError.
    """
    if target.max_segment is None:
        return {"host": target.host, "port": target.port}
    error: OSError = OSError(f"no address known for {target.host}")
    for family, _, _, _, address in await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, target.max_segment)
            await loop.sock_connect(sock, address)
        except OSError as failure:
            sock.close()
            error = failure
        except BaseException:  # the attempt is given up
            sock.close()
            raise
        else:
            return {"sock": sock}
    raise error


def hosts_of(listening: Iterable[socket.socket]) -> tuple[str, ...]:
    """The addresses at which these sockets listen; `0.0.0.0` is every IPv4 address of this machine, `::` every IPv6 one."""
    hosts: list[str] = []
    for one in listening:
        host, _, *rest = one.getsockname()
        if host == "::" and not one.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
            hosts.append("0.0.0.0")
        hosts.append(f"{host}%{rest[1]}" if rest and rest[1] and "%" not in host else host)
    return tuple(hosts)


def check_port(port: int) -> None:
    """Raise ValueError, with a sentence, unless `port` is from 0 to MAX_PORT."""
    if not 0 <= port <= MAX_PORT:
        raise ValueError(f"{port} is not a port: take one from 1 to {MAX_PORT}, or 0 for any free one")


def explain_os_error(error: OSError) -> str:
    """Why a socket did not open, or is lost, in a few words."""
    if isinstance(error, socket.gaierror):
        return "no address known"
    number = error.errno
    if number is None:  # asyncio tried several addresses, and joined their errors in one text
        found = re.search(r"\[Errno (\d+)\]", str(error))
        number = int(found[1]) if found else 0
    if number == errno.ECONNREFUSED:
        return "refused"
    if number in NO_ROUTE:
        return "no route"
    if number in RESET or isinstance(error, ConnectionError):
        return "reset"
    return error.strerror or str(error) or type(error).__name__
