"""Which packets a firewall drops: reads the rules that `nft --json list ruleset` prints, as far as they are certain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_JUMPS = 16
"""Chains that call each other; nft itself refuses deeper ones."""
_ACCEPT, _DROP, _RETURN = "accept", "drop", "return"
_PROTOCOLS = {"ip": ("protocol",), "ip6": ("nexthdr",), "meta": ("l4proto",)}


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that comes in: `tcp` or `udp`, and the port that it is for."""

    protocol: str
    port: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.protocol.upper()} port {self.port}"


@dataclass(frozen=True, slots=True)
class Drop:
    """A packet that is dropped."""

    found: str
    """By which rule or policy."""
    fix: str
    """The command that lets it in."""


Rules = Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]]
"""The rules of each chain, by family, table and name."""


def why_dropped(ruleset: Mapping[str, Any], packet: Packet) -> Drop | None:
    """Which rule or policy drops this packet on its way into this machine; None if none certainly does.

    `ruleset` is the JSON of nft. A rule that tests what is not known here (an address, an interface, a state) decides nothing.
    """
    chains: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    rules: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for item in ruleset.get("nftables", ()):
        if "chain" in item:
            chain = item["chain"]
            chains[chain["family"], chain["table"], chain["name"]] = chain
        elif "rule" in item:
            rule = item["rule"]
            rules.setdefault((rule["family"], rule["table"], rule["chain"]), []).extend(_without_maps(rule))
    for place, chain in chains.items():
        if chain.get("hook") != "input":
            continue
        verdict, where, may_accept = _walk(rules, place, packet, MAX_JUMPS)
        named = f"the chain {place[2]} of the nft table {place[0]} {place[1]}"
        fix = f"nft insert rule {' '.join(place)} {packet.protocol} dport {packet.port} accept"
        if verdict == _DROP:
            return Drop(f"{named} drops {packet.name} ({where})", fix)
        if verdict is None and chain.get("policy") == _DROP and not may_accept:
            return Drop(f"{named} drops all that it does not accept, and no rule accepts {packet.name}", fix)
    return None


def _without_maps(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A rule that looks its verdict up in a map, as a rule for each entry; other rules as they are."""
    before: list[Mapping[str, Any]] = []
    for expression in rule.get("expr", ()):
        found = expression.get("vmap")
        if found is not None:
            entries = found["data"]["set"] if isinstance(found["data"], Mapping) else [("@", {_ACCEPT: None})]
            for value, verdict in entries:
                match = {"match": {"op": "==", "left": found["key"], "right": value}}
                yield {**rule, "expr": [*before, match, verdict]}
            return
        before.append(expression)
    yield rule


def _walk(rules: Rules, place: tuple[str, str, str], packet: Packet, jumps: int) -> tuple[str | None, str, bool]:
    """The verdict of a chain, None without one; the place of the rule; and whether an uncertain rule may accept the packet."""
    may_accept = False
    for rule in rules.get(place, ()):
        match, verdict = _read(rule.get("expr", ()), packet)
        if match is False or verdict is None:
            continue
        if verdict.startswith("="):
            if not jumps:
                continue
            inner, where, may = _walk(rules, (*place[:2], verdict[1:]), packet, jumps - 1)
            may_accept = may_accept or may or (match is None and inner == _ACCEPT)
            if match and inner in {_ACCEPT, _DROP}:
                return inner, where, may_accept
            continue
        if match is None:
            may_accept = may_accept or verdict == _ACCEPT
        elif verdict == _RETURN:
            return None, "", may_accept
        else:
            return verdict, f"the rule of {place[2]} with the handle {rule.get('handle', '?')}", may_accept
    return None, "", may_accept


def _read(expressions: Iterable[Mapping[str, Any]], packet: Packet) -> tuple[bool | None, str | None]:
    """Whether a rule is about the packet (None: that is not certain), and its verdict; `=NAME` jumps to a chain."""
    is_certain, verdict = True, None
    for expression in expressions:
        if "match" in expression:
            found = _is_match(expression["match"], packet)
            if found is False:
                return False, None
            is_certain = is_certain and found is True
        elif _ACCEPT in expression:
            verdict = _ACCEPT
        elif _DROP in expression or "reject" in expression:
            verdict = _DROP
        elif _RETURN in expression:
            verdict = _RETURN
        elif "jump" in expression or "goto" in expression:
            verdict = "=" + (expression.get("jump") or expression["goto"])["target"]
        elif not expression.keys() & {"counter", "log", "comment"}:  # such as a rate, or what iptables has written
            is_certain = False
    return (True if is_certain else None), verdict


def _is_match(match: Mapping[str, Any], packet: Packet) -> bool | None:
    left, right, is_not = match.get("left", {}), match.get("right"), match.get("op") == "!="
    if match.get("op") not in {"==", "!=", "in"} or not isinstance(left, Mapping):
        return None
    payload, meta = left.get("payload"), left.get("meta")
    if isinstance(payload, Mapping):
        protocol, field = payload.get("protocol"), payload.get("field")
        if field == "dport" and protocol in {"tcp", "udp", "th"}:
            return _is_one(right, packet.port, is_not) if protocol in {packet.protocol, "th"} else False
        if protocol in {"tcp", "udp", "icmp", "icmpv6", "igmp"}:
            return None if protocol == packet.protocol else False
        if field in _PROTOCOLS.get(str(protocol), ()):
            return _is_one(right, packet.protocol, is_not)
    if isinstance(meta, Mapping) and meta.get("key") == "l4proto":
        return _is_one(right, packet.protocol, is_not)
    if isinstance(meta, Mapping) and meta.get("key") in {"iif", "iifname"} and right == "lo":
        return is_not  # a packet of another machine
    if left.get("ct") == {"key": "state"}:  # the first packet of a connection
        return _is_one(right, "new", is_not)
    return None


def _is_one(right: Any, value: int | str, is_not: bool) -> bool | None:
    """Whether a value is one of those of a rule."""
    items = right.get("set", [right]) if isinstance(right, Mapping) else right if isinstance(right, list) else [right]
    found = False
    for item in items:
        if isinstance(item, Mapping) and isinstance(value, int) and len(item.get("range", ())) == 2:
            low, high = item["range"]
            found = found or (isinstance(low, int) and isinstance(high, int) and low <= value <= high)
        elif isinstance(item, (int, str)) and not str(item).startswith("@"):
            found = found or item == value
        else:
            return None
    return found is not is_not
