"""LoopActor: a Pykka actor on an asyncio loop, which it shares with many others."""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, cast, overload

import pykka
from pykka import ActorDeadError

from mesh.actors.runtime.loop_future import LoopFuture
from mesh.actors.runtime.mailbox import Call, Envelope, Mailbox, Runtime, Stop
from peers.failures import failures
from peers.later import Later, is_on_loop

__all__ = ["ActorDeadError", "LoopActor", "LoopActorRef", "LoopFuture", "Runtime"]

A = TypeVar("A", bound="LoopActor")
P = ParamSpec("P")
R = TypeVar("R")


class LoopActorRef(pykka.ActorRef[A], Generic[A]):
    """Reference to a LoopActor, to be used in any thread.

    `ask_to` and `tell_to` call a method of the actor; `ask`, `tell` and `proxy` are Pykka's. On the actor's own loop use
    `ask` and `stop` with `block=False` and await the result.
    """

    actor_inbox: Mailbox

    def is_alive(self) -> bool:
        return not self.actor_stopped.is_set() and not self.actor_inbox.is_abandoned()

    def tell(self, message: Any) -> None:
        """Send `message`, from any thread. Raises ActorDeadError if the actor is dead."""
        if self.actor_stopped.is_set() or not self.actor_inbox.offer(Envelope(message)):
            raise self.actor_inbox.dead()

    @overload
    def ask(self, message: Any, *, block: Literal[False], timeout: float | None = None) -> LoopFuture[Any]: ...

    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send `message`; wait up to `timeout` seconds for the answer, or with `block=False` get a LoopFuture of it.

        Raises what the actor raised, ActorDeadError, pykka.Timeout, and RuntimeError, with nothing sent, if it would
        block the actor's loop.
        """
        reply: LoopFuture[Any] = LoopFuture()
        reply.loop = self.actor_inbox.loop
        if not self.is_alive():
            reply.fail(self.actor_inbox.dead())
        elif block and is_on_loop(reply.loop):
            raise RuntimeError("this would block the event loop: use block=False and await the answer")
        else:
            self.actor_inbox.offer(Envelope(message, reply))
        return reply.get(timeout) if block else reply

    @overload
    def ask_to(
        self, method: Callable[Concatenate[A, P], Awaitable[R]], /, *args: P.args, **options: P.kwargs
    ) -> LoopFuture[R]: ...

    @overload
    def ask_to(
        self, method: Callable[Concatenate[A, P], R], /, *args: P.args, **options: P.kwargs
    ) -> LoopFuture[R]: ...

    def ask_to(self, method: Callable[..., Any], /, *args: Any, **options: Any) -> LoopFuture[Any]:
        """Call a method of the actor in a turn of its own; the LoopFuture gets its result. Never blocks.

        `method` is a method of the actor's class, and the rest are its arguments; one that overrides it is not looked for:

            opened = await listener.ask_to(Listener.open, "127.0.0.1", 4000)

        The LoopFuture fails with what the method raised, or with ActorDeadError.
        """
        reply: LoopFuture[Any] = LoopFuture()
        reply.loop = self.actor_inbox.loop
        if not self.is_alive():
            reply.fail(self.actor_inbox.dead())
        else:
            self.actor_inbox.offer(Call(self._bound(method, args, options), reply))
        return reply

    def tell_to(self, method: Callable[Concatenate[A, P], Any], /, *args: P.args, **options: P.kwargs) -> None:
        """Call a method of the actor in a turn of its own, as `ask_to`, without an answer.

        What the method raises is the actor's failure. Silently dropped if the actor is dead.
        """
        self.actor_inbox.offer(Call(self._bound(method, args, options)))

    def _bound(self, method: Callable[..., Any], args: Any, options: Any) -> Callable[[], Any]:
        actor = self.actor_inbox.actor  # None once it is dead; then this is never called
        return functools.partial(method, actor, *args, **options)

    @overload
    def stop(self, *, block: Literal[True], timeout: float | None = None) -> bool: ...

    @overload
    def stop(self, *, block: Literal[False], timeout: float | None = None) -> LoopFuture[bool]: ...

    @overload
    def stop(self, *, block: bool = True, timeout: float | None = None) -> bool | LoopFuture[bool]: ...

    def stop(self, *, block: bool = True, timeout: float | None = None) -> bool | LoopFuture[bool]:
        """Stop the actor after the messages sent before; True if it was alive.

        Raises RuntimeError, with nothing sent, if it would block the actor's loop.
        """
        if block and is_on_loop(self.actor_inbox.loop) and self.is_alive():
            raise RuntimeError("this would block the event loop: use block=False and await the result")
        stopped: LoopFuture[bool] = LoopFuture()
        stopped.loop = self.actor_inbox.loop

        def react(answer: Later[Any]) -> None:
            if answer.exception is None or isinstance(answer.exception, pykka.ActorDeadError):
                stopped.set(answer.exception is None)
            else:
                stopped.fail(answer.exception)

        self.ask(Stop(), block=False).then(react)
        return stopped.get(timeout) if block else stopped


def alive_or(asked: Later[R], error: Exception) -> Later[R]:
    """The answer of an actor, but `error` where it is dead."""
    result: Later[R] = Later()
    result.loop = asked.loop

    def answer(done: Later[R]) -> None:
        if isinstance(done.exception, pykka.ActorDeadError):
            result.fail(error)
        else:
            result.follow(done)

    asked.then(answer)
    return result


class _Stopped(threading.Event):
    """Whether an actor has stopped. It cannot be waited for: a lock and a queue for those who wait take 1 KiB."""

    def __init__(self) -> None:
        self._flag = False

    def set(self) -> None:
        self._flag = True

    def clear(self) -> None:
        self._flag = False


class _Deferring:
    """What `into_mailbox` makes. A session has dozens: this takes a third of the memory of partials."""

    __slots__ = ("_function", "_mailbox")

    def __init__(self, mailbox: Mailbox, function: Callable[..., Any]) -> None:
        self._mailbox = mailbox
        self._function = function

    def __call__(self, *args: Any) -> None:
        self._mailbox.offer(Call(functools.partial(self._function, *args)))


class LoopActor(pykka.Actor):
    """A Pykka actor that runs on an asyncio loop, which it shares with many others. Actor types are subclasses of it.

    `start(runtime, ...)` makes one, from any thread, and returns its LoopActorRef. From then on the actor runs on the loop
    of `runtime`, in turns, one message at a time:

        listener = Listener.start(Runtime(loop), network, tell)
        opened = await listener.ask_to(Listener.open, "127.0.0.1", 4000)
        await listener.stop(block=False)

    A handler (`on_receive`, or a method called by `ask_to`, `tell_to` or a proxy) must not block. It may return a coroutine
    or a Later: the actor takes other messages meanwhile, and an ask is answered when it is done. The actor owns it: without
    an asker its failure is the actor's failure; when the actor stops, the coroutine is cancelled and the ask fails with
    ActorDeadError. A returned pykka.Future is a plain value.

    `on_start`, `on_stop` and `on_failure` are Pykka's hooks. An exception that goes to no asker is logged and ends the actor;
    then `on_failure` is called instead of `on_stop`. What is raised in `on_start` calls neither, so work that may fail is
    deferred there. Stop an actor before its loop is closed.
    """

    # Private parts of Pykka that are used here: _actor_ref, _actor_loop_setup, what Mailbox calls (_handle_receive,
    # _handle_failure, _stop), and the hooks for new actor types (_create_actor_inbox, _create_future, _start_actor_loop).

    actor_inbox: Mailbox

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self._runtime = runtime
        self.actor_stopped = _Stopped()
        self._actor_ref = LoopActorRef(self)
        self.actor_inbox.bind(self, runtime)

    @classmethod
    def start(cls, runtime: Runtime, *args: Any, **options: Any) -> LoopActorRef[Self]:
        """Start an actor, from any thread; the rest goes to `__init__`. Raises ActorDeadError if the loop is closed."""
        return cast("LoopActorRef[Self]", super().start(runtime, *args, **options))

    @property
    def actor_ref(self) -> LoopActorRef[Self]:
        return cast("LoopActorRef[Self]", self._actor_ref)

    def share_turns(self, share: Hashable) -> None:
        """From now on all actors of this runtime that called it with an equal `share` take turns as one actor would.

        So a user of many actors does not delay the others more than a user of one. See Turns.
        """
        self.actor_inbox.share = share

    def defer(self, function: Callable[..., Any], *args: Any) -> None:
        """Run `function(*args)` in a turn of its own, from any thread; a coroutine that it returns is run, too.

        What it raises is the actor's failure. Silently dropped if the actor is dead.
        """
        self.actor_inbox.offer(Call(functools.partial(function, *args)))

    def into_mailbox(self, function: Callable[..., Any]) -> Callable[..., None]:
        """A callback, for any thread, that runs `function` in a turn of this actor, as `defer` does."""
        return _Deferring(self.actor_inbox, function)

    def handle_message(self, message: Any) -> Any:
        """Called by the mailbox: handle one message as Pykka does."""
        return self._handle_receive(message)

    def handle_failure(self, error: BaseException) -> None:
        """Called by the mailbox while `error` is handled: die of it as Pykka does."""
        self._handle_failure(type(error), error, error.__traceback__)
        try:
            self.on_failure(type(error), error, error.__traceback__)
        except failures() as second:
            self._handle_failure(type(second), second, second.__traceback__)

    def stop_now(self) -> None:
        """Called by the mailbox: stop without handling what waits."""
        self._stop()

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    @staticmethod
    def _create_future() -> LoopFuture[Any]:
        return LoopFuture()

    def _start_actor_loop(self) -> None:
        self._runtime.inboxes[self.actor_inbox] = None
        if not self.actor_inbox.offer_first(Call(self._actor_loop_setup)):
            raise self.actor_inbox.dead()
