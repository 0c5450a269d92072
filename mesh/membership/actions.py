"""What Membership wants to be done, as values: the node supervisor carries them out in order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dial:
    """Start a session that dials `addresses`, and dials them again after each loss, until it is closed."""

    key: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Redial:
    """Let the session of `key`, which may wait for its next attempt, dial `addresses` at once."""

    key: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """Stop the session of `key` for good; the other end gets the `reason`."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the other end of the session of `key` for a sign of life: its answer is reported to `Membership.on_answered`."""

    key: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Call `Membership.on_look` with `subject` (a node id, an address or the name of a check) in `delay_seconds`."""

    subject: str
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Requery:
    """A node is missing: let discovery query again."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A change that users are shown, as a `sentence`.

    `kind` is one of connected, synchronized, disconnected, unreachable, lost, left, restarted, paused, refused, joined, cloned,
    failed, clock, store, discovery, listening and note; of a client, client.
    """

    kind: str
    node_id: str | None
    sentence: str
    cause: str = ""
    """The kind of its reason, if others can cause it again and again: see RareNotices. Without text of others."""
    who: str = ""
    """Who caused it, if not the node: a client, or an address without its port."""


CHANGES = frozenset({"connected", "synchronized", "disconnected", "lost", "left", "client"})
"""Kinds of notices that a node or client came or went."""


Action = Dial | Redial | Close | Ask | LookAgain | Requery | Notice
