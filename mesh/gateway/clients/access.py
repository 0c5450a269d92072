"""Who may use the clients' port, as pure decisions: which pages, and under which node ids."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.settings.config import NAME, check_name

MAX_HEADER_CHARACTERS = 512
MAX_SHOWN_CHARACTERS = 80
MAX_NODE_ID_CHARACTERS = 200
HIGHEST_PORT = 0xFFFF  # not MAX_PORT: `mesh token` loads this file without the package peers
RESERVED_USER = "server"
"""Logux servers speak under this user id and refuse clients that claim it."""
NULL = "null"
ANY_ORIGIN = "*"

_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9_.-]{1,254}))(?::([0-9]{1,5}))?")
_HOST_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}")


def judge_origin(
    origin: str | None,
    host: str | None,
    *,
    port: int,
    allowed_origins: Sequence[str],
    own_hosts: Collection[str],
    is_tls: bool,
) -> str | None:
    """None if a request with the headers Origin and Host is accepted, else a sentence why not. Never raises.

    `port` is the one that we listen on. `own_hosts` are our addresses and names, and those given by --clients-host. Host must
    name one of them: a page whose own name was made to resolve to this machine (DNS rebinding) fails here. Origin, which
    browsers send and programs need not, must be that of a page that we serve, or be in `allowed_origins`.
    """
    ours = frozenset(filter(None, map(_own_host, own_hosts)))
    called = _parse_authority(host) if host is not None else None
    if called is None:
        return f"the request names no host that can be read ({_shown(host)}): open this node by its address or its name"
    if called.host not in ours:
        return (
            f"{_shown(host)} is not a name of this node: use one of its addresses, or start it with "
            f"--clients-host {called.host}"
        )
    if called.port not in (None, port):
        return f"{_shown(host)} names port {called.port}, but clients come in by port {port}: use that one"
    return None if origin is None else _judge_page(origin, called, port, allowed_origins, ours, is_tls)


class _Authority(NamedTuple):
    host: str
    """In lower case, addresses in their shortest form and without brackets."""
    port: int | None


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int | None
    """None if none is given and the scheme has no default port."""


def _judge_page(
    origin: str, called: _Authority, port: int, allowed: Sequence[str], ours: Collection[str], is_tls: bool
) -> str | None:
    why = f"pages of {_shown(origin)} may not come in: start the node with --clients-origin"
    if origin == NULL:
        return None if NULL in allowed else f"{why} {NULL}, if sandboxed pages and files are meant to"
    page = _parse_origin(origin)
    if page is None:
        return f"{_shown(origin)} is not an origin: browsers send scheme://host or scheme://host:port"
    if ANY_ORIGIN in allowed or any(_parse_origin(one) == page for one in allowed):
        return None
    if page.host in ours and page.scheme in (("https",) if is_tls else ("http", "https")):
        # The page was served by this port, or by a proxy in front of it whose name is in the Host header.
        is_proxy = page.host == called.host and page.port == (called.port or _DEFAULT_PORTS[page.scheme])
        if page.port == port or is_proxy:
            return None
    return f"{why} {origin}, if they are meant to"


def check_origin(origin: str, what: str = "the origin") -> str:
    """`origin` itself. Raises MeshError, with a sentence, for what is no origin of a page."""
    if origin in (ANY_ORIGIN, NULL):
        return origin
    page = _parse_origin(origin)
    if page is not None and page.scheme not in ("ws", "wss"):
        return origin
    hint = "it is that of a page, http:// or https://" if page is not None else "no path, and no / at the end"
    raise MeshError(
        f"{what} {_shown(origin)} cannot be used: write scheme://host or scheme://host:port as in "
        f"https://app.example ({hint}), or * for any"
    )


def check_host(host: str, what: str = "the host") -> str:
    """`host` itself, a name or an address without a port. Raises MeshError, with a sentence."""
    if _own_host(host) is None:
        raise MeshError(
            f"{what} {_shown(host)} cannot be used: write a name or an address, without a port, as in mesh.example"
        )
    return host


def check_user(user: str, what: str = "the user") -> str:
    """`user` itself. Raises MeshError, with a sentence, if clients cannot have that name."""
    if user == RESERVED_USER:
        raise MeshError(f"{what} {user!r} cannot be used: Logux servers reserve that name; take another")
    return check_name(user, what)


def user_of(node_id: str) -> str:
    """USER of `USER` or `USER:...`. Raises ValueError, with a sentence, for anything else, such as the id of a node."""
    user = node_id.partition(":")[0]
    is_readable = len(node_id) <= MAX_NODE_ID_CHARACTERS and node_id.isprintable() and " " not in node_id
    if user == RESERVED_USER or "~" in node_id or not is_readable or not NAME.fullmatch(user):
        raise ValueError(
            f"{_shown(node_id)} is not a client's node id: it must be USER or USER:..., at most "
            f"{MAX_NODE_ID_CHARACTERS} characters, without spaces and ~, and USER not {RESERVED_USER!r}"
        )
    return user


def may_write(node_id_of_client: str, created_node_id: str, dialect_is_01: bool) -> bool:
    """Whether a client may write an event with that node id in `created`: one of its USER; in Logux 0.1, its own only."""
    try:
        user = user_of(node_id_of_client)
        if dialect_is_01:
            return created_node_id == node_id_of_client
        return user_of(created_node_id) == user
    except ValueError:
        return False


def _parse_origin(origin: str) -> _Origin | None:
    scheme, mark, rest = origin.partition("://")
    authority = _parse_authority(rest)
    if not mark or authority is None or not _SCHEME.fullmatch(scheme):
        return None
    scheme = scheme.lower()
    return _Origin(scheme, authority.host, authority.port or _DEFAULT_PORTS.get(scheme))


def _parse_authority(text: str) -> _Authority | None:
    found = _AUTHORITY.fullmatch(text) if len(text) <= MAX_HEADER_CHARACTERS else None
    if found is None:
        return None
    port = None if found[3] is None else int(found[3])
    host = _own_host(found[1] or found[2])
    is_bracketed_name = found[1] is not None and _ip(found[1]) is None
    if host is None or is_bracketed_name or (port is not None and not 1 <= port <= HIGHEST_PORT):
        return None
    return _Authority(host, port)


def _own_host(host: str) -> str | None:
    """A host in the form in which hosts are compared; None for text that is no host."""
    ip = _ip(host.removeprefix("[").removesuffix("]").partition("%")[0])
    if ip is not None:
        return str(ip)
    name = host.removesuffix(".")
    return name.lower() if _HOST_NAME.fullmatch(name) and name.strip(".") else None


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, None for other text. IPv4 within IPv6, as dual-stack sockets show it, becomes IPv4."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip


def _shown(text: str | None) -> str:
    if text is None:
        return "none"
    return repr(text) if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]!r}..."
