"""Which of two nodes dials first, and which of several links between them stays: values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SECOND_DIAL_SECONDS = 2.0
"""The node with the larger id waits this long for the other to dial. Then it dials too: one direction may not work."""

FEW_SESSIONS = 16
"""With up to so many sessions each event is relayed at once."""
GATHER_MS = 1.0
"""For each session beyond these a relayed event waits this much longer for others: this bounds the messages of a busy node."""
MAX_GATHER_MS = 250.0


@dataclass(frozen=True, slots=True)
class Link:
    """One connection with another node, after the greeting."""

    key: str
    connection_id: str
    dialled: bool
    boot: str
    """The boot id of the other node's run."""
    met_seconds: float
    """When the greeting came."""
    is_proven: bool = False
    """Whether the other end proved the key of the node id as which it greeted."""


def dial_delay_seconds(own_id: str, other_id: str) -> float:
    """How long to wait before dialling a node that was sighted or lost: 0 for the smaller id, else SECOND_DIAL_SECONDS."""
    return 0.0 if own_id < other_id else SECOND_DIAL_SECONDS


def gather_ms(sessions: int) -> float:
    """How long a node with so many sessions gathers new events before it relays them, in ms; see PeerSync."""
    return min(MAX_GATHER_MS, GATHER_MS * max(0, sessions - FEW_SESSIONS))


def surplus_links(own_id: str, other_id: str, links: Sequence[Link], newest: Link, held: Sequence[str]) -> list[str]:
    """Keys of the links with `other_id` that are surplus, now that the greeting of the link `newest` has come.

    `newest` can be closed at once if it is one of them. The others are closed only if they are dead (see Contests): a greeting
    may be that of a stranger. If they live, `newest` is.

    `held` are the connection ids that the other end named in its greeting. For either end a link with an earlier run of the
    other node is surplus: that process has ended. Everything else is decided by the node with the smaller id, because greetings
    on different connections overtake each other: if both ends chose, each could close the link that the other one keeps. For it
    these are surplus:

    - a link that the other end does not name: it broke there, and this end has not noticed yet
    - of two links that the same side dialled: the older
    - of two links that crossed, dialled by both sides: the one that the other end dialled

    and one always stays, which the other end does not close.
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
