"""Our roles over real sockets, on a loop in a thread of its own, so that a test may speak to both ends in turn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, NamedTuple

from js_peer import JsEntry, JsPeer

from mesh.actors.runtime.loop_thread import Spawner
from mesh.actors.thread_disk import ThreadDisk
from peers.clock import LoopClock
from peers.codec.logux_7 import Protocol7
from peers.errors import SyncError
from peers.events.created import Created
from peers.events.entry import Entry
from peers.later import Later
from peers.limits import Limits
from peers.log.run_log import RunLog
from peers.roles.base import BaseSync
from peers.roles.client import ClientSync
from peers.roles.server import ServerSync
from peers.stores.disk import Disk, InlineDisk
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.transport.port import Connection
from peers.transport.reconnect import Reconnect
from peers.transport.web_socket import MAX_CLIENT_FRAME, WebSocketNetwork

KINDS = ("logux01", "core10", "core12")
PROTOCOLS: dict[str, Any] = {"logux01": (0, 1), "core10": 5, "core12": 7}
CALL_SECONDS = 40.0
WAIT_SECONDS = 30.0
POLL_SECONDS = 0.005
FRAMES_LIMIT = 200_000
ADD_BATCH = 10_000
LOOSE = Limits(
    connects_per_second=1_000, connects_of_address_per_second=1_000, stranger_frame_bytes=2**20, stranger_bytes=2**20
)


class Row(NamedTuple):
    """One event as both ends show it: `created` as a JS peer of that kind does."""

    created: Any
    time: float
    event: dict[str, Any]


class OurEnd:
    """One log of ours, the doors in front of it and the servers that it dials.

    Leaving it closes everything, and fails if an exception went astray meanwhile or a task is left.
    """

    def __init__(self, node_id: str = "ours", *, path: Path | None = None, clock_shift: int = 0) -> None:
        """`path`: on disk instead of in memory. `clock_shift`: ms that our wall clock is ahead."""
        self.node_id = node_id
        self.roles: list[BaseSync] = []
        self.errors: list[SyncError] = []
        self.told: list[SyncError] = []
        """The errors that we told the other ends."""
        self.refused: list[str] = []
        self.states: list[str] = []
        self.raw_frames: deque[tuple[str, bytes]] = deque(maxlen=FRAMES_LIMIT)
        self.faults: list[str] = []
        self.on_synced: Callable[[], object] = lambda: None
        self.on_greeting: Callable[[Any], object] = lambda role: None
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._on_fault)
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"loop of {node_id}", daemon=True)
        self._thread.start()
        self._logging = _Faults(self.faults)
        logging.getLogger("peers").addHandler(self._logging)
        self.clock = _ShiftedClock(self._loop, clock_shift)
        self.random = Random(7)
        self.spawn = Spawner(self._loop)
        self.network = self.call(
            lambda: WebSocketNetwork(
                self._loop, max_frame=MAX_CLIENT_FRAME, binary="ignore", connect_seconds=2.0, limits=LOOSE
            )
        )
        disk = self._disk(path)
        self.log: RunLog = self.call(lambda: RunLog.open(disk, node_id, clock=self.clock, random=self.random))

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Do it on the loop, and wait for the result, which may be a Later."""

        async def work() -> Any:
            value = function(*args)
            return await value if isinstance(value, Later) else value

        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(CALL_SECONDS)

    # Both ways to meet a peer.

    def listen(self, port: int = 0, **options: Any) -> str:
        """Open a door with a ServerSync for each who comes; answers its URL."""

        def accept(connection: Connection) -> None:
            self._watch(connection, lambda: ServerSync(self.node_id, self.log, connection, **self._given(options)))

        listening = self.call(lambda: self.network.listen("127.0.0.1", port, accept))
        return f"ws://127.0.0.1:{listening.port}"

    def dial(self, url: str, *, reconnect: bool = True, **options: Any) -> Any:
        """Dial with a ClientSync, and again after each loss unless `reconnect` is false."""

        def start() -> BaseSync:
            connection: Any = self.network.dial(url)
            if reconnect:
                connection = Reconnect(connection, clock=self.clock, random=self.random, min_delay=30, max_delay=200)
            client = self._watch(
                connection, lambda: ClientSync(self.node_id, self.log, connection, **self._given(options))
            )
            connection.connect()
            return client

        return self.call(start)

    @property
    def role(self) -> Any:
        """The newest one."""
        return self.roles[-1]

    # The log.

    @property
    def length(self) -> int:
        return self.log.last_added

    def add(self, event: dict[str, Any], meta: dict[str, Any] | None = None) -> Any:
        """Add one event; answers its meta."""
        return self.call(self.log.add, event, meta)

    def add_many(self, count: int, prefix: str = "o") -> None:
        """Add `{"type": prefix, "n": 1}` to `n = count`: many in one ms."""
        for start in range(0, count, ADD_BATCH):
            items = [({"type": prefix, "n": n + 1}, None) for n in range(start, min(count, start + ADD_BATCH))]
            self.call(self.log.add_batch, items)

    def entries(self) -> Sequence[Entry]:
        """The log in the order of every node."""
        found: Sequence[Entry] = self.call(lambda: self.log.each(limit=1_000_000))
        return found

    def rows(self, kind: str) -> list[Row]:
        return [Row(shown_as(kind, entry.created), entry.time, entry.event) for entry in self.entries()]

    def types(self) -> list[str]:
        return [entry.event["type"] for entry in self.entries()]

    # What was said.

    @property
    def frames(self) -> list[tuple[str, Any]]:
        """("in" or "out", message), of all links together."""
        return [(direction, json.loads(frame)) for direction, frame in list(self.raw_frames)]

    def sent(self, name: str) -> list[Any]:
        """Messages of that name that we sent."""
        return [message for direction, message in self.frames if direction == "out" and message[0] == name]

    def heard(self, name: str) -> list[Any]:
        """Messages of that name that came."""
        return [message for direction, message in self.frames if direction == "in" and message[0] == name]

    def until(self, holds: Callable[[], bool], what: str = "", *, timeout: float = WAIT_SECONDS) -> None:
        """Wait until it holds. Raises AssertionError, with what is there instead."""
        deadline = time.monotonic() + timeout
        while not holds():
            if time.monotonic() > deadline:
                facts = f"length {self.length}, states {self.states[-3:]}, errors {self.errors[-3:]}"
                tail = [(way, frame[:160]) for way, frame in list(self.raw_frames)[-4:]]
                raise AssertionError(f"not within {timeout} s: {what or holds}; {facts}, frames {tail}, {self.faults}")
            time.sleep(POLL_SECONDS)

    def wait_length(self, length: int, *, timeout: float = WAIT_SECONDS) -> None:
        self.until(lambda: self.length >= length, f"{length} events", timeout=timeout)

    def wait_links(self, count: int) -> None:
        """Until so many connections were made, in all."""
        self.until(lambda: len(self.roles) >= count, f"{count} connections")

    def wait_state(self, state: str, *, timeout: float = WAIT_SECONDS) -> None:
        self.until(lambda: bool(self.roles) and self.role.state == state, f"state {state}", timeout=timeout)

    # How it ends.

    def close(self) -> None:
        """Close sockets, log, loop and thread. Raises AssertionError for what went astray."""
        if self._loop.is_closed():
            return
        logging.getLogger("peers").removeHandler(self._logging)
        for role in self.roles:
            self.call(role.destroy)
        self.call(self.network.close)
        self.call(self.log.close)
        left = self.call(lambda: [task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()
        assert not left, left
        assert not self.faults, "\n".join(self.faults)

    def __enter__(self) -> OurEnd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except AssertionError:
            if error is None:
                raise

    def _disk(self, path: Path | None) -> Disk:
        if path is not None:
            return ThreadDisk(self._loop, SqliteRunStore(path))
        return InlineDisk(MemoryRunStore())

    def _given(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"clock": self.clock, "random": self.random, "spawn": self.spawn, **options}

    def _watch(self, connection: Any, make: Callable[[], BaseSync]) -> BaseSync:
        send = connection.send

        def record(frame: bytes) -> None:
            self.raw_frames.append(("out", frame))
            send(frame)

        connection.send = record
        connection.on("message", lambda frame: self.raw_frames.append(("in", frame)))
        role = make()
        self.roles.append(role)
        role.catch(self.errors.append)
        role.on("client_error", self.told.append)
        role.on("connect", lambda: self.on_greeting(role))
        role.on("synced", self.on_synced)
        role.on("refused", self.refused.append)
        role.on("state", lambda: self.states.append(role.state))
        return role

    def _on_fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")


class Judge:
    """An `auth` that always says the same, and keeps whom it judged."""

    def __init__(self, verdict: bool) -> None:
        self.shown: list[tuple[Any, str]] = []
        self._verdict = verdict

    def __call__(self, credentials: Any, node_id: str) -> bool:
        self.shown.append((credentials, node_id))
        return self._verdict

    async def later(self, credentials: Any, node_id: str) -> bool:
        return self(credentials, node_id)


class _Faults(logging.Handler):
    """Keeps what the library logs as an error: an exception that a connection caught."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        self._faults.append(self.format(record))


class _ShiftedClock(LoopClock):
    def __init__(self, loop: asyncio.AbstractEventLoop, shift: int) -> None:
        super().__init__(loop)
        self._shift = shift

    def now_ms(self) -> int:
        return super().now_ms() + self._shift


def shown_as(kind: str, created: Created) -> Any:
    """How a JS peer of that kind shows it."""
    return Protocol7("").write_id(created) if kind == "core12" else created


def theirs(rows: list[JsEntry]) -> list[Row]:
    """A JS peer's log, to compare with ours."""
    return [Row(row.created, row.time, row.event) for row in rows]


def same(rows: list[Row], others: list[Row]) -> bool:
    """Whether two logs hold the same events, under the same ids and times, in the same order."""
    if rows == others:
        return True
    first = next((pair for pair in zip(rows, others, strict=False) if pair[0] != pair[1]), None)
    raise AssertionError(f"{len(rows)} events here, {len(others)} there; the first that differs: {first}")


@contextlib.contextmanager
def frozen(peer: JsPeer) -> Iterator[None]:
    """Stop the process for a while; its sockets stay open."""
    peer.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        peer.process.send_signal(signal.SIGCONT)


def nested(depth: int) -> dict[str, Any]:
    """An event that is as deep as that."""
    event: dict[str, Any] = {"type": "deep"}
    inner = event
    for _ in range(depth - 1):
        inner["in"] = {}
        inner = inner["in"]
    return event


ODD_EVENTS: tuple[dict[str, Any], ...] = (
    {"type": "\u00fcnic\u00f6de \u2028\u2029 \U0001f600 \u0000 \u202e", "\u00e9": "\ufeff\uffff"},
    {"type": ""},
    {"type": "p", "__proto__": {"type": "q", "polluted": True}, "constructor": {"prototype": 1}},
    {"type": "m", "toString": None, "hasOwnProperty": 1, "then": 1, "toJSON": 2, "valueOf": 3},
    {"type": "s", "length": "long", "id": 5, "time": "x", "meta": None, "created": [1], "added": -1, "reasons": {}},
    {"type": "n", "big": 1e300, "small": -1e-300, "most": 2**53 - 1, "least": -(2**53), "zero": 0},
    {"type": "sync", "list": [[], {}, None, False, "", 0]},
    {"type": "error"},
    {"type": "logux/undo", "id": "x", "reason": "error"},
    {"type": "long", "text": "y" * 200_000},
    nested(31),
)
"""What any application may write, and no end may stumble over."""
