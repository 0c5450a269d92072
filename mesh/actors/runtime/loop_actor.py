"""LoopActor: a Pykka actor whose mailbox is emptied by one asyncio loop, which it shares with many others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, Literal, Self, TypeVar, cast, overload

import pykka

from mesh.actors.runtime.loop_future import LoopFuture
from mesh.actors.runtime.mailbox import Call, Envelope, Mailbox, Runtime, Stop
from peers.later import Later, is_on_loop

__all__ = ["LoopActor", "LoopActorRef", "LoopFuture", "Runtime"]

A = TypeVar("A", bound="LoopActor")


class LoopActorRef(pykka.ActorRef[A], Generic[A]):
    """Reference to a LoopActor, for any thread; on the actor's loop, ask and stop with `block=False` and await."""

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
        """Send `message` and wait up to `timeout` seconds for the answer, or get a LoopFuture of it.

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


class LoopActor(pykka.Actor):
    """A Pykka actor that runs on an asyncio loop, with many others.

    A handler (`on_receive`, or a method called through a proxy) must not block. It may return a coroutine or a Later:
    the actor takes other messages meanwhile, and an ask is answered when it is done. The actor owns it: without an
    asker its failure is the actor's failure; when the actor stops, the coroutine is cancelled and the ask gets
    ActorDeadError. A returned pykka.Future is a plain value. Stop an actor before its loop is closed.
    """

    actor_inbox: Mailbox

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self._runtime = runtime
        self._actor_ref = LoopActorRef(self)
        self.actor_inbox.bind(self, runtime)

    @classmethod
    def start(cls, runtime: Runtime, *args: Any, **options: Any) -> LoopActorRef[Self]:
        """Start an actor, from any thread; the rest goes to `__init__`. Raises ActorDeadError if the loop is closed."""
        return cast("LoopActorRef[Self]", super().start(runtime, *args, **options))

    @property
    def actor_ref(self) -> LoopActorRef[Self]:
        return cast("LoopActorRef[Self]", self._actor_ref)

    def defer(self, function: Callable[..., Any], *args: Any) -> None:
        """Run `function(*args)` in a turn of its own, as a told message is: its failure is the actor's.

        From any thread; silently dropped if the actor is dead.
        """
        self.actor_inbox.offer(Call(function, args))

    def into_mailbox(self, function: Callable[..., Any]) -> Callable[..., None]:
        """A callback that makes `function` run in a turn of this actor, whoever calls it, in whichever thread."""
        return functools.partial(self.defer, function)

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    @staticmethod
    def _create_future() -> LoopFuture[Any]:
        return LoopFuture()

    def _start_actor_loop(self) -> None:
        self._runtime.inboxes[self.actor_inbox] = None
        if not self.actor_inbox.offer_first(Call(self._actor_loop_setup, ())):
            raise self.actor_inbox.dead()
