"""How fast messages go from actor to actor: on one loop, and each actor on a thread of its own, as Pykka has them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pykka

from mesh.actors.runtime.loop_actor import LoopActor
from mesh.actors.runtime.mailbox import Runtime

ACTORS = 2
"""Between which one message goes to and fro."""


class _Link:
    """Passes a number, one less, to the next actor; 0 is the end."""

    next: Any = None
    on_end: Callable[[], None]

    def on_receive(self, message: Any) -> None:
        if isinstance(message, int):
            if message:
                self.next.tell(message - 1)
            else:
                self.on_end()
        else:
            self.next, self.on_end = message


class _LoopLink(_Link, LoopActor):
    pass


class _ThreadLink(_Link, pykka.ThreadingActor):
    pass


async def loop_seconds(hops: int) -> float:
    """Seconds for a hop between LoopActors."""
    runtime, end = Runtime(asyncio.get_running_loop()), asyncio.Event()
    ring = [_LoopLink.start(runtime) for _ in range(ACTORS)]
    _link(ring, end.set)
    began = time.perf_counter()
    ring[0].tell(hops)
    await end.wait()
    seconds = time.perf_counter() - began
    for ref in ring:
        await ref.stop(block=False)
    return seconds / hops


def thread_seconds(hops: int) -> float:
    """Seconds for a hop between ThreadingActors."""
    end = threading.Event()
    ring = [_ThreadLink.start() for _ in range(ACTORS)]
    _link(ring, end.set)
    began = time.perf_counter()
    ring[0].tell(hops)
    end.wait()
    seconds = time.perf_counter() - began
    for ref in ring:
        ref.stop()
    return seconds / hops


def _link(ring: Sequence[pykka.ActorRef[Any]], on_end: Callable[[], None]) -> None:
    for ref, other in zip(ring, [*ring[1:], ring[0]], strict=True):
        ref.tell((other, on_end))
