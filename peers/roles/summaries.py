"""SummaryBoard: the newest summary of each node of the mesh, and which of them each link is still to be shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from peers.budgets import Bucket
from peers.clock import Clock, Undo
from peers.codec.run_messages import LINK_BYTES, MAX_SUMMARIES, Summaries
from peers.codec.runs import RunProtocol
from peers.events.signature import Signer
from peers.facts.summary import Measures, Summary, make_summary, read_summary
from peers.limits import LimitHits, Limits

FRESH_MS = 25_000.0
"""An older summary says nothing of now: a node makes one every 10 s."""
CHANGED_MS = 1_000.0
"""After its links changed a node makes one so soon."""
APART_MS = 3_000.0
"""But no sooner after the one before."""
PASS_ON_MS = 250.0
"""How long what came from others is gathered before it is passed on."""
MEET_MS = 1_000.0
"""After a link began, it is shown what came before; the other end has said by then with whom it is connected."""
SHOWN_A_TURN = 32
"""Links over which an own summary goes in one turn of the node."""

_encode = RunProtocol().encode


class BoardHost(NamedTuple):
    """What a board needs of its node."""

    node_id: str
    signer: Signer
    clock: Clock
    limits: Limits
    hits: LimitHits
    may_speak: Callable[[bytes, str], str]
    """Why a node with this key and id is not one of the mesh; empty if it is."""
    measure: Callable[[], Measures]
    turn: Callable[[Callable[[], None]], Callable[[], None]]
    """Makes a function that has this one run in a turn of the node."""
    period_seconds: float


@dataclass(slots=True)
class HeardSummary:
    """The newest summary of another node."""

    summary: Summary
    at_ms: float
    """When it came, by the monotonic clock."""
    budget: Bucket
    shown_by: dict[object, None] = field(default_factory=dict)
    """The links over which it came."""


class LinkedNode(NamedTuple):
    """A session that is connected."""

    key: bytes
    node_id: str
    lag: int


@dataclass(slots=True)
class _BoardLink:
    """One that is connected with a node."""

    key: bytes
    node_id: str
    reads: bool
    """Whether the other end reads summaries."""
    links: frozenset[bytes]
    """The nodes with which the other end is connected, by the first LINK_BYTES of their keys, as it says."""
    lag: Callable[[], int]
    show: Callable[[bytes], None]
    """Send this frame, if the connection is open."""
    wake: Callable[[float], None]
    """Call `due` after so many ms, and send that."""
    is_proven: bool
    """Whether the connection has proved that the other end has the key: then what it says of itself needs no signature here."""
    waiting: dict[bytes, None] = field(default_factory=dict)
    """Keys of other nodes whose newest summaries it may have to be shown."""


class SummaryBoard:
    """Shared by all sessions of a log. Until `start` it does nothing, and the greeting does not ask for summaries.

    A summary of another node is taken if it is signed, of the mesh, newer than the one before, and not further away in time
    than `Limits.max_future_seconds`. It is then passed on, once, over each link that has not shown it, and whose other end does
    not say that it is connected with that node itself. There are as many as `Limits.members`; of one node as many are taken as
    `Limits.summaries_per_minute`.
    """

    def __init__(self) -> None:
        self.own: Summary | None = None
        """The last one that this node has made."""
        self.heard: dict[bytes, HeardSummary] = {}
        """By the public key of the node; the one that was renewed last is the last one."""
        self._host: BoardHost | None = None
        self._links: dict[object, _BoardLink] = {}
        self._undo: Undo | None = None
        self._next_ms = 0.0
        """When the next own summary is due."""
        self._made_at_ms = -APART_MS

    @property
    def is_running(self) -> bool:
        """Whether summaries are made and read."""
        return self._host is not None

    def start(self, host: BoardHost) -> None:
        """Make a summary soon, and then every `period_seconds`."""
        self._host = host
        self._made_at_ms = host.clock.elapsed_ms() - APART_MS
        self._make_within(host, CHANGED_MS)

    def stop(self) -> None:
        """Make and read no more. Harmless if it does not run."""
        self._host = None
        if self._undo is not None:
            self._undo()
            self._undo = None

    def linked(self) -> list[LinkedNode]:
        """The sessions that are connected; a node may have two for a moment."""
        return [LinkedNode(link.key, link.node_id, link.lag()) for link in self._links.values()]

    # For the sessions

    def begin(
        self,
        session: object,
        key: bytes,
        node_id: str,
        *,
        reads: bool,
        links: frozenset[bytes],
        lag: Callable[[], int],
        show: Callable[[bytes], None],
        wake: Callable[[float], None],
        is_proven: bool = False,
    ) -> None:
        """A session is connected with the node that has this public key and id. For the rest see _BoardLink."""
        host = self._host
        if host is None or not key:
            return
        link = self._links[session] = _BoardLink(key, node_id, reads, links, lag, show, wake, is_proven)
        fresh_from = host.clock.elapsed_ms() - FRESH_MS
        link.waiting = {other: None for other, heard in self.heard.items() if reads and heard.at_ms > fresh_from}
        if link.waiting:
            wake(MEET_MS)
        self._make_within(host, CHANGED_MS)

    def note_links(self, session: object, links: frozenset[bytes]) -> None:
        """The other end says with which nodes it is connected now. Harmless for a session that is not connected."""
        link = self._links.get(session)
        if link is not None:
            link.links = links

    def end(self, session: object) -> None:
        """A session is not connected any more. Harmless if it was not."""
        if self._links.pop(session, None) is None:
            return
        for heard in self.heard.values():
            heard.shown_by.pop(session, None)
        if self._host is not None:
            self._make_within(self._host, CHANGED_MS)

    def hear(self, session: object, who: str, texts: Sequence[bytes]) -> None:
        """A session with `who` got these summaries."""
        host = self._host
        for data in texts if host is not None else ():
            assert host is not None
            try:
                summary = read_summary(data)
            except ValueError:
                continue
            if self._take(host, session, who, summary):
                self._pass_on(summary.key, PASS_ON_MS)

    def due(self, session: object) -> list[bytes]:
        """What this session is to send now, MAX_SUMMARIES at most."""
        link = self._links.get(session)
        if link is None:
            return []
        found = list[bytes]()
        for key in tuple(link.waiting):
            if len(found) == MAX_SUMMARIES:
                link.wake(PASS_ON_MS)
                break
            del link.waiting[key]
            if key in self.heard and self._lacks(link, session, key):
                summary = self.heard[key].summary
                if summary.is_genuine:  # it may have come from that node itself, and not been verified
                    found.append(summary.data)
        return found

    # What is heard

    def _take(self, host: BoardHost, session: object, who: str, summary: Summary) -> bool:
        key, now_ms = summary.key, host.clock.elapsed_ms()
        heard = self.heard.get(key)
        if heard is not None and summary.made_ms <= heard.summary.made_ms:
            if summary.data == heard.summary.data and session in self._links:
                heard.shown_by[session] = None
            return False
        if key == host.signer.public or host.may_speak(key, summary.node_id):
            return False
        link = self._links.get(session)
        is_its_own = link is not None and link.is_proven and link.key == key
        if abs(summary.made_ms - host.clock.now_ms()) > host.limits.max_future_seconds * 1000:
            return False
        if not is_its_own and not summary.is_genuine:
            return False
        if heard is None:
            if not self._has_room(host, key, now_ms):
                host.hits.note("members", who)
                return False
            per_minute = host.limits.summaries_per_minute
            heard = HeardSummary(summary, now_ms, Bucket(per_minute / 60, per_minute))
        if heard.budget.wait_ms(1, now_ms):
            host.hits.note("summaries_per_minute", who)
            return False
        heard.budget.take(1, now_ms)
        heard.summary, heard.at_ms, heard.shown_by = summary, now_ms, {session: None} if session in self._links else {}
        self.heard.pop(key, None)
        self.heard[key] = heard
        return True

    def _has_room(self, host: BoardHost, key: bytes, now_ms: float) -> bool:
        """Whether there is a row for one more node; for that, one that is not connected is forgotten."""
        if len(self.heard) < host.limits.members:
            return True
        linked = {link.key for link in self._links.values()}
        for other, heard in self.heard.items():
            if other not in linked and (key in linked or heard.at_ms <= now_ms - FRESH_MS):
                del self.heard[other]
                return True
        return False

    def _pass_on(self, key: bytes, delay_ms: float) -> None:
        name = key[:LINK_BYTES]
        for session, link in self._links.items():
            # Looked at first, since where all are connected that is all there is to do for each link.
            if name not in link.links and self._lacks(link, session, key):
                link.waiting[key] = None
                link.wake(delay_ms)

    def _lacks(self, link: _BoardLink, session: object, key: bytes) -> bool:
        """Whether this link has to be shown the newest summary of that other node."""
        return (
            key[:LINK_BYTES] not in link.links
            and link.reads
            and key != link.key
            and (key not in self.heard or session not in self.heard[key].shown_by)
        )

    # Our own

    def _make_within(self, host: BoardHost, delay_ms: float) -> None:
        """Make one so soon, if none is due before that."""
        now_ms = host.clock.elapsed_ms()
        at_ms = max(now_ms + delay_ms, self._made_at_ms + APART_MS)
        if self._undo is not None:
            if self._next_ms <= at_ms:
                return
            self._undo()
        self._next_ms = at_ms
        self._undo = host.clock.call_later(at_ms - now_ms, host.turn(self._make))

    def _make(self) -> None:
        host, self._undo = self._host, None
        if host is None:
            return
        self._made_at_ms = host.clock.elapsed_ms()
        made_ms = max(host.clock.now_ms(), self.own.made_ms + 1 if self.own is not None else 0)
        lags: dict[bytes, int] = {}  # a node may have two links for a moment
        for one in self.linked():
            lags[one.key] = max(one.lag, lags.get(one.key, 0))
        self.own = make_summary(host.signer, host.node_id, made_ms, host.measure(), lags.items())
        self._show(_encode(Summaries((self.own.data,))), [link.show for link in self._links.values() if link.reads])
        self._make_within(host, host.period_seconds * 1000)

    def _show(self, frame: bytes, links: Sequence[Callable[[bytes], None]]) -> None:
        """Show all links an own summary; each turn is short, whatever their number."""
        for show in links[:SHOWN_A_TURN]:
            show(frame)
        if links[SHOWN_A_TURN:] and self._host is not None:
            self._host.turn(partial(self._show, frame, links[SHOWN_A_TURN:]))()
