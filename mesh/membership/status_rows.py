"""The types of the rows that `mesh status --json` shows; mesh.membership.status says what the fields mean."""

from __future__ import annotations

from typing import Literal, TypedDict


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
    """A limit that was hit."""

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


class LogFigures(TypedDict):
    """How old and how busy the log is. All are None for an empty log, and while the disk is too busy to answer."""

    oldest_ms: int | None
    newest_ms: int | None
    """The times of the first and of the last event in the order of time."""
    events_a_day: float | None
    """Entries that came here in the last 7 days, from others or as own ones, for each day; None for less than an hour."""
    events_a_day_over_ms: int | None
    """The time over which they were counted: 7 days, or since this log notes when entries come."""


class MeshLinkStatus(TypedDict):
    """A link of a node of the mesh, as that node says; the other end of it usually says so too."""

    node_id: str
    """The other end; `?` and the beginning of its public key if its name is not known here."""
    lag: int
    """Changes that the other end has not confirmed, rounded down to 4 binary digits."""


class MeshNodeStatus(TypedDict):
    """A row of `mesh_nodes`: a node of the mesh as this node knows it, by its last summary. Unknown values are None."""

    node_id: str
    state: Literal["this", "linked", "seen", "gone"]
    """`this`: the node that was asked. `linked`: connected with it. `seen`: not connected, but its summaries come through
    others. `gone`: neither; its values are as they were at `seen_ms`."""
    island: int
    """Nodes that reach each other by links have the same number: 0 is that of the node that was asked. For nodes that are gone
    it is made of their last summaries, so it says which of them may still be connected."""
    seen_ms: int | None
    """When it was heard of last, by our wall clock; None: never since this node has started."""
    version: str | None
    last_event_ms: int | None
    """The time of the newest event of its log; `last_added` is its number there."""
    last_added: int | None
    worst_lag: int | None
    """The greatest `lag` of its `links`; 0 without links."""
    worst_lag_to: str | None
    """The other end of that link; None if no node is behind."""
    queue: int | None
    """Events of its own that wait for its disk."""
    disk_share: float | None
    """How much of its disk is in use, from 0 to 1, in steps of 0.01."""
    clock_offset_ms: int | None
    """By how much its clock is ahead of the median of those of its neighbours, as they were when they connected."""
    uptime_seconds: int | None
    links: list[MeshLinkStatus]
    """With whom it is connected; of very many links, those with the greatest lags."""
    more_links: int
    """Links that are not in that list."""
