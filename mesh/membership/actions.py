"""What Membership wants done, as values: the supervisor carries them out in order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dial:
    """Start a session that dials `addresses`, and dials again after each loss."""

    key: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Redial:
    """Let a session that waits for its next attempt try at once."""

    key: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """Stop a session for good."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Come back to `subject` after a while."""

    subject: str
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Requery:
    """Somebody is missing: let discovery ask again."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A change that people are shown: `kind` is one of connected, synchronized, disconnected, unreachable, lost, left,
    restarted, paused, refused, cloned, failed, clock, store, discovery, listening and note."""

    kind: str
    node_id: str | None
    sentence: str


Action = Dial | Redial | Close | LookAgain | Requery | Notice
