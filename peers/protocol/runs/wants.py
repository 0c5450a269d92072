"""Wants: the entries that the other end of a link calls hollow, and the events that it gets for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from peers.codec.run_messages import MAX_FILLED, Fill, Span
from peers.events.dot import Dot, Epoch
from peers.events.entry import Entry
from peers.protocol.runs.other_end import Ranges, SendWindow, ranges_with, ranges_within, ranges_without
from peers.protocol.runs.role import BadPeer, RunRole
from peers.stores.run_store import RunStore

MAX_WANTED = 16_384
"""Spans that are kept of what the other end wants, about 2 MB. What it says beyond it is looked up once, and not kept."""
FILL_BYTES = 1_000
"""Of an event in a `fill` beside its body and meta, at most."""
LOOKED_UP = 16
"""Events that are read at a time: each may have 256 KiB."""


class Wants:
    """Each span that is called hollow is looked up once; and again where the walk meets entries of it that came since."""

    def __init__(self, role: RunRole, window: SendWindow, on_looked_up: Callable[[], None]) -> None:
        """`on_looked_up` is called after each look."""
        self._role = role
        self._window = window
        self._wanted: dict[Epoch, Ranges] = {}
        self._count = 0
        self._todo: list[Span] = []
        self._is_asking = False
        self._on_looked_up = on_looked_up

    @property
    def is_done(self) -> bool:
        """Whether all that can be given was sent."""
        return not self._todo and not self._is_asking

    def call(self, spans: Iterable[Span]) -> None:
        """The other end wants the events of these. Raises BadPeer for a span that is none."""
        for epoch, ranges in _by_epoch(spans).items():
            if any(first > last for first, last in ranges):
                raise BadPeer(f"it wants entries of epoch {epoch} from one to another that comes before it")
            if self._count < MAX_WANTED:
                self._put(epoch, ranges_with(self._wanted.get(epoch, []), ranges))
            for first, last in ranges:
                self._look_up(epoch, first, last)

    def end(self, spans: Iterable[Span]) -> None:
        """It has them now."""
        for epoch, ranges in _by_epoch(spans).items():
            if epoch in self._wanted:
                self._put(epoch, ranges_without(self._wanted[epoch], ranges))

    def met(self, epoch: Epoch, first: int, last: int) -> None:
        """The walk has come to these entries."""
        for low, high in ranges_within(self._wanted.get(epoch, []), first, last):
            self._look_up(epoch, low, high)

    def go_on(self) -> None:
        """Look up what waits for it, while the window is open."""
        while self._todo and self._window.is_open and not self._is_asking:
            self._is_asking = True
            self._window.reserve()
            dots = self._next_dots()
            self._role.read(partial(_read_events, dots, self._role.page_bytes()), partial(self._on_events, dots))

    def _put(self, epoch: Epoch, ranges: Ranges) -> None:
        self._count += len(ranges) - len(self._wanted.get(epoch, ()))
        if ranges:
            self._wanted[epoch] = ranges
        else:
            self._wanted.pop(epoch, None)

    def _look_up(self, epoch: Epoch, first: int, last: int) -> None:
        end = self._role.ends.get(epoch)
        if end is not None and first <= end.seq and len(self._todo) < MAX_WANTED:
            self._todo.append((epoch, first, min(last, end.seq)))

    def _next_dots(self) -> list[Dot]:
        dots: dict[Dot, None] = {}
        while self._todo and len(dots) < MAX_FILLED:
            epoch, first, last = self._todo.pop(0)
            until = min(last, first + MAX_FILLED - len(dots) - 1)
            dots.update(((epoch, seq), None) for seq in range(first, until + 1))
            if until < last:
                self._todo.insert(0, (epoch, until + 1, last))
        return list(dots)

    def _on_events(self, dots: list[Dot], found: tuple[int, list[tuple[Dot, Entry]]]) -> None:
        self._is_asking = False
        self._window.release()
        looked_up, events = found
        self._todo[:0] = [(epoch, seq, seq) for epoch, seq in dots[looked_up:]]
        if events:
            self.end((epoch, seq, seq) for (epoch, seq), _ in events)
            self._window.send(Fill(self._window.next_number(), tuple(events)))
        self.go_on()
        self._on_looked_up()


def _by_epoch(spans: Iterable[Span]) -> dict[Epoch, Ranges]:
    found: dict[Epoch, Ranges] = {}
    for epoch, first, last in spans:
        found.setdefault(epoch, []).append((first, last))
    return found


def _read_events(dots: Sequence[Dot], max_bytes: int, store: RunStore) -> tuple[int, list[tuple[Dot, Entry]]]:
    """Of the first of these entries, how many were looked up, and the events that are held."""
    events: list[tuple[Dot, Entry]] = []
    size = 0
    for start in range(0, len(dots), LOOKED_UP):
        part = dots[start : start + LOOKED_UP]
        held = dict(store.events_at(part))
        for at, dot in enumerate(part, start):
            if dot in held:
                size += held[dot].size + FILL_BYTES
                if events and size > max_bytes:
                    return at, events
                events.append((dot, held[dot]))
    return len(dots), events
