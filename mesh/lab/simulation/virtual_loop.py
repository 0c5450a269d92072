"""An asyncio loop in virtual time: one thread, no input or output, and every choice made by a seed."""

from __future__ import annotations

import asyncio
import gc
import heapq
import sys
import threading
import warnings
from asyncio.events import _get_running_loop, _set_running_loop
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextvars import Context
from random import Random
from typing import Any, TypeVarTuple
from weakref import WeakValueDictionary

from mesh.lab.simulation.app_tasks import OwnedTask, owned_timer, owner_of, work_of
from mesh.lab.simulation.isolated_loop import IsolatedLoop
from peers.later import SteppedLoop

TURNS_PER_INSTANT = 1_000_000
"""Turns without progress of virtual time after which the loop reports a livelock."""
INSTANT_SECONDS = 1e-6
"""Timers that are closer together than this count as one instant."""
FINISH_SECONDS = 60.0
"""Virtual time within which cancelled tasks must end."""
VIRTUAL_ANSWER_SECONDS = 60.0
"""Virtual seconds that `Later.get` waits at most, unless it is told another limit."""
GARBAGE_OBJECTS = 200_000
"""New objects after which a run collects garbage: a cluster is large, lives long and makes little garbage."""
GARBAGE_ROUNDS = 50
"""Collections of new objects after which older ones are collected too."""
_PURGE_FROM = 256
"""Cancelled timers are removed when there are this many and they outnumber the others."""

Ts = TypeVarTuple("Ts")
Drain = Callable[[], None]


class LabAlarm(BaseException):
    """The lab itself has found an error. It is no Exception, so that no `except` of the code under test catches it."""


