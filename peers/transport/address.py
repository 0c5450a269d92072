"""Network addresses: read from text, checked, and written for people."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Any

MAX_HOST_CHARACTERS = 253
MAX_PORT = 65535
MAX_URL_CHARACTERS = 2048
V6_PREFIX_BITS = 64
"""IPv6 addresses are counted by network: who has one address of a /64 can use all of them."""
LAN_NETWORKS = (ipaddress.ip_network("fe80::/10"), ipaddress.ip_network("fc00::/7"), ipaddress.ip_network("::1/128"))
"""IPv6 networks that are used inside a LAN only."""
UNKNOWN_KEY = "unknown"
"""The `address_key` of text that is no address."""
ADDRESS = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]*)):([0-9]{1,5})")
URL = re.compile(r"(wss?)://([^/?#@]*)((?:[/?][^#]*)?)")
URL_REST = re.compile(r"[!-~]*")
HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


@dataclass(frozen=True)
class Target:
    """Where to dial, or to listen. The host has no brackets, and may have an IPv6 scope: `fe80::1%eth0`."""

    host: str
    port: int
    path: str = "/"
    """With the query, if there is one."""
    is_secure: bool = False
    """Over TLS."""
    max_segment: int | None = None
    """The largest TCP segment in both directions, in bytes; None: what the network allows."""

    @property
    def uri(self) -> str:
        """For the opening request; without the scope, which has a meaning on this machine only (RFC 6874)."""
        host = self.host.partition("%")[0]
        scheme = "wss" if self.is_secure else "ws"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}{self.path}"


def parse_address(address: str, *, is_dialled: bool = True) -> Target:
    """Read `host:port`, `[v6]:port` or `[v6%scope]:port`. Raises ValueError with a sentence.

    For listening (`is_dialled` is False) two more are accepted: `:port`, with an empty host, is every address of this
    machine, and port 0 is any free one.
    """
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise ValueError(f"{address!r} is not an address: write host:port, or [address]:port for IPv6")
    bracketed, plain, port = found[1], found[2], int(found[3])
    _check_port(port, address, is_dialled)
    if plain == "":
        if is_dialled:
            raise ValueError(f"{address!r} is not an address to dial, it names no host: write host:port")
        return Target(plain, port)
    if bracketed is None:
        _check_plain_host(plain, address)
        return Target(plain, port)
    _check_v6(bracketed, port, address)
    return Target(bracketed, port)


def parse_url(url: str) -> Target:
    """Read `ws://host:port/path?query` or `wss://...`; the port may be left out. Raises ValueError with a sentence.

    The host is written as in `parse_address`; an IPv6 scope may also follow `%25` (RFC 6874).
    """
    found = URL.fullmatch(url)
    if found is None:
        raise ValueError(
            f"{_shortened(url)!r} is not a URL that can be dialled: write ws://host:port/path or wss://host:port/path, "
            "without a user and without a #fragment"
        )
    scheme, where, rest = found.groups()
    if len(url) > MAX_URL_CHARACTERS:
        raise ValueError(f"{_shortened(url)!r} has {len(url)} characters: a URL has at most {MAX_URL_CHARACTERS}")
    if not URL_REST.fullmatch(rest):
        raise ValueError(f"{url!r} has a path that is no ASCII text without spaces: write %20 and the like")
    if not re.search(r":[0-9]+\Z", where):
        where = f"{where}:{443 if scheme == 'wss' else 80}"
    target = parse_address(where.replace("%25", "%", 1))
    return replace(target, path=rest if rest.startswith("/") else f"/{rest}", is_secure=scheme == "wss")


def is_loopback(host: str) -> bool:
    """Whether only this machine can dial `host`, an address or `localhost`."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return ip.is_loopback or bool((mapped := getattr(ip, "ipv4_mapped", None)) and mapped.is_loopback)


def address_key(address: str) -> str:
    """What stands for a machine: the IPv4 address or IPv6 network of `host:port`, `[v6%scope]:port` or an address.

    UNKNOWN_KEY for all text that is no address. Never raises.
    """
    host = address[1:].partition("]")[0] if address.startswith("[") else address
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return UNKNOWN_KEY
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip  # as sockets for both show it
    if ip.version == 4 or any(ip in network for network in LAN_NETWORKS):  # on a LAN, many machines share one /64
        return str(ip)
    return str(ipaddress.ip_network((ip, V6_PREFIX_BITS), strict=False))


def show_listening(host: str, port: int | str) -> str:
    """Where a socket listens, as options and sentences write it: `:4000` is every address of this machine."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _shortened(url: str) -> str:
    return url if len(url) <= MAX_HOST_CHARACTERS else f"{url[:MAX_HOST_CHARACTERS]}..."


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


def local_host(name: Any) -> str:
    """The host in `getsockname()` of a socket, without port and scope; empty if it has none."""
    host = str(name[0]).partition("%")[0] if isinstance(name, tuple) and name else ""
    return host.removeprefix("::ffff:") if "." in host else host


def show_address(name: Any) -> str:
    """The address in `getpeername()` of a socket, as people write it; never fails."""
    if not isinstance(name, tuple) or len(name) < 2:
        return "unknown"  # the socket was closed before its address was read
    host, port = str(name[0]), name[1]
    if host.startswith("::ffff:") and "." in host:
        return f"{host.removeprefix('::ffff:')}:{port}"
    if ":" not in host:
        return f"{host}:{port}"
    if "%" not in host and len(name) == 4 and name[3]:
        host = f"{host}%{name[3]}"
    return f"[{host}]:{port}"
