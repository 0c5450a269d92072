"""Limits: what a stranger or a member may cost this node; LimitHits: which of them were hit, how often and by whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, fields
from typing import Any

from peers.clock import Clock

FIXED = frozenset(
    {
        "connects_per_second",
        "connects_of_address_per_second",
        "summaries_per_minute",
        "max_future_seconds",
        "subscriptions",
        "members",
        "dials_per_second",
    }
)
"""Limits that a node reads at its start only, at least in part; the others can change while it runs."""
MAX_HITS = 64
"""Rows of LimitHits; a new one replaces the one that was hit longest ago."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Every size, rate and time that bounds what others cost; the same at the doors of nodes and of clients, on loopback too.

    A connection is a stranger until the node or the client at its other end is known. Raises ValueError, with a sentence, for
    a value that is not above 0, or that is no number of the field's type.
    """

    greeting_seconds: float = 5.0
    """From the accept of a connection until its greeting is accepted, or its HTTP request answered, in all."""
    connects_per_second: int = 50
    """New connections of all addresses at one door. Up to so many may come at once. Of addresses of known members, and of
    those given as peers, so many more may come at once, and `connects_of_address_per_second` on average, beyond the next two.
    """
    connects_of_address_per_second: int = 10
    """New connections of one address at one door, on average. Up to half of `connects_per_second` may come at once, if that is
    more: a browser opens ten for the page of the clients' door, and does not come again for one that was turned away."""
    strangers_of_address: int = 8
    """Strangers of one address at one door that are open at once. A further one is turned away, or ends the oldest one if that
    has taken half of `greeting_seconds`."""
    stranger_frame_bytes: int = 16 * 1024
    """Of one message of a stranger, all its frames together. The greeting of a node has up to 16 KiB."""
    stranger_bytes: int = 64 * 1024
    """That may come of a stranger in all. Each of its frames counts for some 400 more."""
    handshakes: int = 64
    """Of TLS, at the same time at one door; each takes up to 110 KiB of memory, and some ms of processor time. While all places
    are taken, further ones wait, and the oldest one has to leave after half of `greeting_seconds`."""
    handshake_bytes: int = 16 * 1024
    """That may come in a TLS handshake. That of a node sends 3 KiB."""
    connections: int = 512
    """Open at one door. While strangers hold the last of them, a further one ends the oldest stranger."""
    connections_of_address: int = 128
    """Of one address, open at one door."""
    reserved_connections: int = 16
    """Of `connections`, those that only addresses of known members, and those given as peers, get."""

    other_messages_per_second: int = 500
    """Of one link, that bring no events; beyond, this link is read more slowly, as with the next two.

    WebSocket pings count too; what answers a message of ours does not.
    """
    other_bytes_per_second: int = 1024 * 1024
    """Of these messages."""
    other_cpu_ms_per_second: float = 100.0
    """Spent for these messages, and for those of a Logux client with few events, for what they take beyond 0.02 ms an event."""
    links_of_address: int = 4
    """What so many links may cost by these three limits, all links of one address may cost together."""
    events_per_second: int = 2_000
    """Of one member's own events on its own link, or of one user's events, on average; beyond, this link is read more slowly,
    as with the next two."""
    events_at_once: int = 2_000_000
    """Of such events, that a member may have saved up: as a machine that was offline for a week."""
    bytes_per_day: int = 16 * 1024**3
    """Of such events."""
    epochs_per_hour: int = 60
    """Of one member, on its own link, once it brought `epochs_at_once`; further ones are declined until they may come."""
    epochs_at_once: int = 20_000
    """Of one member, that come without a limit of rate; and as many of others over its links."""
    epochs_of_others_per_second: int = 100
    """That are new here, over one member's links, once it brought `epochs_at_once`; beyond, they are read more slowly."""
    summaries_per_minute: int = 20
    """Of one node, that are taken and passed on, and so many at once; a node makes 6, and some more while its links change."""
    max_future_seconds: float = 90_000.0
    """How far an event's time may be ahead of our clock, or of the median of the clocks of connected nodes if that is later.
    One that is further ahead is kept and passed on, and is shown when its time has come so near: 25 h, so that a clock in a
    wrong time zone hides nothing."""
    forks_of_key: int = 16
    """Epochs of one key that are proven to have forked, so that two machines use it or its owner lies; further ones are
    declined from then on, from every sender."""
    subscriptions: int = 1_000
    """Channels that one connection of a Logux client has subscribed to; and as many subscriptions may wait for their answer."""
    disk_share_for_others: float = 0.90
    """Of the disk in use, from which on events of others are not taken."""
    disk_share_for_own: float = 0.98
    """Of the disk in use, from which on writes of this node fail."""

    members: int = 256
    """Rows of other nodes, known or announced; those that never answered are forgotten first."""
    addresses_of_member: int = 6
    """That are dialled of one announced node."""
    dials_per_second: int = 10
    """Of announced nodes that were never connected; one that fails counts for each of its addresses."""
    notice_seconds: float = 60.0
    """Between two lines of output of one cause."""
    changes_shown: int = 64
    """In this time, of the lines that nodes or clients came, and of those that they went; all further ones are counted."""

    def __post_init__(self) -> None:
        wholes = {field.name for field in fields(self) if field.type == "int"}
        for name, value in asdict(self).items():
            is_whole = name in wholes
            if isinstance(value, bool) or not isinstance(value, int if is_whole else (int, float)) or not value > 0:
                kind = "a whole number" if is_whole else "a number"
                raise ValueError(f"the limit {name} cannot be {value!r}: take {kind} above 0")

    def change(self, new: Limits) -> None:
        """Take over all but those of FIXED. For a node that runs, whose parts share this object, on its loop."""
        for name, value in asdict(new).items():
            if name not in FIXED:
                object.__setattr__(self, name, value)


class LimitHits:
    """Counts for people; at most MAX_HITS rows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[tuple[str, str], tuple[int, int]] = {}
        """Count and time of the last one in ms, by limit and by who hit it; the one hit last is the last."""
        self.counts: Counter[str] = Counter()
        """All hits, by limit."""

    def note(self, limit: str, who: str) -> None:
        """The field `limit` of Limits was hit by `who`: a node id, a client, or an address without its port."""
        self.counts[limit] += 1
        count, _ = self._rows.pop((limit, who), (0, 0))
        self._rows[limit, who] = count + 1, self._clock.now_ms()
        if len(self._rows) > MAX_HITS:
            del self._rows[next(iter(self._rows))]

    def rows(self) -> list[dict[str, Any]]:
        """What `status` shows, the newest first: `limit`, `by`, `count`, `last_ms` by the wall clock."""
        return [
            {"limit": limit, "by": who, "count": count, "last_ms": last_ms}
            for (limit, who), (count, last_ms) in reversed(self._rows.items())
        ]
