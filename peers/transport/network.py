"""WiredNetwork: the connections, doors and tasks of one kind, on one loop, and their common end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from peers.later import Later
from peers.transport.channel import GOING_AWAY, Channel, Wire, WiredConnection
from peers.transport.port import Connection, Listening

log = logging.getLogger(__name__)


class OpenListening(Protocol):
    """A Listening, and what the network does with it when it ends."""

    def close(self) -> Later[None]:
        """As Listening says."""

    async def wait_closed(self) -> None:
        """Wait until nothing of it is left."""


class WiredNetwork:
    """What every Network of wires has; a kind of wire adds `dial` and `listen`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.is_closed = False
        self.channels: dict[Channel, None] = {}
        self.doors: list[OpenListening] = []
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def dial(self, address: str, *, max_segment: int | None = None) -> WiredConnection:
        """As Network says."""
        raise NotImplementedError

    def listen(self, host: str, port: int, on_connection: Callable[[Connection], None]) -> Later[Listening]:
        """As Network says."""
        raise NotImplementedError

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` as a task, which `close` waits for."""
        task = self.loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def accept(self, connection: WiredConnection, wire: Wire, on_connection: Callable[[Connection], None]) -> None:
        """Open `connection` over a wire that the other end dialled, and hand it over."""
        connection.adopt(wire)
        try:
            on_connection(connection)
        except Exception:  # one caller must not close the door for the others
            log.exception("connection %s: nobody could take it", connection.address)
            connection.disconnect("internal error")

    def close(self) -> Later[None]:
        """Close every door and connection; resolved when no socket and no task of this network is left."""
        later: Later[None] = Later()
        self.is_closed = True
        self._shut_doors()
        for channel in tuple(self.channels):
            channel.finish("this end is closing", code=GOING_AWAY)
        tasks = tuple(self._tasks)

        async def wait() -> None:
            await asyncio.gather(*tasks, return_exceptions=True)
            self._shut_doors()  # one may have opened meanwhile
            for door in self.doors:
                await door.wait_closed()
            later.set()

        self.spawn(wait())
        return later

    def abandon(self) -> None:
        """End every task without a word to the other ends: for a forked process, to which no connection belongs."""
        self.is_closed = True
        for task in tuple(self._tasks):
            task.cancel()

    def _shut_doors(self) -> None:
        for door in self.doors:
            door.close()

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and task.exception() is not None:
            self.loop.call_exception_handler(
                {"message": "a listener failed", "exception": task.exception(), "task": task}
            )
