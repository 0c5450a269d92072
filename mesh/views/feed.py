"""Feed: what a fold gets from the log: new events, pages in log order, and what became of events that were folded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import TypeVar

from mesh.actors.log_proxy import LogProxy
from mesh.views.disks import Disks
from mesh.views.fold import Fold
from mesh.views.source import (
    PAGE,
    READ_PAGE_BYTES,
    Cleaned,
    Fed,
    read_copies,
    read_known,
    read_new,
    read_on,
    read_undone,
)
from mesh.views.undo import place_of
from peers.events.created import Created
from peers.events.entry import Entry
from peers.log.run_log import RunCommit
from peers.stores.run_store import RunStore
from peers.stores.store import Place
from peers.stores.undo import undone_in

READ_POSITIONS = 50_000
"""Of the log, that are looked through at once for what was cleaned."""

T = TypeVar("T")


class Feed:
    """Holds no events but cleaned ones: it reads what follows the place of the fold, from memory where that is recent.

    Where a method returns a place, the fold has to go back to before it.
    """

    def __init__(self, log: LogProxy, disks: Disks) -> None:
        self.cleaned = Cleaned()
        self.changed: dict[Created, None] = {}
        """Events that became undone, or are undone no more, or have another copy."""
        self.checking: dict[Created, None] = {}
        """The same, while the log is asked about them."""
        self._applied: list[Created] = []
        """The same, until the fold that has applied them is in the file."""
        self.is_revised = True
        """Whether other copies may be shown than those that were folded."""
        self._log = log
        self._disks = disks
        self._gone: list[Entry] = []
        """Events that were cleaned and not looked at yet."""
        self._passed: set[int] = set()
        """The `added` of cleaned events of other types, which the fold has not come to."""
        self._may_be_undone = False
        """Whether new events have to be compared with what is undone."""

    def unapplied(self, fold: Fold) -> list[Created]:
        """What the file has to know of these, where the state in it does not show them yet."""
        if not fold.is_rewound:
            self._applied.clear()
        return [*self._applied, *self.checking, *self.changed]

    @property
    def is_applied(self) -> bool:
        """Whether the fold knows what became of events that were folded."""
        return not self.changed and not self.checking and not self.is_revised

    async def begin(self, fold: Fold, cleaned: Iterable[Entry]) -> None:
        """Another fold goes on, for which the file has `cleaned` events."""
        may_be_undone = await self._disks.read_log(lambda store: store.has_undone())
        changed = dict.fromkeys(fold.changed)
        for after in range(fold.added, self._log.state.last_position if may_be_undone else 0, READ_POSITIONS):
            # What undoes these was cleaned before the fold came to it. No event has a position before its `added`.
            changed |= dict.fromkeys(await self._disks.read_log(partial(read_undone, after, after + READ_POSITIONS)))
        self.cleaned = Cleaned(cleaned)
        self.changed.update(changed)
        self.is_revised = True
        self._may_be_undone = self._may_be_undone or may_be_undone

    def on_commit(self, commit: RunCommit) -> None:
        """Note what a look at the log does not show any more."""
        self._gone += commit.cleaned
        self.is_revised = self.is_revised or bool(commit.revised)
        self._may_be_undone = self._may_be_undone or bool(commit.undone)
        self.changed.update(dict.fromkeys((*commit.undone, *commit.restored, *commit.revised)))

    def apply_cleaned(self, fold: Fold) -> None:
        """Keep events that were cleaned, as long as they may be folded, for the first time or again."""
        if self._gone:
            gone, self._gone = self._gone, []
            start = fold.rewinder.segments[0].after
            wanted = fold.wanted(gone)
            self.cleaned.add([entry for entry in wanted if start is None or place_of(entry) > start])
            self._passed |= {entry.added for entry in gone} - {entry.added for entry in wanted}
            fold.is_changed = True

    async def read_news(self, fold: Fold) -> Place | None:
        """Give the fold some of the events that were added since."""
        after = fold.added
        recent = None if self._may_be_undone else self._log.recent(after, limit=PAGE, max_bytes=READ_PAGE_BYTES)
        if recent is not None:
            fed = Fed.of(recent.entries, recent.until)
        else:
            fed = await self._read(fold, lambda store, cleaned: read_new(store, after, cleaned))
        table = self.cleaned.new(fed, after)
        passed = {added for added in self._passed if added <= fed.until}
        self._passed -= passed
        fold.without += max(0, fed.until - after - len(table) - sum(added > after for added in passed))
        self.changed.update((target, None) for _, target in undone_in(fed.table.createds, fed.table.bodies))
        return fold.take(table.without(fed.undone), fed.until, fed.mark)

    async def settle(self, fold: Fold) -> list[str]:
        """As Fold.settle, once the disk works."""
        return await self._disks.retried(lambda: fold.settle(is_sure=self.is_applied))

    async def walk(self, fold: Fold) -> None:
        """Give the fold the events that follow in log order."""
        after, until = fold.walked, fold.added
        walked = await self._read(fold, lambda store, cleaned: read_on(store, after, until, fold.types, cleaned))
        fold.walk(self.cleaned.in_order(walked, after, until).without(walked.undone), walked.end)

    async def apply_changed(self, fold: Fold) -> Place | None:
        """Take back what became undone; go back where an event is undone no more, or has another copy."""
        changed = self.checking
        changed.update(self.changed)
        self.changed.clear()
        known = await self._read(fold, lambda store, _: read_known(store, list(changed)))
        self.checking = {}
        self._applied += changed
        fold.doubt()
        undone: dict[Created, Place] = {}
        others: list[Place] = []
        for created, (entry, is_undone) in known.items():
            kept = self.cleaned.find(created)
            if is_undone or entry is not None:
                self.cleaned.forget([created])
            for one in fold.wanted(each for each in (entry, kept) if each is not None):
                place = place_of(one)
                if one.added > fold.added or fold.is_ahead(place):
                    continue
                if not is_undone:
                    others.append(place)
                elif fold.place is not None and place <= fold.place:
                    undone[created] = place
        if others:
            return min([*undone.values(), *others])
        return fold.rewind(min(undone.values()), without=frozenset(undone)) if undone else None

    async def compare_copies(self, fold: Fold) -> Place | None:
        """Go back where another copy of an event is shown than was folded."""
        self.is_revised = False
        if not self._log.state.conflicts and not fold.copies:
            return None
        copies = await self._disks.read_log(read_copies)
        before, fold.copies = fold.copies, {repr(created): copy.shown for created, copy in copies.items()}
        fold.is_changed = fold.is_changed or before != fold.copies
        changed = [min(copy.places) for created, copy in copies.items() if before.get(repr(created)) != copy.shown]
        place = min(changed, default=None)
        return None if place is None or fold.is_ahead(place) else place

    async def _read(self, fold: Fold, work: Callable[[RunStore, Collection[Created]], T]) -> T:
        """What `work` reads in the log, beside which `cleaned` has all that was cleaned before."""
        while True:
            found = await self._disks.read_log(_with(work, self.cleaned.createds))
            if not self._gone:
                return found
            self.apply_cleaned(fold)


def _with(work: Callable[[RunStore, Collection[Created]], T], cleaned: Collection[Created]) -> Callable[[RunStore], T]:
    return lambda store: work(store, cleaned)
