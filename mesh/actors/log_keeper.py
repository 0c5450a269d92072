"""LogKeeper: the one owner of a node's log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from mesh.actors.log_proxy import CLOSED, NOT_OPEN, LogClosedError, LogProxy
from mesh.actors.runtime.loop_actor import LoopActor
from mesh.actors.runtime.mailbox import Runtime
from mesh.membership.diagnosis.disk_room import LOOK_MS, DiskRoom
from mesh.membership.diagnosis.store_trouble import PROBE_MS
from mesh.trust.expulsion import why_out
from peers.clock import Clock, Undo
from peers.events.entry import Entry
from peers.events.signature import Signer
from peers.failures import failures
from peers.later import Later
from peers.limits import LimitHits
from peers.log.run_log import RunCommit, RunLog
from peers.stores.disk import Disk
from peers.stores.run_store import RunStore
from peers.stores.store import StoreError
from peers.stores.taken import Taken

T = TypeVar("T")
LOG = logging.getLogger(__name__)
MIN_ADOPT_MS = 200.0
MAX_ADOPT_MS = 1_000.0
"""How long a node waits before it adopts the events of a fork."""
MAX_ADOPT_BEYOND_MS = 30_000.0
"""The same of what counts no more by the facts of the mesh: all nodes may hold it."""
SHOWN_CONFLICTS = 16
SHOW_MS = 60_000.0
"""Between two looks whether the time of events has come that wait for it."""


class LogKeeper(LoopActor):
    """Opens the log, runs every request on it in its own turn, and publishes each commit. A failing request fails its asker."""

    def __init__(
        self,
        runtime: Runtime,
        node_id: str,
        open_disk: Callable[[], Disk],
        kept: LogProxy,
        *,
        clock: Clock,
        random: Random,
        signer: Signer,
        room: DiskRoom,
        hits: LimitHits,
        max_future_seconds: float,
        on_failed: Callable[[str], None],
        adopts_unknown: bool = True,
    ) -> None:
        """`adopts_unknown`: whether events of keys without any certificate in the mesh are adopted; else they stay here."""
        super().__init__(runtime)
        self._node_id = node_id
        self._open_disk = open_disk
        self._kept = kept
        self._clock = clock
        self._random = random
        self._signer = signer
        self._room = room
        self._hits = hits
        self._max_future_ms = max_future_seconds * 1000
        self._on_failed = on_failed
        self._adopts_unknown = adopts_unknown
        self._log: RunLog | None = None
        self._disk: InTurnDisk | None = None
        self._is_closing = False
        self._undo_probe: Undo | None = None
        self._undo_adopt: Undo | None = None
        self._adopt_ms = 0.0
        """When it is due."""
        self._undo_look: Undo | None = None
        self._conflicts = 0
        """Of the log, when its copies that differ were looked for."""
        self._undo_due: Undo | None = None
        self._undo_neighbours: Undo | None = None

    @property
    def log(self) -> RunLog | None:
        """The open log, for checks that read it on the loop and change nothing; None until it is open."""
        return self._log

    async def open(self) -> None:
        """Open the disk and its log; until then nothing may be requested. Raises StoreError."""
        await self._kept.free  # two disks at work on one store would give the same numbers twice
        self._disk = InTurnDisk(self._open_disk(), self.into_mailbox, self._on_store_error)
        log = await RunLog.open(
            self._disk,
            self._node_id,
            clock=self._clock,
            random=self._random,
            signer=self._signer,
            max_future_ms=self._max_future_ms,
        )
        self._on_opened(log)

    def close(self) -> Later[None]:
        """Close the disk after all that waits; stop the actor after it."""
        self._kept.withdraw()
        self._stop_timers()
        if self._log is not None:
            return self._log.close()
        return self._disk.close() if self._disk is not None else Later.done(None)

    def on_receive(self, message: Any) -> Any:
        """A message is a function that is called with the log; see LogProxy.request."""
        if not callable(message):
            return super().on_receive(message)
        if self._log is None:
            raise LogClosedError(NOT_OPEN)
        return message(self._log)

    def on_stop(self) -> None:
        self._kept.withdraw()
        self._stop_timers()
        if self._disk is not None:
            self._kept.free = self._disk.end()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.on_stop()
        self._on_failed(f"{exception_type.__name__}: {exception_value}")

    def _on_opened(self, log: RunLog) -> None:
        self._log = log
        log.on("commit", self._on_commit)
        log.on("ahead", self._kept.note_ahead)
        log.keep(self._kept.keeps)
        self._refuse(log)
        self._kept.open(log)
        self._look()
        if log.state.has_unadopted:
            # What a crash may have left. Of a key that has left, it may be that others know what makes it count.
            waits = log.roster is not None and bool(log.roster.leaves)
            self._adopt_later(MAX_ADOPT_BEYOND_MS if waits else MAX_ADOPT_MS)
        self._undo_neighbours = self._kept.neighbours.on_change(self._on_neighbours)
        self._on_neighbours()
        self._find_differing()

    def _on_commit(self, commit: RunCommit) -> None:
        assert self._log is not None
        trouble = self._kept.store_trouble
        if trouble is not None and not trouble.is_full and not self._room.limit:  # of a full disk, only the probe tells
            self._kept.note_success()
        self._kept.publish(self._log.state, commit)
        if commit.taken.roster is not None:
            self._refuse(self._log)
        if commit.taken.over and not self._is_closing:
            epochs = commit.taken.over
            self._log.write(lambda store: [store.take_over(epoch) for epoch in epochs])
        if commit.taken.proven:
            self._adopt_later()
        elif commit.taken.limited:
            self._adopt_later(MAX_ADOPT_BEYOND_MS)
        self._show_later()
        self._find_differing()

    def _refuse(self, log: RunLog) -> None:
        """Own events are not taken on a full disk, nor from a key that is not in its mesh any more."""
        why = "" if log.roster is None else why_out(log.roster, self._signer.public)
        log.refusal = StoreError(why) if why else self._room.refusal

    def _find_differing(self) -> None:
        """For people, after copies came that differ, or became fewer."""
        assert self._log is not None
        conflicts = self._log.state.conflicts
        if conflicts != self._conflicts and not self._is_closing:
            self._conflicts = conflicts
            self._log.differing(SHOWN_CONFLICTS).then(self._on_differing)

    def _on_differing(self, done: Later[list[tuple[Entry, Entry]]]) -> None:
        if done.exception is None:
            self._kept.differing = done.result()

    def _look(self) -> None:
        """See how full the disk is, now and from time to time: others may fill it."""
        if self._log is None or self._is_closing:
            return
        self._undo_look = self._clock.call_later(LOOK_MS, self.into_mailbox(self._look))
        if not self._room.look():
            return
        trouble = self._room.trouble
        self._refuse(self._log)
        if trouble is not None:
            self._hits.note(self._room.limit, self._node_id)
            self._on_store_error(trouble)
        else:
            self._probe()
        self._kept.note_room(self._room.has_room_for_others)

    def _on_store_error(self, error: StoreError) -> None:
        if self._is_closing:
            return
        self._kept.note_error(error, self._clock.now_ms(), self._clock.elapsed_ms())
        self._probe_later()

    def _probe_later(self) -> None:
        if self._undo_probe is None and not self._is_closing:
            self._undo_probe = self._clock.call_later(PROBE_MS, self.into_mailbox(self._probe))

    def _probe(self) -> None:
        """Nothing may be written for long: see whether the disk works again."""
        if self._undo_probe is not None:
            self._undo_probe()
            self._undo_probe = None
        if self._room.trouble is not None:
            self._probe_later()
        elif self._kept.store_trouble is not None and self._disk is not None and not self._is_closing:
            self._disk.run(lambda store: store.probe()).then(self._on_probed)

    def _on_probed(self, done: Later[None]) -> None:
        if done.exception is None:
            self._kept.note_success()

    def _adopt_later(self, max_ms: float = MAX_ADOPT_MS) -> None:
        """Others hold these events too: after a random time most of them find that one has adopted them."""
        if self._is_closing or (self._undo_adopt is not None and self._adopt_ms <= self._clock.elapsed_ms() + max_ms):
            return
        if self._undo_adopt is not None:
            self._undo_adopt()
        delay_ms = self._random.uniform(MIN_ADOPT_MS, max_ms)
        self._adopt_ms = self._clock.elapsed_ms() + delay_ms
        self._undo_adopt = self._clock.call_later(delay_ms, self.into_mailbox(self._adopt))

    def _adopt(self) -> None:
        self._undo_adopt = None
        if self._log is not None and not self._is_closing:
            pen, adopts_unknown = self._log.pen, self._adopts_unknown
            self._log.write(lambda store: [store.adopt(pen, adopts_unknown=adopts_unknown)]).then(self._on_adopted)

    def _on_adopted(self, done: Later[Sequence[Taken]]) -> None:
        if done.exception is not None:
            self._adopt_later()
        elif any(taken.is_unfinished for taken in done.result()):
            self._adopt()  # a log from before its mesh may have very many

    def _on_neighbours(self) -> None:
        """What clocks others have says how far from the future events are shown."""
        if self._log is not None and not self._is_closing:
            self._log.clock_ahead_ms = self._kept.neighbours.clock_ahead_ms
            if self._log.state.waiting:
                self._show_due()

    def _show_later(self) -> None:
        """While events wait for their time, look for it."""
        if self._log is not None and self._log.state.waiting and self._undo_due is None and not self._is_closing:
            self._undo_due = self._clock.call_later(SHOW_MS, self.into_mailbox(self._show_due))

    def _show_due(self) -> None:
        if self._undo_due is not None:
            self._undo_due()
            self._undo_due = None
        if self._log is not None and not self._is_closing:
            self._log.show_due().then(self._on_shown)

    def _on_shown(self, done: Later[Sequence[Taken]]) -> None:
        if done.exception is None and any(taken.is_unfinished for taken in done.result()):
            self._show_due()
        else:
            self._show_later()

    def _stop_timers(self) -> None:
        self._is_closing = True
        undos = (self._undo_adopt, self._undo_probe, self._undo_look, self._undo_due, self._undo_neighbours)
        for undo in undos:
            if undo is not None:
                undo()
        self._undo_adopt = self._undo_probe = self._undo_look = self._undo_due = self._undo_neighbours = None


class InTurnDisk:
    """A Disk whose results arrive in the mailbox of an actor, so that reactions to them are supervised like messages."""

    def __init__(
        self,
        disk: Disk,
        into_mailbox: Callable[[Callable[..., None]], Callable[..., None]],
        on_error: Callable[[StoreError], None],
    ) -> None:
        """`on_error` is called for each piece of work that the store failed to do, before its result shows."""
        self._disk = disk
        self._into_mailbox = into_mailbox
        self._on_error = on_error
        self._unfinished: dict[Later[Any], None] = {}
        self._is_over = False

    @property
    def is_awaited(self) -> bool:
        return self._disk.is_awaited

    def run(self, work: Callable[[RunStore], T]) -> Later[T]:
        if self._is_over:
            return Later.failed(LogClosedError(CLOSED))
        result: Later[T] = Later()
        self._unfinished[result] = None

        def show(done: Later[T]) -> None:
            self._unfinished.pop(result, None)
            if isinstance(done.exception, StoreError):
                self._on_error(done.exception)
            result.follow(done)

        self._disk.run(work).then(self._into_mailbox(show))
        return result

    def close(self) -> Later[None]:
        return self._disk.close()

    def end(self) -> Later[None]:
        """The actor has ended, so no result arrives any more: all that are awaited fail with StoreError."""
        self._is_over = True
        for result in tuple(self._unfinished):
            try:
                result.fail(LogClosedError(CLOSED))
            except failures():
                LOG.exception("a reaction to the end of the log failed")
        return self._disk.close()
