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
    """Stop the session of `key` for good; the other end is told the `reason`."""

    key: str
    reason: str


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

    `kind` is one of connected, synchronized, disconnected, unreachable, lost, left, restarted, paused, refused, cloned, failed,
    clock, store, discovery, listening and note.
    """

    kind: str
    node_id: str | None
    sentence: str


Action = Dial | Redial | Close | LookAgain | Requery | Notice
