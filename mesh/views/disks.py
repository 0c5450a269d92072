"""What a keeper asks of the log and of the file of views: again and again while a disk fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mesh.actors.log_proxy import LogProxy
from mesh.views.fold import Fold
from mesh.views.source import Cleaned
from mesh.views.store import ViewDisk, ViewProgress, ViewStore
from peers.clock import Clock
from peers.later import Later
from peers.stores.run_store import RunStore
from peers.stores.store import StoreError

T = TypeVar("T")

AGAIN_MS = 2_000.0
"""Between two tries where a disk fails."""


class Disks:
    """Results come in turns of the actor that asks."""

    def __init__(
        self,
        log: LogProxy,
        views: ViewDisk,
        clock: Clock,
        into_mailbox: Callable[[Callable[..., None]], Callable[..., None]],
    ) -> None:
        self.error = ""
        """What a disk said last; empty while both work."""
        self.flushed: Later[None] = Later.done(None)
        """Done when the flush that was begun last is in the file; it never fails."""
        self._log = log
        self._views = views
        self._clock = clock
        self._into_mailbox = into_mailbox

    def ask_log(self, work: Callable[[RunStore], T]) -> Later[T]:
        """What `work` reads in the log. Fails with StoreError."""
        return self._in_turn(self._log.read(work))

    def ask_views(self, work: Callable[[ViewStore], T]) -> Later[T]:
        """What `work` does in the file of views. Fails with StoreError."""
        return self._in_turn(self._views.run(work))

    async def read_log(self, work: Callable[[RunStore], T]) -> T:
        """The same of the log, once its disk works."""
        return await self._until_done(lambda: self.ask_log(work))

    async def read_views(self, work: Callable[[ViewStore], T]) -> T:
        """The same of the file of views."""
        return await self._until_done(lambda: self.ask_views(work))

    async def retried(self, work: Callable[[], T]) -> T:
        """What `work` gives, which reads the file of views on the loop, once its disk works."""
        while True:
            try:
                return work()
            except StoreError as error:
                await self.wait_after(error)

    async def wait_after(self, error: StoreError) -> None:
        """A read has failed: wait until it is time to try again."""
        self.error = str(error)
        await self.pause(AGAIN_MS)
        self.error = ""

    def flush(self, fold: Fold, cleaned: Cleaned, *, is_complete: bool, then: Callable[[], None]) -> None:
        """Write what the file lacks of a fold, and call `then`; not before `flushed` is done."""
        work = fold.begin_flush(is_complete=is_complete)
        cleaned.forget_before(fold.rewinder.segments[0].after, fold.added)
        work.cleaned, work.forgotten = cleaned.unwritten(), cleaned.forgotten()

        def on_written(progress: ViewProgress) -> None:
            fold.end_flush(progress)
            then()

        self._write(lambda store: store.flush(work), on_written)

    def note(self, fold: Fold, cleaned: Cleaned) -> None:
        """Write of a fold only what the log would not say again; not before `flushed` is done."""
        view, entries, changed = fold.number, cleaned.unwritten(), fold.changed
        self._write(lambda store: store.note(view, entries, changed), lambda _: None)

    def clear(self) -> None:
        """Delete states that are not needed any more, little by little."""

        def on_cleared(done: Later[bool]) -> None:
            if done.exception is None and done.result():
                self.clear()

        self.ask_views(lambda store: store.clear_some()).then(on_cleared)

    def _write(self, work: Callable[[ViewStore], T], then: Callable[[T], None]) -> None:
        flushed = self.flushed = Later[None]()

        def write() -> None:
            self.ask_views(work).then(on_written)

        def on_written(done: Later[T]) -> None:
            if isinstance(done.exception, StoreError):
                self.error = str(done.exception)
                self._clock.call_later(AGAIN_MS, self._into_mailbox(write))
                return
            self.error = ""
            then(done.result())
            flushed.set(None)

        write()

    def pause(self, ms: float) -> Later[None]:
        """Done after so many ms."""
        over: Later[None] = Later()
        self._clock.call_later(ms, self._into_mailbox(over.set))
        return over

    def _in_turn(self, asked: Later[T]) -> Later[T]:
        result: Later[T] = Later()
        asked.then(self._into_mailbox(result.follow))
        return result

    async def _until_done(self, ask: Callable[[], Later[T]]) -> T:
        while True:
            try:
                result = await ask()
            except StoreError as error:
                self.error = str(error)
                await self.pause(AGAIN_MS)
            else:
                self.error = ""
                return result
