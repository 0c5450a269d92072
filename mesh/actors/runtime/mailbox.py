"""Mailbox: the messages that wait for a LoopActor, and the turns in which its loop handles them."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from types import CoroutineType
from typing import Any, Literal, NoReturn, Protocol, cast

import pykka

# These two are private in Pykka; LoopActor names the other private parts of Pykka that are used.
from pykka._envelope import Envelope
from pykka.messages import _ActorStop as Stop

from mesh.actors.runtime.loop_future import LoopFuture
from mesh.actors.runtime.turns import Turn, Turns
from peers.failures import failures
from peers.later import Later, is_on_loop

__all__ = ["Call", "Envelope", "Mailbox", "Runtime", "Stop"]

MESSAGES_PER_TURN = 64  # after them the loop serves the other actors
TURN_SECONDS = 0.002
"""The same, after the message that is being handled then."""
FATAL_IN_TASK = (KeyboardInterrupt, SystemExit)  # asyncio raises these two out of the loop by itself

pykka_log = logging.getLogger("pykka")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs actors; each one gets it at its start. Raises ValueError for `messages_per_turn` below 1.

    `schedule` schedules a turn on the loop's own thread. The lab passes its own, where a seed picks whose turn comes next,
    and takes one message a turn.
    """

    loop: asyncio.AbstractEventLoop
    schedule: Callable[[Turn], None] | None = None  # None: Turns
    messages_per_turn: int = MESSAGES_PER_TURN
    schedule_turn: Callable[[Turn, Hashable], None] = field(init=False, compare=False, repr=False)
    """See Turns.add; to be called on the loop's thread."""
    wake: Callable[[Turn], None] = field(init=False, compare=False, repr=False)
    """See Turns.wake; to be called in other threads."""
    inboxes: dict[Mailbox, None] = field(default_factory=dict, compare=False, repr=False)
    """Of the actors that were started on it and have not stopped, in the order of their start; the actors maintain it."""

    def __post_init__(self) -> None:
        if self.messages_per_turn < 1:
            raise ValueError(f"messages_per_turn is {self.messages_per_turn}: an actor needs at least 1")
        turns, schedule = Turns(self.loop), self.schedule
        if schedule is None:
            object.__setattr__(self, "schedule_turn", turns.add)
            object.__setattr__(self, "wake", turns.wake)
        else:
            object.__setattr__(self, "schedule_turn", lambda turn, _share: schedule(turn))
            object.__setattr__(self, "wake", lambda turn: self.loop.call_soon_threadsafe(schedule, turn))


class Call(Envelope[Callable[..., Any]]):
    """A function without arguments to run in a turn of the actor; without `reply_to` its failure is the actor's."""

    __slots__ = ()


class MailboxOwner(Protocol):
    """What a mailbox needs of its actor; LoopActor has it."""

    actor_stopped: threading.Event

    @property
    def actor_ref(self) -> pykka.ActorRef[Any]: ...

    def handle_message(self, message: Any) -> Any:
        """Handle one message; the result answers an ask."""

    def handle_failure(self, error: BaseException) -> None:
        """Die of `error`; called while it is handled."""

    def stop_now(self) -> None:
        """Stop without handling what waits."""


