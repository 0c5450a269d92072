"""Which packets nft rules drop, as `nft --json list ruleset` prints them."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.membership.diagnosis.doctor.firewall import Packet, why_dropped

MDNS, PORT = Packet("udp", 5353), Packet("tcp", 4000)


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def dport(protocol: str, right: Any, op: str = "==") -> dict[str, Any]:
    return match({"payload": {"protocol": protocol, "field": "dport"}}, right, op)


def vmap(key: Any, *entries: list[Any]) -> dict[str, Any]:
    return {"vmap": {"key": key, "data": {"set": [*entries]}}}


DROP, ACCEPT, REJECT = {"drop": None}, {"accept": None}, {"reject": {"type": "tcp reset"}}
LOOPBACK = match({"meta": {"key": "iifname"}}, "lo")
KNOWN = match({"ct": {"key": "state"}}, ["established", "related"], "in")
NEW = match({"ct": {"key": "state"}}, "new", "in")
FROM_ONE = match({"payload": {"protocol": "ip", "field": "saddr"}}, "10.0.0.9")
UDP = match({"meta": {"key": "l4proto"}}, "udp")
STATE, UDP_PORT = {"ct": {"key": "state"}}, {"payload": {"protocol": "udp", "field": "dport"}}
LIMIT = {"limit": {"rate": 5, "per": "second"}}


def ruleset(*rules: list[dict[str, Any]], policy: str = "accept", hook: str = "input", **others: Any) -> dict[str, Any]:
    """A table with the chain `in` of these rules, and chains without a hook, by their names."""
    place = {"family": "inet", "table": "wall"}
    items: list[Any] = [{"metainfo": {}}, {"chain": {**place, "name": "in", "hook": hook, "policy": policy}}]
    items += [{"chain": {**place, "name": name}} for name in others]
    for chain, listed in {"in": rules, **others}.items():
        items += [{"rule": {**place, "chain": chain, "handle": 7, "expr": expr}} for expr in listed]
    return {"nftables": items}


@pytest.mark.parametrize(
    ("rules", "options", "dropped"),
    [
        ([], {}, []),
        ([], {"policy": "drop"}, [MDNS, PORT]),
        ([], {"policy": "drop", "hook": "forward"}, []),
        ([[dport("udp", 5353), DROP]], {}, [MDNS]),
        ([[dport("udp", 5353), {"counter": {}}, DROP]], {}, [MDNS]),
        ([[dport("tcp", 4000), REJECT]], {}, [PORT]),
        ([[dport("udp", 4000), DROP]], {}, []),
        ([[dport("tcp", {"set": [22, {"range": [3000, 5000]}]}), DROP]], {}, [PORT]),
        ([[dport("tcp", 22, "!="), DROP]], {}, [PORT]),
        ([[dport("tcp", "@open"), DROP]], {}, []),
        ([[dport("udp", 5353), ACCEPT], [UDP, DROP]], {}, []),
        ([[UDP, DROP]], {}, [MDNS]),
        ([[dport("udp", 5353), LIMIT, DROP]], {}, []),
        ([[FROM_ONE, dport("udp", 5353), DROP]], {}, []),
        ([[LOOPBACK, ACCEPT], [KNOWN, ACCEPT], [dport("tcp", 22), ACCEPT]], {"policy": "drop"}, [MDNS, PORT]),
        ([[LOOPBACK, ACCEPT], [NEW, dport("tcp", 4000), ACCEPT]], {"policy": "drop"}, [MDNS]),
        ([[FROM_ONE, ACCEPT]], {"policy": "drop"}, []),
        ([[NEW, dport("tcp", 4000), DROP]], {}, [PORT]),
        ([[vmap(STATE, ["invalid", DROP], ["established", ACCEPT])]], {"policy": "drop"}, [MDNS, PORT]),
        ([[vmap(UDP_PORT, [53, ACCEPT], [5353, ACCEPT])]], {"policy": "drop"}, [PORT]),
        ([[vmap(UDP_PORT, [5353, DROP])]], {}, [MDNS]),
        ([[{"vmap": {"key": UDP_PORT, "data": "@verdicts"}}]], {"policy": "drop"}, [PORT]),
        ([[{"xt": None}, DROP]], {}, []),
        ([[{"jump": {"target": "mine"}}]], {"mine": [[dport("udp", 5353), DROP]]}, [MDNS]),
        ([[{"jump": {"target": "mine"}}], [DROP]], {"mine": [[dport("udp", 5353), ACCEPT]]}, [PORT]),
        ([[{"jump": {"target": "mine"}}], [DROP]], {"mine": [[{"return": None}], [ACCEPT]]}, [MDNS, PORT]),
        ([[{"jump": {"target": "in"}}]], {"policy": "drop"}, [MDNS, PORT]),
        ([[FROM_ONE, {"jump": {"target": "mine"}}]], {"mine": [[DROP]]}, []),
    ],
)
def test_only_what_is_certainly_dropped_is_named(rules: Any, options: Any, dropped: list[Packet]) -> None:
    found = ruleset(*rules, **options)

    assert [packet for packet in (MDNS, PORT) if why_dropped(found, packet)] == dropped


def test_the_rule_is_named_and_the_command_that_lets_the_packet_in() -> None:
    drop = why_dropped(ruleset([dport("udp", 5353), DROP]), MDNS)

    assert drop is not None
    assert (
        drop.found == "the chain in of the nft table inet wall drops UDP port 5353 (the rule of in with the handle 7)"
    )
    assert drop.fix == "nft insert rule inet wall in udp dport 5353 accept"


@pytest.mark.parametrize(
    "found", [{}, {"nftables": []}, {"nftables": [{"rule": {"family": "ip", "table": "t", "chain": "c"}}]}]
)
def test_without_a_chain_for_what_comes_in_nothing_is_dropped(found: dict[str, Any]) -> None:
    assert why_dropped(found, MDNS) is None
