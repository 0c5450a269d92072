"""How a role's reactions and a user's callbacks are run: ports, and the plainest way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from peers.later import Later

T = TypeVar("T")
Turn = Callable[[Callable[..., None]], Callable[..., None]]
"""Wraps a reaction, so that it runs in the role's turn."""


class Spawn(Protocol):
    """Runs a user's coroutine callback."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> Later[T]: ...


async def awaited(value: Awaitable[T]) -> T:
    """A coroutine of whatever can be awaited."""
    return await value


def at_once(reaction: Callable[..., None]) -> Callable[..., None]:
    """The plainest Turn: a role without an actor reacts where it is called."""
    return reaction