class Mailbox:
    """The messages that wait for one LoopActor, and the turns in which the loop takes them.

    No wake-up is lost: `put` first appends and then looks whether a turn is scheduled; a turn first notes that none is
    scheduled and then looks for messages. Two turns scheduled at once are harmless.
    """

    __slots__ = ("_actor", "_is_scheduled", "_name", "_runtime", "_unfinished", "_waiting", "loop", "share")

    def __init__(self) -> None:
        self._actor: MailboxOwner | None = None  # None once it is dead, so that its refs do not keep it in memory
        self._is_scheduled = True  # until the actor starts
        self._waiting: deque[Envelope[Any]] = deque()
        self._unfinished: dict[object, LoopFuture[Any] | None] | None = None  # task or ask -> the ask it will answer
        self.share: Hashable = self
        """Actors with the same one take turns as one actor would; see Turns."""

    def bind(self, actor: MailboxOwner, runtime: Runtime) -> None:
        """Set the actor whose mailbox this is; called before the first message."""
        self._actor = actor
        self._name = type(actor).__name__
        self._runtime = runtime
        self.loop = runtime.loop

    @property
    def actor(self) -> MailboxOwner | None:
        """The actor whose mailbox this is; None once it is dead."""
        return self._actor

    @property
    def waiting_count(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a message. Raises ActorDeadError if the actor is dead."""
        if not self.offer(envelope):
            raise self.dead()

    def get(self) -> Envelope[Any]:
        return self._waiting.popleft()

    def empty(self) -> bool:
        return not self._waiting

    def offer(self, envelope: Envelope[Any]) -> bool:
        """Add a message, from any thread. False if the actor is dead; an ask then fails with ActorDeadError."""
        self._waiting.append(envelope)
        if not self._is_scheduled:
            self._is_scheduled = True
            return self._wake()
        return not self.loop.is_closed() or self.abandon()

    def offer_first(self, envelope: Envelope[Any]) -> bool:
        """Add a message before all others and schedule a turn. False if the actor is dead."""
        self._waiting.appendleft(envelope)
        self._is_scheduled = True
        return self._wake()

    def is_abandoned(self) -> bool:
        """Whether the loop was closed under the actor, which is then dead."""
        return self.loop.is_closed() and not self.abandon()

    def abandon(self) -> Literal[False]:
        """Mark the actor as dead, because nothing runs it any more: its loop is closed, or the lab cut the power.

        No hook is called and no message is handled; what was asked fails with ActorDeadError.
        """
        actor = self._actor
        if actor is not None:
            pykka.ActorRegistry.unregister(actor.actor_ref)
            actor.actor_stopped.set()
        self._close()
        return False

    def dead(self) -> pykka.ActorDeadError:
        """The error for a message that a dead actor cannot take."""
        why = "its loop is closed" if self.loop.is_closed() else "it has stopped"
        return pykka.ActorDeadError(f"{self._name} cannot take a message: {why}")

    def _wake(self) -> bool:
        actor, loop, runtime = self._actor, self.loop, self._runtime
        if actor is None:
            self._refuse_waiting()
            return False
        try:
            if is_on_loop(loop):
                runtime.schedule_turn(self._turn, self.share)
            else:
                runtime.wake(self._turn)
        except RuntimeError:
            if loop.is_closed():
                return self.abandon()
            self._is_scheduled = False
            raise
        return True

    def _turn(self) -> None:
        """Take up to `messages_per_turn` messages, for TURN_SECONDS, then let others have theirs."""
        actor, waiting = self._actor, self._waiting
        if actor is None:
            return
        is_stopped = actor.actor_stopped.is_set
        envelope: Envelope[Any] | None = None
        left, now = self._runtime.messages_per_turn, self.loop.time
        until = now() + TURN_SECONDS
        try:
            while left and waiting and not is_stopped():
                left -= 1
                envelope = waiting.popleft()
                self._take(actor, envelope)
                if now() >= until:
                    break
        except BaseException:
            try:
                self._stop_all()
            finally:
                if envelope is not None:
                    self._refuse(envelope)
            raise
        finally:
            if is_stopped():
                self._close()
            else:
                self._rest()

    def _rest(self) -> None:
        if not self._waiting:
            self._is_scheduled = False
            if not self._waiting:  # a put that came before the line above has seen a scheduled turn
                return
            self._is_scheduled = True
        self._wake()

    def _take(self, actor: MailboxOwner, envelope: Envelope[Any]) -> None:
        reply: Any = envelope.reply_to  # a LoopFuture, or None
        try:
            message = envelope.message
            answer = message() if type(envelope) is Call else actor.handle_message(message)
            if answer is not None and is_deferred(answer):
                self._adopt(answer, reply)
                return
        except failures() as error:  # ends one actor; any other BaseException stops all actors
            if reply is None:
                actor.handle_failure(error)
            else:
                self._answer_error(reply, error)
            return
        if reply is not None:
            self._resolve(reply.set, answer)

    def _answer_error(self, reply: LoopFuture[Any], error: BaseException) -> None:
        # Pykka logs this at INFO: an application would see a traceback of each error that it gets, and may expect, anyway.
        pykka_log.debug("Exception returned from %s to caller:", self._name, exc_info=error)
        if isinstance(error, asyncio.CancelledError):  # raised in the asker it would look as if the asker was cancelled
            cancelled = RuntimeError(f"{self._name} cancelled this ask before it was done")
            cancelled.__cause__ = error
            error = cancelled
        self._resolve(reply.fail, error)

    def _resolve(self, resolve: Callable[[Any], None], result: Any) -> None:
        try:
            resolve(result)
        except failures() as error:  # a reaction of the asker raised it, not the actor
            context = {"message": f"a reaction to an answer of {self._name} failed", "exception": error}
            self.loop.call_exception_handler(context)

    def _refuse(self, envelope: Envelope[Any]) -> None:
        reply = cast("LoopFuture[Any] | None", envelope.reply_to)
        if reply is None or reply.is_done:
            return
        if isinstance(envelope.message, Stop):  # it has stopped, as the asker wanted
            self._resolve(reply.set, None)
        else:
            self._fail_dead(reply)

    def _fail_dead(self, reply: LoopFuture[Any]) -> None:
        if not reply.is_done:
            self._resolve(reply.fail, pykka.ActorDeadError(f"{self._name} stopped before it answered"))

    def _refuse_waiting(self) -> None:
        self._is_scheduled = False  # first: a put that comes later refuses its message itself
        for envelope in pop_each(self._waiting):
            self._refuse(envelope)

    def _close(self) -> None:
        """Cancel what runs, answer what waits, and let the actor go."""
        self._actor = None
        self._runtime.inboxes.pop(self, None)
        unfinished = self._unfinished or {}
        for work in tuple(unfinished):
            if isinstance(work, asyncio.Task):
                reply, unfinished[work] = unfinished[work], None
                if not self.loop.is_closed():
                    work.cancel()  # it stays in the table, which keeps it alive until it has ended
            else:
                reply = unfinished.pop(work, None)
            if reply is not None:
                self._fail_dead(reply)
        self._refuse_waiting()

    def _stop_all(self) -> None:
        """What Pykka does about a BaseException, without blocking the loop."""
        pykka_log.debug("BaseException in %s. Stopping all actors.", self._name)
        actor = self._actor
        try:
            if actor is not None and not actor.actor_stopped.is_set():
                actor.stop_now()
        finally:
            pykka.ActorRegistry.stop_all(block=False)

    def _adopt(self, work: Any, reply: LoopFuture[Any] | None) -> None:
        """Own what a handler returned unfinished: a coroutine, or a Later."""
        if self._unfinished is None:
            self._unfinished = {}
        if isinstance(work, Later):
            if reply is not None:
                self._unfinished[reply] = reply
            work.then(functools.partial(self._later_done, reply))
        else:
            task = self.loop.create_task(work)
            self._unfinished[task] = reply
            task.add_done_callback(self._task_done)

    def _later_done(self, reply: LoopFuture[Any] | None, later: Later[Any]) -> None:
        if reply is None:
            if later.exception is not None:
                self.offer_first(Call(functools.partial(throw, later.exception)))
        elif not is_on_loop(self.loop):
            self.offer(Call(functools.partial(self._later_done, reply, later)))  # answers always come from the loop
        elif self._unfinished is not None and self._unfinished.pop(reply, None) is not None:
            if later.exception is None:
                self._resolve(reply.set, later.result())
            else:
                self._answer_error(reply, later.exception)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        assert self._unfinished is not None
        reply = self._unfinished.pop(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, failures()):
            self._task_broke(error, reply)
        elif reply is not None:
            if error is None:
                self._resolve(reply.set, task.result())
            else:
                self._answer_error(reply, error)
        elif error is not None and not task.cancelled() and not self.offer_first(Call(functools.partial(throw, error))):
            pykka_log.error("Unhandled exception in %s, after it stopped:", self._name, exc_info=error)

    def _task_broke(self, error: BaseException, reply: LoopFuture[Any] | None) -> None:
        try:
            self._stop_all()
        finally:
            self._close()
            if reply is not None:
                self._fail_dead(reply)
        if not isinstance(error, FATAL_IN_TASK):
            raise error


def is_deferred(answer: object) -> bool:
    """Whether the result of a handler comes later: it returned a coroutine or a Later, but no pykka.Future."""
    return type(answer) is CoroutineType or (isinstance(answer, Later) and not isinstance(answer, pykka.Future))


def throw(error: BaseException) -> NoReturn:
    raise error


def pop_each(waiting: deque[Envelope[Any]]) -> Iterator[Envelope[Any]]:
    """The messages that wait; if several threads empty the queue at once, each message goes to one of them."""
    while True:
        try:
            envelope = waiting.popleft()
        except IndexError:
            return
        yield envelope
