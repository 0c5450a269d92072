"""Children: the actors that a supervisor started, which it asks, tells, restarts and closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

import pykka

from mesh.actors.environment import Environment
from mesh.actors.runtime.loop_actor import LoopActor, LoopActorRef
from mesh.membership.actions import Notice
from mesh.membership.restart_policy import Failures, Pause, Record, on_failure
from peers.clock import Undo
from peers.later import Later

A = TypeVar("A", bound=LoopActor)
P = ParamSpec("P")
T = TypeVar("T")

CHILD_ANSWER_SECONDS = 2.0
"""How long a child may take to answer; a busy one is then shown without."""
SESSIONS_CLOSE_SECONDS = 3.0
"""How long all sessions together may take to close."""
MAX_FAILURES = 4_096
"""Children whose failures are remembered; beyond it the oldest are forgotten."""


class Service(Protocol):
    """A child that is opened with its supervisor and closed with it."""

    def close(self) -> Later[None] | Coroutine[Any, Any, None]: ...


class Children(Generic[A]):
    """The children of one supervisor, by key: sessions, which come and go, and services. They fail one for one.

    To be used in the supervisor's turns. A question to a child has a limit of time, and a dead child is no error.
    """

    def __init__(
        self, environment: Environment, defer: Callable[..., None], on_notice: Callable[[Notice], None]
    ) -> None:
        """`defer(function, *args)` runs a function in a turn of the supervisor."""
        self.sessions: dict[str, LoopActorRef[A]] = {}
        self.services: dict[str, LoopActorRef[Any]] = {}
        self.failures = Failures()
        """Of those that `on_failed` was called for."""
        self.is_ending = False
        """Set by the supervisor: from then on nothing is restarted."""
        self._environment = environment
        self._defer = defer
        self._on_notice = on_notice
        self._timers: dict[Callable[[], None], Undo] = {}
        self._all_closed: Later[None] = Later()

    async def open(self, key: str, ref: LoopActorRef[Any], opening: Later[T]) -> T:
        """Wait until a new service is open and keep it: what it answered.

        A service that fails to open is closed and stopped. Raises what it failed with.
        """
        try:
            answered = await opening
        except BaseException:
            await _close(ref, CHILD_ANSWER_SECONDS)
            raise
        self.services[key] = ref
        return answered

    async def close(self, key: str, *, seconds: float = CHILD_ANSWER_SECONDS) -> None:
        """Ask a service to close, wait up to `seconds`, and stop it. Harmless if there is none."""
        ref = self.services.get(key)
        if ref is not None and ref.is_alive():
            await _close(ref, seconds)

    async def ask(self, key: str, method: Callable[[Any], Any]) -> Any:
        """What a service answers, or None if there is none, it is dead, or it takes more than CHILD_ANSWER_SECONDS."""
        ref = self.services.get(key)
        return None if ref is None else await _answer(ref.ask_to(method))

    async def ask_sessions(
        self, method: Callable[[A], Any], *, keys: Collection[str] | None = None, seconds: float = CHILD_ANSWER_SECONDS
    ) -> dict[str, Any]:
        """What each session answers by its key, None if it is dead or takes more than so many seconds.

        `keys` are those that are asked; None: all.
        """
        asked = {key: ref.ask_to(method) for key, ref in self.sessions.items() if keys is None or key in keys}
        return {
            key: await _answer(asking, seconds) for key, asking in asked.items()
        }  # all are asked before the first wait

    def tell(self, key: str, method: Callable[Concatenate[Any, P], Any], *args: P.args, **options: P.kwargs) -> None:
        """Call a method of a child; nothing happens if there is none or it is dead."""
        ref = self.sessions.get(key) or self.services.get(key)
        if ref is not None:
            ref.tell_to(method, *args, **options)

    def forget(self, key: str) -> None:
        """A session has ended."""
        self.sessions.pop(key, None)
        if self.is_ending and not self.sessions and not self._all_closed.is_done:
            self._all_closed.set(None)

    async def until_closed(self) -> None:
        """Wait up to SESSIONS_CLOSE_SECONDS until all sessions have ended; a notice says if some have not."""
        if self.sessions and not await is_in_time(self._all_closed, SESSIONS_CLOSE_SECONDS):
            self._on_notice(Notice("note", None, f"some sessions did not close within {SESSIONS_CLOSE_SECONDS:.0f} s"))

    def on_failed(
        self, key: str, why: str, restart: Callable[[], Any] | None, *, name: str = "", kind: str = ""
    ) -> bool:
        """Count a failure. `restart`, a function or coroutine function, is called after a delay, unless it pauses `key`.

        Whether it restarts. `name` is for people and `kind` for the count of failures, if they are not the key.
        """
        self._environment.failures[kind or key] += 1
        now_seconds, share = self._environment.now_seconds(), self._environment.random.random()
        record, outcome = on_failure(self.failures.pop(key, Record()), now_seconds, why, share)
        self.failures[key] = record
        while len(self.failures) > MAX_FAILURES:
            del self.failures[next(iter(self.failures))]
        if isinstance(outcome, Pause):
            text = f"paused {name or key} after too many failures: {why}; `mesh retry` starts it again"
            self._on_notice(Notice("paused", None, text))
            return False
        if restart is not None:
            self.later(outcome.delay_seconds, restart)
        return True

    def forgive(self) -> list[str]:
        """Give whatever failed a new chance: the keys of those that were paused."""
        paused = [key for key, record in self.failures.items() if record.is_paused]
        for key in self.failures:
            self.failures.forgive(key)
        return paused

    def later(self, delay_seconds: float, work: Callable[[], Any]) -> None:
        """Run `work`, a function or coroutine function, in a turn of the supervisor, unless it ends before."""

        def due() -> None:
            del self._timers[due]
            self._defer(self._run, work)

        self._timers[due] = self._environment.clock.call_later(delay_seconds * 1000, due)

    def later_unless_ending(self, delay_seconds: float, work: Callable[[], Any]) -> None:
        """The same; nothing happens once the supervisor ends."""
        if not self.is_ending:
            self.later(delay_seconds, work)

    def stop(self) -> None:
        """Stop whatever lives, without waiting, and all timers: nothing may outlive the supervisor."""
        for undo in self._timers.values():
            undo()
        self._timers.clear()
        for ref in (*self.sessions.values(), *self.services.values()):
            ref.stop(block=False)

    def _run(self, work: Callable[[], Any]) -> Any:
        return None if self.is_ending else work()


async def is_in_time(later: Later[Any], seconds: float) -> bool:
    """Wait until `later` is resolved; False if that takes longer."""
    try:
        async with asyncio.timeout(seconds):
            await later
    except TimeoutError:
        return False
    return True


async def _answer(asked: Later[Any], seconds: float = CHILD_ANSWER_SECONDS) -> Any:
    try:
        async with asyncio.timeout(seconds):
            return await asked
    except (TimeoutError, pykka.ActorDeadError):
        return None


async def _close(ref: LoopActorRef[Any], seconds: float) -> None:
    await _answer(ref.ask_to(_close_service), seconds)
    await ref.stop(block=False)


def _close_service(service: Service) -> Any:
    return service.close()
