"""The types of the rows that `mesh status --json` shows; mesh.membership.status says what the fields mean."""

from __future__ import annotations

from typing import TypedDict


class DiscoveryStatus(TypedDict):
    """Where the node looks for others."""

    on: bool
    interfaces: list[str]
    since_ms: int | None
    why: str | None


class DifferingStatus(TypedDict):
    """Two copies of one event."""

    created: list[int | str]
    shown_of: str | None
    other_of: str | None


class SessionStatus(TypedDict):
    """A session with another node."""

    other_node_id: str | None
    state: str
    address: str
    lag: int | None
    missing: int | None
    restarts: int
    dialled: bool
    reason: str


class PeerStatus(TypedDict):
    """Another node that is known."""

    node_id: str
    state: str
    session: str | None
    addresses: list[str]
    restarts: int
    since_ms: int
    behind: int | None
    behind_since_ms: int | None
    missing: int | None
    clock_ahead_ms: int | None
    reason: str


class PausedStatus(TypedDict):
    """Something that failed again and again, and waits for `mesh retry`."""

    what: str
    why: str
    restarts: int


class RefusedStatus(TypedDict):
    """A node or an address that is not dialled any more."""

    what: str
    why: str


class ClientStatus(TypedDict):
    """A session with a Logux client or server, or of a role of your own."""

    at: str
    address: str
    node_id: str | None
    state: str
    lag: int | None
    user: str | None


class TurnedAwayStatus(TypedDict):
    """A client that was refused."""

    at: str
    address: str
    name: str | None
    why: str
    count: int
    last: int


class LimitStatus(TypedDict):
    """A limit that somebody has hit."""

    limit: str
    by: str
    count: int
    last_ms: int


class ClockStatus(TypedDict):
    """A clock that is wrong."""

    kind: str
    node_id: str | None
    ms: int
    at_ms: int | None
    sentence: str


class StoreErrorStatus(TypedDict):
    """What is wrong with the disk."""

    error: str
    since_ms: int
