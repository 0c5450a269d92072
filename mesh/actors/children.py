"""What a supervisor asks and tells its children: each question has its limit, and a dead child is no error."""

from __future__ import annotations

import asyncio
from typing import Any

import pykka

from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.actors.runtime.request import Request
from peers.later import Later

ANSWER_SECONDS = 2.0
"""How long a child may take to answer; a busy one is then shown without."""


def start_asking(ref: LoopActorRef[Any], method: str) -> Later[Any]:
    """Ask, and do not wait yet: see `answer`."""
    return ref.ask(Request(method), block=False)


async def answer(asked: Later[Any], seconds: float = ANSWER_SECONDS) -> Any:
    """What was answered, or None if the child is dead or takes longer."""
    try:
        async with asyncio.timeout(seconds):
            return await asked
    except (TimeoutError, pykka.ActorDeadError):
        return None


async def ask(ref: LoopActorRef[Any] | None, method: str) -> Any:
    """The answer of a child, or None if there is none, it is dead or takes too long."""
    return None if ref is None else await answer(start_asking(ref, method))


async def close_child(ref: LoopActorRef[Any] | None, *, seconds: float = ANSWER_SECONDS) -> None:
    """Ask a child to close, for so long, and stop it. Harmless when there is none."""
    if ref is None or not ref.is_alive():
        return
    await answer(start_asking(ref, "close"), seconds)
    await ref.stop(block=False)


def tell(ref: LoopActorRef[Any] | None, method: str, *arguments: Any) -> None:
    """Tell a child, if there is one and it lives."""
    if ref is not None and ref.is_alive():
        ref.tell(Request(method, arguments))
