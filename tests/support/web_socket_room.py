"""Room: a network of connections over real sockets, with a record of what each connection emits."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from peers.protocol.ports import Welcoming
from peers.transport.channel import WiredConnection
from peers.transport.network import WiredNetwork
from peers.transport.port import Connection, Listening
from peers.transport.web_socket import WebSocketNetwork

SECONDS = 10.0


def open_files() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


class Record:
    """What one connection emitted, as a list of tuples."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.events: list[tuple[Any, ...]] = []
        for name in ("connecting", "connect", "message", "error", "disconnect"):
            connection.on(name, self._writer(name))

    def _writer(self, name: str) -> Callable[..., None]:
        return lambda *args: self.events.append((name, *args))

    def all(self, name: str) -> list[Any]:
        return [event[1] if len(event) > 1 else None for event in self.events if event[0] == name]

    @property
    def frames(self) -> list[bytes]:
        return self.all("message")

    @property
    def reasons(self) -> list[str]:
        return self.all("disconnect")


class Room:
    """A loop in debug mode with networks and records. `leave` checks that no task and no error is left."""

    def __init__(self, kind: Callable[[asyncio.AbstractEventLoop], WiredNetwork] | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_debug(True)
        self.loop.slow_callback_duration = SECONDS
        self.failures: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self.network = kind(self.loop) if kind else WebSocketNetwork(self.loop, connect_seconds=2.0)
        self._networks = [self.network]
        self.accepted: list[Record] = []

    def also(self, **options: Any) -> WebSocketNetwork:
        """One more network, which is closed with the room."""
        network = WebSocketNetwork(self.loop, **options)
        self._networks.append(network)
        return network

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, SECONDS))

    def pass_time(self, seconds: float) -> None:
        """Let the clock of the loop jump ahead: timers of that time are due now. The loop goes on with the next call."""
        now = self.loop.time
        self.loop.time = lambda: now() + seconds  # type: ignore[method-assign]

    def until(self, condition: Callable[[], object]) -> None:
        async def poll() -> None:
            while not condition():
                await asyncio.sleep(0.001)

        self.run(poll())

    def listen(
        self, host: str = "127.0.0.1", port: int = 0, network: WiredNetwork | None = None, *, is_welcome: bool = True
    ) -> Listening:
        """Accept connections; with `is_welcome` each is known at once."""

        def on_connection(connection: Connection) -> None:
            if is_welcome and isinstance(connection, Welcoming):
                connection.welcome()
            self.accepted.append(Record(connection))

        async def work() -> Listening:
            return await (network or self.network).listen(host, port, on_connection)

        listening: Listening = self.run(work())
        return listening

    def dial(self, port: int, network: WiredNetwork | None = None, host: str = "127.0.0.1") -> Record:
        return self.dial_to(f"{host}:{port}", network)

    def dial_to(self, address: str, network: WiredNetwork | None = None) -> Record:
        record = Record((network or self.network).dial(address))
        record.connection.connect()
        return record

    def meet(self, **networks: WiredNetwork) -> tuple[Record, Record]:
        """A dialled and an accepted connection, open, with cleared records."""
        left = self.dial(self.listen(network=networks.get("right")).port, networks.get("left"))
        self.until(lambda: left.connection.connected and self.accepted)
        left.events.clear()
        return left, self.accepted[-1]

    def answer(
        self, reaction: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
    ) -> int:
        """The port of a plain TCP server that does something else than WebSocket."""
        self.plain = self.run(asyncio.start_server(reaction, "127.0.0.1", 0))
        port: int = self.plain.sockets[0].getsockname()[1]
        return port

    def talk(self, port: int, data: bytes) -> bytes:
        """What a plain TCP client gets back for `data`, up to the end."""

        async def work() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

        answer: bytes = self.run(work())
        return answer

    def leave(self) -> None:
        async def work() -> None:
            if hasattr(self, "plain"):
                self.plain.close()
            for network in self._networks:
                await network.close()

        self.run(work())
        assert [task for task in asyncio.all_tasks(self.loop) if not task.done()] == []
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()
        gc.collect()
        assert self.failures == []


def channel_of(connection: Connection) -> Any:
    assert isinstance(connection, WiredConnection) and connection.channel is not None
    return connection.channel


def raw_wire(connection: Connection) -> Any:
    """The library's connection below ours, to break it."""
    return channel_of(connection).wire


def settled(room: Room, measure: Callable[[], int]) -> int:
    """The measure once it has not moved for 0.2 s."""

    async def work() -> int:
        last, since = measure(), room.loop.time()
        while room.loop.time() - since < 0.2:
            await asyncio.sleep(0.01)
            if measure() != last:
                last, since = measure(), room.loop.time()
        return last

    value: int = room.run(work())
    return value


async def as_coroutine(later: Any) -> Any:
    return await later