class _Timer(asyncio.TimerHandle):
    """A timer of the loop."""

    __slots__ = ("is_waiting",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.is_waiting = True
        """Whether it is in the heap: only then the loop counts it when it is cancelled."""


class VirtualLoop(IsolatedLoop, SteppedLoop):
    """Runs asyncio code and the drains of actors in one thread; when nothing is ready, its time jumps to the next timer.

    Callbacks of asyncio run first in, first out, as on a real loop. The seed decides the order of timers that are due at one
    instant, which of the waiting drains runs next, and whether a drain or a callback runs next: the same seed gives the same
    run.

    An exception that reaches the exception handler of the loop is raised out of the run (`run_for`, `run_until`,
    `run_until_complete`) before the next turn; the loop may be run again after it. LabAlarm is raised for a livelock and for
    a run that can never end. Sockets and threads raise RuntimeError. `close` the loop at the end.

        loop = VirtualLoop(seed=7)
        loop.call_later(3_600, news.append, "an hour later")
        loop.run_for(3_600)  # returns at once
        loop.close()
    """

    elsewhere = (
        "asyncio.run() has a loop of its own, and the lab's virtual time stands still meanwhile: outside of coroutines take "
        "`.get()`, and run a coroutine of an application with `room.spawn(coroutine).get()`"
    )

    def __init__(self, seed: int, *, turns_per_instant: int = TURNS_PER_INSTANT) -> None:
        """`turns_per_instant` turns without progress of virtual time are a livelock."""
        self._is_running = False
        super().__init__()
        self.context = Context()
        """For timers of the lab that the code of an application may cause: they are not the application's."""
        self.turns = 0
        """Callbacks and drains run so far."""
        self._random = Random(seed)
        self._turns_per_instant = turns_per_instant
        self._thread = threading.get_ident()
        self._now = 0.0
        self._instant = 0.0
        self._turns_before = 0
        self._soon: deque[asyncio.Handle] = deque()
        self._bag: list[Drain] = []
        self._timers: list[tuple[float, float, int, _Timer]] = []
        self._timer_count = 0
        self._cancelled_timers = 0
        self._errors: deque[BaseException] = deque()
        self._tasks: dict[asyncio.Future[Any], None] = {}
        self._closing: dict[asyncio.Future[Any], None] = {}  # our own tasks, which close generators
        self._generators: WeakValueDictionary[int, AsyncGenerator[Any, Any]] = WeakValueDictionary()
        self._generator_count = 0
        self._is_stopping = False
        self._is_finishing = False
        self._is_over = False
        self._on_quiet: Callable[[], bool] | None = None
        self._end = 0.0
        self.set_task_factory(self._make_task)

    # Time

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def run_for(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass, and run all that is due until then and at its end."""
        self._run_to(self._now + seconds, None)

    def run_until(self, predicate: Callable[[], bool], limit_seconds: float) -> bool:
        """Run until `predicate()` is true; False if it is not true within `limit_seconds` of virtual time.

        It is called each time when nothing more is ready, before time moves on.
        """
        return self._run_to(self._now + limit_seconds, predicate)

    def wait_until(self, is_done: Callable[[], bool], timeout: float | None) -> None:
        """See SteppedLoop: what `Later.get` does, with a limit of VIRTUAL_ANSWER_SECONDS."""
        seconds = VIRTUAL_ANSWER_SECONDS if timeout is None else timeout
        if not self.run_until(is_done, seconds):
            raise TimeoutError(f"no result within {seconds:g} s of virtual time")

    def _run_to(self, end: float, predicate: Callable[[], bool] | None) -> bool:
        was_met = False

        def on_quiet() -> bool:
            nonlocal was_met
            was_met = predicate is not None and predicate()
            return was_met

        self._end, self._on_quiet = end, on_quiet
        try:
            self.run_forever()
        finally:
            self._on_quiet = None
        return was_met

    # Turns

    def run_forever(self) -> None:
        """Run until `stop`. Raises LabAlarm if nothing is left that could happen."""
        self._check_open()
        if self._is_running or _get_running_loop() is not None:
            raise RuntimeError("a loop is running in this thread already: run_* cannot be called from inside it")
        hooks, thresholds = sys.get_asyncgen_hooks(), gc.get_threshold()
        self._is_running, self._is_stopping = True, False
        try:
            sys.set_asyncgen_hooks(firstiter=self._on_generator, finalizer=self._on_generator_lost)
            _set_running_loop(self)
            if thresholds[0]:
                gc.set_threshold(max(GARBAGE_OBJECTS, thresholds[0]), GARBAGE_ROUNDS, thresholds[2])
            self._run_turns()
        finally:
            self._is_running = False
            _set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            gc.set_threshold(*thresholds)

    def stop(self) -> None:
        """End the run after this turn. What is ready waits for the next run."""
        self._is_stopping = True

    def is_running(self) -> bool:
        return self._is_running

    def _run_turns(self) -> None:
        soon, bag, timers, random = self._soon, self._bag, self._timers, self._random.random
        while not self._is_stopping:
            if self._errors:
                self._raise_recorded()
            if timers and timers[0][0] <= self._now:
                self._take_due_timers()
            if bag and (not soon or random() < 0.5):
                index = int(random() * len(bag))
                drain, bag[index] = bag[index], bag[-1]
                bag.pop()
                self._count_turn()
                drain()
                del drain
            elif soon:
                handle = soon.popleft()
                if not handle.cancelled():
                    self._count_turn()
                    handle._run()  # no public way to run one: asyncio leaves it to its loops
                del handle  # perhaps the last reference to a failed task, which reports its error when it is freed
            else:
                self._move_on()
        self._raise_recorded()

    def _raise_recorded(self) -> None:
        if self._errors and not self._is_finishing:
            raise self._errors.popleft()

    def _count_turn(self) -> None:
        self.turns += 1
        if self.turns - self._turns_before > self._turns_per_instant:
            self._turns_before = self.turns
            raise LabAlarm(f"livelock: {self._turns_per_instant} turns at {self._now:.6f} s, and time does not move on")

    def _take_due_timers(self) -> None:
        timers, soon, now = self._timers, self._soon, self._now
        while timers and timers[0][0] <= now:
            handle = heapq.heappop(timers)[3]
            handle.is_waiting = False
            if handle.cancelled():
                self._cancelled_timers -= 1
            else:
                soon.append(handle)

    def _move_on(self) -> None:
        """Nothing is ready: stop if the goal of the run is reached, otherwise jump to the next timer."""
        if self._on_quiet is not None and self._on_quiet():
            self.stop()
            return
        if self._soon or self._bag:
            return  # the predicate has scheduled something
        while self._timers and self._timers[0][3].cancelled():
            heapq.heappop(self._timers)
            self._cancelled_timers -= 1
        when = self._timers[0][0] if self._timers else None
        if self._on_quiet is None:
            if when is None:
                raise LabAlarm(f"nothing is left that could happen after {self._now:.6f} s, and the run is not over")
        elif when is None or when > self._end:
            when = max(self._end, self._now)
            self.stop()
        self._now = max(when, self._now)
        if self._now - self._instant >= INSTANT_SECONDS:
            self._instant, self._turns_before = self._now, self.turns

    # Scheduling

    def schedule_drain(self, drain: Drain) -> None:
        """Let `drain` run on a turn that the seed decides. It handles one message of an actor and schedules itself again."""
        self._check_open()
        self._bag.append(drain)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self._check_open()
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon`. Raises RuntimeError in any other thread: its calls could not be replayed."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("the virtual loop was called from another thread: in the lab everything runs on one")
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self._check_open()
        handle = _Timer(when, owned_timer(callback, context), args, self, context)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._random.random(), self._timer_count, handle))
        return handle

    def _timer_handle_cancelled(
        self, handle: asyncio.TimerHandle
    ) -> None:  # asyncio calls it when a timer is cancelled
        if not isinstance(handle, _Timer) or not handle.is_waiting:
            return
        self._cancelled_timers += 1
        if self._cancelled_timers >= _PURGE_FROM and self._cancelled_timers * 2 > len(self._timers):
            # in place, because a running turn holds the list; this handle says "cancelled" only after this call
            self._timers[:] = [timer for timer in self._timers if not timer[3].cancelled() and timer[3] is not handle]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0
            handle.is_waiting = False

    def _check_open(self) -> None:
        if self._is_over:
            raise RuntimeError("the virtual loop is closed")

    # Errors

    def record(self, error: BaseException) -> None:
        """Raise `error` out of the run before the next turn, even if the code under test catches it too."""
        self._errors.append(error)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, BaseException):
            error = RuntimeError(context.get("message") or "an unknown trouble reached the loop")
        self.record(error)

    # Tasks and generators in the order of their creation: the sets of asyncio have none

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        owner = owner_of(options.get("context"))
        task: asyncio.Task[Any] = (OwnedTask if owner else asyncio.Task)(work, loop=loop, **options)
        self._tasks[task] = None
        task.add_done_callback(self._forget_task)
        if owner:
            owner.adopt(task)
        return task

    def _forget_task(self, task: asyncio.Future[Any]) -> None:
        self._tasks.pop(task, None)

    def _on_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._generator_count += 1
        self._generators[self._generator_count] = generator

    def _on_generator_lost(self, generator: AsyncGenerator[Any, Any]) -> None:
        try:
            if not self.is_closed():
                self.call_soon_threadsafe(self._start_closing, [generator])
        except BaseException as error:  # noqa: BLE001 - the interpreter would only print it
            self.record(error)

    async def shutdown_asyncgens(self) -> None:
        """Close the generators that are open, oldest first."""
        await self._close_generators(list(self._generators.values()))

    def _start_closing(self, generators: list[AsyncGenerator[Any, Any]]) -> None:
        task = asyncio.Task(self._close_generators(generators), loop=self)
        self._closing[task] = None
        task.add_done_callback(self._forget_closing)

    def _forget_closing(self, task: asyncio.Future[Any]) -> None:
        del self._closing[task]

    async def _close_generators(self, generators: list[AsyncGenerator[Any, Any]]) -> None:
        for generator in generators:
            try:
                await generator.aclose()
            except Exception as error:  # noqa: BLE001 - the others must be closed as well
                self.record(error)

    # End

    def finish(self) -> tuple[str, ...]:
        """Cancel the tasks that are left, let them end and close open generators. Returns the names of the tasks, in order.

        Waiting drains are dropped; errors wait for the next run or `close`. Raises LabAlarm if a task does not end within
        FINISH_SECONDS of virtual time.
        """
        left = tuple(self._tasks)
        self._bag.clear()
        for task in left:
            task.cancel()
        if len(self._generators):
            self._start_closing(list(self._generators.values()))
        self._is_finishing = True
        try:
            if not self.run_until(lambda: not self._tasks and not self._closing, FINISH_SECONDS):
                stuck = ", ".join(work_of(task) for task in (*self._tasks, *self._closing))
                raise LabAlarm(f"cancelled tasks go on after {FINISH_SECONDS:.0f} s: {stuck}")
        finally:
            self._is_finishing = False
        return tuple(work_of(task) for task in left)

    def close(self) -> None:
        """`finish` and free everything. Raises an error that is left; warns with ResourceWarning if tasks were pending."""
        if self._is_over:
            return
        left: tuple[str, ...] = ()
        try:
            left = self.finish()
        finally:
            self._is_over = True
            self._soon.clear()
            self._bag.clear()
            self._timers.clear()
            super().close()
        self._raise_recorded()
        if left:
            what = f"the virtual loop was closed at {self._now:.6f} s with {len(left)} tasks pending: {', '.join(left)}"
            warnings.warn(what, ResourceWarning, stacklevel=2)
