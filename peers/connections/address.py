"""The address of a door, as people and sockets write it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

MAX_HOST_CHARACTERS = 253
MAX_PORT = 65535
ADDRESS = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+)):([0-9]{1,5})")
HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


@dataclass(frozen=True)
class Target:
    """Where to dial, or to listen; the host has no brackets, and may carry an IPv6 scope."""

    host: str
    port: int

    @property
    def uri(self) -> str:
        """For the opening request; without the scope, which means nothing to the other end (RFC 6874)."""
        host = self.host.partition("%")[0]
        return f"ws://[{host}]:{self.port}/" if ":" in host else f"ws://{host}:{self.port}/"


def parse_address(address: str, *, is_dialled: bool = True) -> Target:
    """Read `host:port`, `[v6]:port` or `[v6%scope]:port`. Raises ValueError with a sentence.

    Port 0, which means any free one, is for listening: it passes only if `is_dialled` is False.
    """
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise ValueError(f"{address!r} is not an address: write host:port, or [address]:port for IPv6")
    bracketed, plain, port = found[1], found[2], int(found[3])
    _check_port(port, address, is_dialled)
    if bracketed is None:
        _check_plain_host(plain, address)
        return Target(plain, port)
    _check_v6(bracketed, port, address)
    return Target(bracketed, port)


def _check_port(port: int, address: str, is_dialled: bool) -> None:
    if is_dialled and not 1 <= port <= MAX_PORT:
        raise ValueError(f"{address!r} has no port that can be dialled: take one from 1 to {MAX_PORT}")
    if port > MAX_PORT:
        raise ValueError(f"{address!r} has no port: take one from 1 to {MAX_PORT}, or 0 for any free one")


def _check_plain_host(host: str, address: str) -> None:
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError as error:
            raise ValueError(f"{address!r} has no IPv4 address: {error}") from None
    elif len(host) > MAX_HOST_CHARACTERS or not HOST_NAME.fullmatch(host):
        raise ValueError(
            f"{address!r} has no host name: letters, digits, '-', '_' and '.' make one, or use its address"
        )


def _check_v6(host: str, port: int, address: str) -> None:
    try:
        v6 = ipaddress.IPv6Address(host)
    except ValueError as error:
        raise ValueError(f"{address!r} has no IPv6 address between its brackets: {error}") from None
    if v6.is_link_local and v6.scope_id is None:
        raise ValueError(f"{address!r} is link-local: name the interface too, as in [{v6}%eth0]:{port}")


def show_address(name: Any) -> str:
    """What a socket says of an end of it (`getpeername`), as people write it; never fails."""
    if not isinstance(name, tuple) or len(name) < 2:
        return "unknown"  # the socket was gone before it could be asked
    host, port = str(name[0]), name[1]
    if host.startswith("::ffff:") and "." in host:
        return f"{host.removeprefix('::ffff:')}:{port}"
    if ":" not in host:
        return f"{host}:{port}"
    if "%" not in host and len(name) == 4 and name[3]:
        host = f"{host}%{name[3]}"
    return f"[{host}]:{port}"
