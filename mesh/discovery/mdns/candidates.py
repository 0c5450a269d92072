"""Candidates: which of the addresses that a node announced are dialled, best first."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from mesh.discovery.mdns.interfaces import ANNOUNCED_LIMIT, ChosenInterfaces, Interface

LOOKED_AT_LIMIT = 64
"""Addresses of one announcement that are examined: a forged one may have hundreds."""

_IP = ipaddress.IPv4Address | ipaddress.IPv6Address
_ARRIVAL, _SHARED, _ELSEWHERE = range(3)
_V4, _V6, _LINK_LOCAL = range(3)
_Rank = tuple[int, int, bool]
_BROADCAST = ipaddress.ip_address("255.255.255.255")


def candidates(
    found: Iterable[str], port: int, *, network: ChosenInterfaces, own_port: int, limit: int, source: str = ""
) -> tuple[str, ...]:
    """The addresses to dial, as `address:port`, at most `limit`.

    `found` are the announced addresses, newest first; `source` is the address from which the announcement came, with its scope
    if it is link-local, empty if not known. First come addresses in the networks of the interface on which the announcement
    arrived, then those in other networks of this machine, then the rest; within a rank the order stays. The source is always
    among them if it was announced.

    Unusable addresses are dropped: multicast, broadcast, unspecified, and link-local IPv6 without a scope. So are addresses
    that this machine has itself (two machines may both have a bridge at 10.88.0.1), unless the announcement came from this
    machine or no other address is left.
    """
    if not 0 < port < 65536:
        return ()
    texts = list(dict.fromkeys(found))
    if source and (source in texts or len(texts) >= ANNOUNCED_LIMIT):
        texts.insert(0, source)  # a full announcement may have had no room for it
    sender = ipaddress.ip_address(source) if source else None
    from_here = sender is not None and _is_ours(sender, network)
    may_be_loopback = from_here or (sender is None and all(each.is_loopback for each in network.interfaces))
    arrival = _arrival(sender, network)
    ranked: dict[str, _Rank] = {}
    ours: dict[str, _Rank] = {}
    for text in texts[:LOOKED_AT_LIMIT]:
        ip = _worth_dialling(text, network)
        if ip is None or (ip.is_loopback and not may_be_loopback) or (port == own_port and _has(network.machine, ip)):
            continue
        chosen = ours if _is_ours(ip, network) and not from_here else ranked
        chosen[text] = (*_rank(ip, sender, arrival, network), ip != sender)
    ranked = ranked or ours
    best = sorted(ranked, key=lambda text: ranked[text])
    if source in best[limit:]:
        best[limit - 1] = source
    return tuple(f"[{text}]:{port}" if ":" in text else f"{text}:{port}" for text in best[:limit])


def _worth_dialling(text: str, network: ChosenInterfaces) -> _IP | None:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    if ip.is_unspecified or ip.is_multicast or ip == _BROADCAST:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        return None if ip.ipv4_mapped or (ip.is_link_local and not ip.scope_id) else ip
    return None if ip.is_link_local and not _is_in(ip, network.interfaces) else ip


def _arrival(sender: _IP | None, network: ChosenInterfaces) -> tuple[Interface, ...]:
    """The interfaces on which a packet of `sender` may have arrived: one, unless several are in the same network."""
    if sender is None:
        return ()
    if _scope(sender):
        return tuple(each for each in network.interfaces if _is_in(sender, (each,)))
    lengths = [(_longest(sender, each), each) for each in network.interfaces]
    longest = max((length for length, _ in lengths), default=-1)
    return tuple(each for length, each in lengths if length == longest >= 0)


def _rank(ip: _IP, sender: _IP | None, arrival: tuple[Interface, ...], network: ChosenInterfaces) -> tuple[int, int]:
    """Smaller is better."""
    is_scoped = bool(_scope(ip))
    if is_scoped and sender is not None and _scope(sender) and ip != sender:
        return _ELSEWHERE, _LINK_LOCAL  # the scope is that of the packet, but the address is of another interface
    where = _ARRIVAL if _is_in(ip, arrival) else _SHARED if _is_in(ip, network.interfaces) else _ELSEWHERE
    return where, _LINK_LOCAL if ip.is_link_local else _V4 if ip.version == 4 else _V6


def _is_in(ip: _IP, interfaces: tuple[Interface, ...]) -> bool:
    """Whether an address is in a network of one of the interfaces."""
    scope = _scope(ip)
    if scope:
        return any(scope in {str(each.index), each.name} for each in interfaces)
    return any(_longest(ip, each) >= 0 for each in interfaces)


def _longest(ip: _IP, interface: Interface) -> int:
    """The prefix length of the narrowest network of an interface that has `ip`; -1 if none has it."""
    return max((each.network.prefixlen for each in interface.addresses if ip in each.network), default=-1)


def _is_ours(ip: _IP, network: ChosenInterfaces) -> bool:
    """Whether an address is of this machine."""
    return ip.is_loopback or _has(network.machine, ip)


def _has(interfaces: tuple[Interface, ...], ip: _IP) -> bool:
    """Whether one of the interfaces has exactly this address."""
    plain = ipaddress.ip_address(str(ip).partition("%")[0])
    mine = [each for each in interfaces if any(address.ip == plain for address in each.addresses)]
    return any(not _scope(ip) or _is_in(ip, (each,)) for each in mine)


def _scope(ip: _IP) -> str:
    return (ip.scope_id or "") if isinstance(ip, ipaddress.IPv6Address) else ""
