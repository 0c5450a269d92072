"""Who dials whom, and which of several connections with one node stays: values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SECOND_DIAL_SECONDS = 2.0
"""The node with the larger id waits this long for the other to dial; then it dials too: reaching may work one way only."""

FEW_SESSIONS = 16
"""With so many sessions everything is told at once."""
GATHER_MS = 1.0
"""For each session beyond these, what is to be told waits so much longer: the messages of a busy node stay bounded."""
MAX_GATHER_MS = 250.0


@dataclass(frozen=True, slots=True)
class Link:
    """One connection with a node, its greeting done on both ends as far as this end knows."""

    key: str
    connection_id: str
    dialled: bool
    boot: str
    met_seconds: float
    """When the greeting was done."""


def dial_delay_seconds(own_id: str, other_id: str) -> float:
    """How long to wait before dialling a node that was sighted, or lost."""
    return 0.0 if own_id < other_id else SECOND_DIAL_SECONDS


def gather_ms(sessions: int) -> float:
    """How long a node with so many sessions gathers what it has got before it tells of it; see PeerSync."""
    return min(MAX_GATHER_MS, GATHER_MS * max(0, sessions - FEW_SESSIONS))


def surplus_links(own_id: str, other_id: str, links: Sequence[Link], newest: Link, held: Sequence[str]) -> list[str]:
    """Keys of the links with `other_id` to close now that the greeting of `newest` came, which named `held`.

    Either end closes one of an earlier run of the other node: its process is gone. All else is up to the node with the smaller
    id, because greetings on different connections overtake each other: two ends that both choose could each close the one
    that the other keeps. It closes

    - one that the other end does not hold any more: it broke there, and here nobody noticed yet
    - of two that one side dialled: the older
    - of two that crossed: the one that the other end dialled

    and always keeps one, which the other end does not close.
    """
    if own_id > other_id:
        return [link.key for link in links if link.boot != newest.boot]
    rest = [link for link in links if link.key == newest.key or not _is_gone(link, newest, held)]
    rest = [link for link in rest if not any(_is_replaced(link, other) for other in rest)]
    kept = next((link for link in rest if link.dialled), rest[0])
    return [link.key for link in links if link.key != kept.key]


def _is_gone(link: Link, newest: Link, held: Sequence[str]) -> bool:
    return link.boot != newest.boot or link.connection_id not in held


def _is_replaced(link: Link, other: Link) -> bool:
    if link.dialled != other.dialled:
        return False
    return (other.met_seconds, other.key) > (link.met_seconds, link.key)
