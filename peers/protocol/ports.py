"""Ports of a role: what it needs from outside besides its log, its connection and its clock."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar, runtime_checkable

from peers.later import Later
from peers.transport.port import Connection

T = TypeVar("T")
Turn = Callable[[Callable[..., None]], Callable[..., None]]
"""Wraps a reaction, so that calling it makes the reaction run in the role's turn: an actor puts it into its mailbox."""


class Spawn(Protocol):
    """Runs the coroutine of a user's callback, on an event loop for example."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> Later[T]: ...


class RandomBits(Protocol):
    """The part of random.Random that roles use. It is passed in, so that a run can be repeated from its seed."""

    def getrandbits(self, k: int, /) -> int: ...


@runtime_checkable
class Destroyable(Protocol):
    """A connection that opens again after a loss, as Reconnect does, until it is destroyed."""

    def destroy(self, reason: str) -> None: ...


def end_connection(connection: Connection, reason: str) -> None:
    """Close it for good."""
    if isinstance(connection, Destroyable):
        connection.destroy(reason)
    else:
        connection.disconnect(reason)


@runtime_checkable
class Welcoming(Protocol):
    """A connection with a deadline and small limits until the other end is known."""

    def welcome(self) -> None:
        """The other end is known."""


async def awaited(value: Awaitable[T]) -> T:
    """A coroutine that waits for any awaitable."""
    return await value


def at_once(reaction: Callable[..., None]) -> Callable[..., None]:
    """The default Turn, for roles without an actor: the reaction runs where it is called."""
    return reaction


def begin(callback: Any, spawn: Spawn | None) -> Later[Any]:
    """Run what a callback returned to be awaited, by `spawn`. Raises TypeError without one."""
    is_coroutine = inspect.iscoroutine(callback)
    if spawn is None:
        if is_coroutine:
            callback.close()
        raise TypeError("a coroutine callback needs the `spawn` option")
    return spawn(callback if is_coroutine else awaited(callback))
