"""Wants: what the two ends of a link call hollow, and the events that the other end gets for its entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from msgspec.structs import replace

from peers.codec.run_messages import MAX_FILLED, MAX_SPANS, Fill, RunHave, SayHollow, Span, WantedEvents
from peers.events.dot import Dot, Epoch
from peers.events.entry import Entry
from peers.protocol.runs.other_end import Ranges, SendWindow, ranges_with, ranges_within, ranges_without
from peers.protocol.runs.role import BadPeer, RunRole
from peers.protocol.runs.said import Said, hollow_spans
from peers.stores.run_store import RunStore

MAX_GREETED_SPANS = 64
"""Spans of hollow entries in a greeting: about 4 KB of the 16 that a stranger may send. More are said after it."""
MAX_WANTED = 16_384
"""Spans that are kept of what the other end wants, about 2 MB. What it says beyond it is looked up once, and not kept."""
FILL_BYTES = 1_000
"""Of an event in a `fill` beside its body and meta, at most."""
LOOKED_UP = 16
"""Events that are read at a time: each may have 256 KiB."""


class Wants:
    """Each span that is called hollow is looked up once; and again where the walk meets entries of it that came since."""

    def __init__(self, role: RunRole, window: SendWindow) -> None:
        self._role = role
        self._window = window
        self._wanted: dict[Epoch, Ranges] = {}
        self._count = 0
        self._todo: list[Span] = []
        self._is_asking = False
        self._ours = self._theirs = WantedEvents.of(())
        """The hollow entries of this end and of the other one, as the greetings name them."""
        self._our_spans: list[Span] = []
        """All our hollow entries, also those that the greeting has no room for."""
        self._unheard = 0
        """Entries that the other end wants and has not named yet, though it was asked."""
        self._is_serving = False
        """Whether the other end still has to get events that it wanted at its greeting."""
        self._is_unknown = False
        """Whether the other end wants events, but its greeting did not name them."""
        self._has_said = False

    @property
    def is_done(self) -> bool:
        """Whether all that can be given was sent."""
        return not self._todo and not self._is_asking

    # What is hollow

    def greet(self, said: Said) -> WantedEvents | None:
        """What our greeting names."""
        fits = len(said.hollow_spans) <= MAX_GREETED_SPANS
        self._ours = said.hollow if fits else replace(said.hollow, spans=())
        self._our_spans = said.hollow_spans
        return self._ours if self._ours.count else None

    def meet(self, theirs: WantedEvents | None) -> None:
        """The greeting of the other end names these."""
        self._theirs = theirs or self._theirs

    def compare(self) -> None:
        """Ask for the hollow entries that their greeting had no room to name, unless both ends have the same or none is new."""
        is_same = self._ours.digest == self._theirs.digest
        self.call(self._our_spans if is_same else self._theirs.spans)
        self._our_spans = []
        is_named = is_same or self._theirs.count == 0 or bool(self._theirs.spans)
        self._is_unknown = not is_named
        self._is_serving = is_named or self._role.is_news(self._theirs.digest)
        if self._is_serving:
            self.ask()

    def ask(self) -> None:
        """Ask what the other end wants, if that is not known."""
        if self._is_unknown:
            self._is_unknown = False
            self._unheard = self._theirs.count
            self._role.send(SayHollow())

    def say(self) -> None:
        """The other end asks what is hollow here. Raises BadPeer at the second time."""
        if self._has_said:
            raise BadPeer("it asked twice what is hollow here")
        self._has_said = True
        self._role.read(hollow_spans, self._on_spans)

    def _on_spans(self, spans: list[Span]) -> None:
        for at in range(0, len(spans), MAX_SPANS):
            self._role.send(RunHave({}, tuple(spans[at : at + MAX_SPANS])))

    def hear(self, message: RunHave) -> None:
        """The other end says what of its entries is hollow now, and what is no more. Raises BadPeer for a span that is none."""
        self.end(message.filled)
        self.call(message.hollow)
        self._unheard -= sum([last - first + 1 for _, first, last in message.hollow])

    def check_served(self) -> None:
        """Tell the role once all that the other end wanted at its greeting was given, as far as it is here, and confirmed."""
        if self._is_serving and self._unheard <= 0 and self.is_done and not self._window.count:
            self._is_serving = False
            self._role.on_served(self._theirs.digest)

    # Events for it

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
        self.check_served()


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
