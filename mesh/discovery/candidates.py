"""Which of a node's announced addresses are worth dialling, best first."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from mesh.discovery.interfaces import Address

CANDIDATE_LIMIT = 6
"""How many addresses of one node are tried."""

_LAN, _LAN_IPV6, _LINK_LOCAL, _ELSEWHERE, _ELSEWHERE_IPV6 = range(5)
_BROADCAST = ipaddress.ip_address("255.255.255.255")


def candidates(found: Iterable[str], port: int, *, own: Iterable[Address], own_port: int) -> tuple[str, ...]:
    """`address:port` of what can be dialled from here: at most six, those in a network of ours first.

    `found` may hold anything: addresses that lead back to us, to nobody, to everybody, or (link-local ones without a
    scope) to nowhere in particular are dropped. Within a rank the given order stays, which is newest first.
    """
    ours = tuple(own)
    if not 0 < port < 65536:
        return ()
    ranked: dict[str, int] = {}
    for text in found:
        rank = _rank(text, ours)
        if rank is None or (port == own_port and _is_ours(text, ours)):
            continue
        ranked[f"[{text}]:{port}" if ":" in text else f"{text}:{port}"] = rank
    return tuple(sorted(ranked, key=lambda candidate: ranked[candidate])[:CANDIDATE_LIMIT])


def _rank(text: str, own: tuple[Address, ...]) -> int | None:
    """Smaller is better; None is not worth a try."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    if ip.is_unspecified or ip.is_multicast or ip == _BROADCAST or getattr(ip, "ipv4_mapped", None):
        return None
    if ip.is_loopback and not any(address.ip.is_loopback for address in own):
        return None
    if ip.is_link_local:
        return _rank_link_local(ip, own)
    is_near = any(_plain(ip) in address.network for address in own)
    if ip.version == 4:
        return _LAN if is_near else _ELSEWHERE
    return _LAN_IPV6 if is_near else _ELSEWHERE_IPV6


def _rank_link_local(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, own: tuple[Address, ...]) -> int | None:
    if isinstance(ip, ipaddress.IPv6Address):
        return _LINK_LOCAL if ip.scope_id else None
    return _LINK_LOCAL if any(address.version == 4 and address.ip.is_link_local for address in own) else None


def _is_ours(text: str, own: tuple[Address, ...]) -> bool:
    return any(_plain(ipaddress.ip_address(text)) == address.ip for address in own)


def _plain(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Without its scope, which our own addresses do not carry."""
    return ipaddress.ip_address(str(ip).partition("%")[0])
