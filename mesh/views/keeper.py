"""ViewKeeper: the actor that keeps one view up to date with the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from mesh.actors.log_proxy import LogProxy
from mesh.actors.runtime.loop_actor import LoopActor
from mesh.actors.runtime.mailbox import Runtime
from mesh.errors import MeshError
from mesh.views.disks import Disks
from mesh.views.feed import Feed
from mesh.views.fold import Fold
from mesh.views.opening import Found, Wanted, begin_anew, open_view
from mesh.views.state import Apply
from mesh.views.store import ViewDisk, ViewStore
from mesh.views.view import ShownState, ViewStop
from peers.clock import Clock, Undo
from peers.failures import failures
from peers.later import Later
from peers.log.run_log import RunCommit
from peers.stores.store import Place, StoreError

LOG = logging.getLogger(__name__)

FOLD_MS = 4.0
FOLD_EVENTS = 2_000
"""A turn of a fold ends after one or the other."""
EVENTS_BETWEEN_LOOKS = 50
MAX_BETWEEN_LOOKS = 400
"""Events between two looks at the clock: as many as took FIRST_LOOK_MS in the turn before, at most the first number; twice
as many after each look, in the first quarter of the turn."""
FIRST_LOOK_MS = 0.5
FOLD_AFTER_MS = 3.0
"""Between a commit of the log and its fold where no caller waits for that: what is added meanwhile goes to the disk first."""
FOLD_EVERY_MS = 50.0
FOLD_BACKLOG = 750
"""Events that keep coming while no caller waits or listens are folded together, after one or the other. Memory has so many."""
FLUSH_MS = 5_000.0
"""Between two flushes, at least, while the disk works: what they lack is folded from the log again after a crash."""
CLEANED_FLUSH_MS = 500.0
"""The same where the log has events no more that may have to be folded again."""
FLUSH_EVENTS = 100_000
"""Folds after which a flush begins sooner."""


class ViewKeeper(LoopActor):
    """Folds what is new in the log, and flushes the state to the disk, in turns of at most 5 ms.

    `_work` looks what is to be done, as long as there is something; a commit of the log, a result of a disk and a timer wake
    it. An error in `apply` stops it until `retry`.
    """

    def __init__(
        self,
        runtime: Runtime,
        name: str,
        apply: Apply,
        types: Sequence[str] | None,
        version: int,
        *,
        log: LogProxy,
        clock: Clock,
        store: ViewStore,
        disk: ViewDisk,
        shown: ShownState,
    ) -> None:
        super().__init__(runtime)
        self._wanted = Wanted(name, version, None if types is None else sorted(set(types)))
        self._apply = apply
        self._log = log
        self._clock = clock
        self._store = store
        self._disks = Disks(log, disk, clock, self.into_mailbox)
        self._shown = shown
        self._fold: Fold | None = None
        """The one that goes on: that which answers, or that which will take its place."""
        self._answering: Fold | None = None
        self._feed = Feed(log, self._disks)
        self._idle: Later[None] | None = None
        """While there is nothing to do."""
        self._is_closing = False
        self._since_flush = 0
        self._pace = 1
        """Events before the first look at the clock in a turn: `apply` may be slow."""
        self._undo_wake: Undo | None = None
        self._rested_ms = 0.0
        """When all was folded last."""
        self._undo_flush: Undo | None = None
        self._flush_ms = 0.0
        """When the next flush is due, while `_undo_flush` is there."""
        self._flushed_ms = float("-inf")
        """When the last one began."""
        self._undo_log: Undo | None = None
        self._waiters: list[tuple[int, Place | None, Later[None]]] = []
        self._opened: Later[None] = Later()
        shown.status = self._status
        shown.why_not = f"the view {name!r} is being opened"

    # What is asked of it

    def open(self) -> Later[None]:
        """Find the state in the file, or begin one. Resolved once there is one that answers, and has all that the log has now.

        Fails with MeshError for a state of a newer version, or StoreError.
        """
        self._undo_log = self._log.on("commit", self._on_commit)
        self.defer(self._work)
        return self._opened

    def after(self, added: int | None, place: Place | None) -> Later[None]:
        """See View.after; without `added`, after all that the log has."""
        done: Later[None] = Later()
        last = self._log.state.last_added if self._log.is_open else 0
        added = last if added is None else added
        if self._shown.stop is not None:
            done.fail(MeshError(self._shown.stop.sentence))
        elif added > last:
            done.fail(ValueError(f"this log ends at {last}, so the `added` {added} is of another log"))
        else:
            self._waiters.append((added, place, done))
            self._answer()
            self._wake()
        return done

    def retry(self) -> Later[None]:
        """See View.retry."""
        fold = self._fold
        if self._shown.stop is None or fold is None:
            return Later.done(None)
        self._shown.stop = None
        self._wake()
        return self.after(fold.added, fold.next_place)

    async def close(self) -> None:
        """Flush what the file lacks, once, and end. ViewStop the actor after it."""
        self._is_closing = True
        self._wake()
        if not self._disks.error:
            await self._disks.flushed
            if self._fold is not None:
                self._feed.apply_cleaned(self._fold)
                self._flush()
                while not self._disks.flushed.is_done and not self._disks.error:
                    await self._disks.pause(1)

    def on_stop(self) -> None:
        self._end("this node is not running")
        self._shown.layers, self._shown.why_not = None, f"the view {self._wanted.name!r}: this node is not running"

    def on_failure(self, exception_type: Any, exception_value: Any, _: Any) -> None:
        why = f"{exception_type.__name__}: {exception_value}"
        self._shown.stop = ViewStop(f"the view {self._wanted.name!r} has failed: {why}", {"why": why})
        self._end(why)

    # What it hears

    def _on_commit(self, commit: RunCommit) -> None:
        """In a turn of the log: note what a look at the log does not show any more."""
        self._feed.on_commit(commit)
        fold, clock = self._fold, self._clock
        if self._idle is None or fold is None:
            return
        if self._waiters or commit.cleaned or self._log.state.last_added - fold.added >= FOLD_BACKLOG:
            self._wake()
        elif self._undo_wake is None:
            ms = FOLD_AFTER_MS
            if not self._shown.emitter.has_listeners("change"):
                ms = max(ms, self._rested_ms + FOLD_EVERY_MS - clock.elapsed_ms())
            self._undo_wake = clock.call_later(ms, self.into_mailbox(self._wake))

    def _wake(self) -> None:
        if self._undo_wake is not None:
            self._undo_wake()
            self._undo_wake = None
        idle, self._idle = self._idle, None
        if idle is not None:
            self.defer(idle.set)

    async def _turn(self) -> None:
        """Let others have their turns."""
        due: Later[None] = Later()
        self.defer(due.set)
        await due

    # One step after the other

    async def _work(self) -> None:
        try:
            opened = await open_view(self._disks, self._wanted)
        except (MeshError, StoreError) as error:
            self._opened.fail(error)
            return
        if opened.answering is not None:
            self._answering = self._make(opened.answering)
            self._shown.layers = self._answering.layers
        fold = self._answering
        if fold is None or fold.number != opened.going_on[0]:
            fold = self._make(opened.going_on)
        await self._go_on(fold)
        while not self._is_closing:
            await self._step()

    async def _step(self) -> None:
        fold = self._fold
        assert fold is not None
        feed = self._feed
        feed.apply_cleaned(fold)
        if self._shown.stop is not None:
            self._flush_later()
            await self._rest()
        elif fold.layers.is_long and not fold.is_rewound:
            await self._disks.flushed
            self._flush()
        elif fold.waiting:
            await self._fold_some(fold)
            await (self._turn() if fold.unread is None else self._disks.wait_after(fold.unread))
        elif self._log.state.last_added > fold.added:
            await self._go_back(fold, await feed.read_news(fold))
            self._answer()
        elif feed.changed:
            await self._go_back(fold, await feed.apply_changed(fold))
        elif feed.is_revised:
            await self._go_back(fold, await feed.compare_copies(fold))
        elif fold.is_walking:
            await feed.walk(fold)
            if not fold.waiting:
                self._tell(fold, await feed.settle(fold))
        else:
            await self._finish(fold)

    async def _rest(self) -> None:
        self._rested_ms = self._clock.elapsed_ms()
        self._idle = Later()
        await self._idle

    async def _fold_some(self, fold: Fold) -> None:
        clock, left, step = self._clock, FOLD_EVENTS, self._pace
        until, rest_ms = clock.elapsed_ms() + FOLD_MS, FOLD_MS
        keys: dict[str, None] | None = {} if self._shown.emitter.has_listeners("change") else None
        is_hidden, before = fold.is_rewound, fold.folded
        try:
            while fold.waiting and left > 0:
                fold.fold_some(step, keys)
                left -= step
                rest_ms = until - clock.elapsed_ms()
                if rest_ms <= 0:
                    break
                if rest_ms > FOLD_MS * 3 / 4:
                    step = min(2 * step, MAX_BETWEEN_LOOKS)
        except failures(SystemExit) as error:  # of the application: it stops this view alone
            if fold.unread is None:
                self._stop_at(fold, error)
        folded = fold.folded - before
        self._pace = min(EVENTS_BETWEEN_LOOKS, max(1, int(FIRST_LOOK_MS * folded / max(FOLD_MS - rest_ms, 0.001))))
        self._since_flush += folded
        shown = await self._feed.settle(fold)
        self._tell(fold, shown if is_hidden else list(keys or ()))
        if self._since_flush >= FLUSH_EVENTS:
            self._flush()
        else:
            self._flush_later()
        self._answer()

    async def _go_back(self, fold: Fold, place: Place | None) -> None:
        """To the begin of a segment before a place; without one, fold what is there anew, and let answer what answers."""
        if place is None:
            return
        fold.is_going_back = True
        await self._disks.flushed  # the file has to have the old values that were on their way
        number = fold.rewinder.segment_before(place)
        if number is not None:
            view, last = fold.number, fold.rewinder.last_kept
            fold.go_back(number, await self._disks.read_views(lambda store: store.olds_between(view, number, last)))
            return
        await self._go_on(self._make(await begin_anew(self._disks, self._wanted)))

    async def _finish(self, fold: Fold) -> None:
        """All is folded."""
        self._tell(fold, await self._feed.settle(fold))
        before = self._answering
        if fold is not before:
            with self._store.keeping(None if before is None else before.number):
                await self._disks.flushed
                self._flush(is_complete=True)
                await self._disks.flushed
                if before is not None:
                    await self._shown.tell_changes(before.layers, self._turn)
            self._disks.clear()
            return
        if not self._opened.is_done:
            self._opened.set(None)
        self._answer()
        self._flush_later()
        await self._rest()

    # The states

    def _make(self, found: Found) -> Fold:
        return Fold(*found, self._store, self._apply)

    async def _go_on(self, fold: Fold) -> None:
        number = fold.number
        cleaned = await self._disks.read_views(lambda store: store.cleaned(number))
        await self._feed.begin(fold, cleaned)
        self._fold = fold
        if fold is not self._answering:
            self._flushed_ms = self._clock.elapsed_ms()  # it has nothing yet that would be missed
        if self._answering not in (None, fold) and not self._opened.is_done:
            self._opened.set(None)  # it answers with what it had
        self._disks.clear()

    def _flush_later(self) -> None:
        fold = self._fold
        if fold is None or not fold.is_changed or self._is_closing:
            return
        due_ms = self._flushed_ms + (CLEANED_FLUSH_MS if self._feed.cleaned.is_unwritten else FLUSH_MS)
        if self._undo_flush is not None:
            if self._flush_ms <= due_ms:
                return
            self._undo_flush()
        self._flush_ms = due_ms
        wait_ms = max(0.0, due_ms - self._clock.elapsed_ms())
        self._undo_flush = self._clock.call_later(wait_ms, self.into_mailbox(self._flush))

    def _flush(self, *, is_complete: bool = False) -> None:
        """Begin a flush, unless one goes on; while readers see an older state, only of what the log would not say again."""
        if self._undo_flush is not None:
            self._undo_flush()
            self._undo_flush = None
        fold = self._fold
        if fold is None or not (fold.is_changed or is_complete) or not self._disks.flushed.is_done:
            return
        self._flushed_ms = self._clock.elapsed_ms()
        fold.changed = self._feed.unapplied(fold)
        if fold.is_rewound:
            self._disks.note(fold, self._feed.cleaned)
            return

        def then() -> None:
            if is_complete:
                self._answering, self._shown.layers = fold, fold.layers
            if fold.is_changed:
                self._flush_later()

        self._since_flush = 0
        self._disks.flush(fold, self._feed.cleaned, is_complete=is_complete, then=then)

    # Who waits

    def _stop_at(self, fold: Fold, error: BaseException) -> None:
        self._shown.stop = stop = ViewStop.at(self._wanted.name, fold.next_entry, fold.last_key, error)
        LOG.error("%s\n%s", stop.sentence, stop.shown["traceback"])
        if self._answering is None:
            self._shown.why_not = stop.sentence
        if not self._opened.is_done:
            self._opened.set(None)
        self._fail_waiters(stop.sentence)

    def _answer(self) -> None:
        fold = self._fold
        if self._waiters and fold is not None and fold is self._answering and self._feed.is_applied:
            ready = [waiter for waiter in self._waiters if fold.has(waiter[0], waiter[1])]
            self._waiters = [waiter for waiter in self._waiters if waiter not in ready]
            for _, _, done in ready:
                done.set(None)

    def _fail_waiters(self, why: str) -> None:
        waiters, self._waiters = self._waiters, []
        for _, _, done in waiters:
            done.fail(MeshError(why))

    def _tell(self, fold: Fold, keys: list[str]) -> None:
        if keys and fold is self._answering:
            self._shown.tell(keys)

    def _end(self, why: str) -> None:
        for undo in self._undo_wake, self._undo_flush, self._undo_log:
            if undo is not None:
                undo()
        self._fail_waiters(f"the view {self._wanted.name!r} has ended: {why}")
        if not self._opened.is_done:
            self._opened.fail(MeshError(f"the view {self._wanted.name!r} has ended: {why}"))

    def _status(self) -> dict[str, Any]:
        fold, shown = self._fold, self._answering or self._fold
        last = self._log.state.last_added if self._log.is_open else 0
        row: dict[str, Any] = {"name": self._wanted.name, "version": self._wanted.version, "types": self._wanted.types}
        unfolded = last if shown is None else last - shown.added + shown.waiting
        row |= {"behind": max(0, unfolded, int(self._idle is None))}  # it waits for a rewind, as a rule
        row |= shown.shown() if shown is not None else {}
        row["rebuild"] = None if fold is None or fold is self._answering else fold.shown() | {"of": fold.added}
        if row["rebuild"] is not None:
            row["digest"] = None  # that of another version, as a rule
        row["error"] = self._shown.stop.shown if self._shown.stop is not None else None
        row["store_error"] = self._disks.error or None
        return row
