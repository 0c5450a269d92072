"""The sentences for users about a node or an address that is not connected."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from peers.transport.address import is_loopback

ANOTHER_MESH = (
    "belongs to another mesh: start this node with --mesh of that mesh in a home of its own, or leave that address out"
)
THIS_NODE = "is this node itself: leave it out of --peer"
CLONED = "runs under this node's id"
"""Another machine answered under our own node id."""
REFUSALS = frozenset({ANOTHER_MESH, THIS_NODE, CLONED})
"""All that end a sentence about a node that was refused, or refused us; another text of the other end is an error."""
ALONE_SECONDS = 20.0
"""A node that has heard of no other one this long after its start says what to check."""


def refusal_sentence(who: str, why: str) -> str:
    """The notice that `who`, a node id or an address, was refused, or refused us."""
    return f"{who} {why}" if why in REFUSALS else f"refused: {who}: {why}"


def unreachable_sentence(subject: str, addresses: Sequence[str], reason: str) -> str:
    """The notice that `subject`, a node id or a static address, cannot be reached at its `addresses`.

    `reason` is the error of the last dial; it begins with the address, if several were tried.
    """
    at = next(
        (address for address in addresses if reason.startswith(f"{address}: ")), addresses[0] if addresses else ""
    )
    why = reason.removeprefix(f"{at}: ") or "no answer"
    who = subject if at in {subject, ""} else f"{subject} at {at}"
    return f"cannot reach {who} yet: {why}; {_advice(why, at)}"


def why_unreachable(reason: str) -> str:
    """The kind of the reason of a dial that failed."""
    return next((kind for kind in ("timed out", "no route", "refused") if kind in reason), "no answer")


def _advice(why: str, address: str) -> str:
    """What would help: the end of a sentence."""
    port = re.search(r":(\d+)$", address)
    host = address.rpartition("//")[2].rpartition(":")[0].strip("[]")
    if "timed out" in why and is_loopback(host):
        return "a program of this machine listens there and does not answer: see whether it hangs; it is tried again"
    if "timed out" in why:
        which = f" {port[1]}" if port else ""
        return (
            f"see whether it is on, and on this network; if so, let TCP port{which} in through the firewall of that "
            "machine, or this network keeps its devices apart (as guest Wi-Fi does); it is tried again"
        )
    if "no route" in why:
        return "it is off, or on another network or subnet that this machine has no route to; it is tried again"
    if "refused" in why:
        return "nothing listens there: it does not run now, or uses another port; it is tried again"
    return "it is tried again"


def alone_sentence(port: int, discovery: Mapping[str, Any]) -> str:
    """What to check while no other node was heard of. `port` is our TCP port, `discovery` the row that `status` shows."""
    listens = f"no other node of this mesh was heard of in {ALONE_SECONDS:.0f} s; this one listens on TCP port {port}"
    if not discovery["on"]:
        return f"{listens}, and does not look for others ({discovery['why']}): name one of them with --peer HOST:PORT"
    where = f" on {', '.join(discovery['interfaces'])}" if discovery["interfaces"] else ""
    return (
        f"{listens} and looks for others{where}: does another one run, on this network and in the same mesh? "
        "Firewalls must let UDP port 5353 (mDNS) and that TCP port in; where multicast does not pass, name a node with --peer"
    )
