"""LocalPair: two ends of one connection in one process, for tests and for logs in one program."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from peers.clock import Undo
from peers.emitter import Emitter


class LocalPair:
    """Two Connections, `left` that dials and `right` that accepts; frames arrive at once and in order.

    `connect` is emitted at the other end first, `disconnect` at the own end first. Unlike other connections, these call
    listeners inside `connect`, `send` and `disconnect`: a call returns when all answers, and the answers to them, have
    arrived. A call inside a listener takes effect after that listener.

        pair = LocalPair()
        pair.right.on("message", print)
        pair.left.connect()
        pair.left.send(b'["ping",0]')
    """

    def __init__(self) -> None:
        self._queue: deque[Callable[[], None]] = deque()
        self._is_running = False
        self.left = LocalConnection(self, dialled=True)
        self.right = LocalConnection(self, dialled=False)
        self.left.other, self.right.other = self.right, self.left

    def soon(self, work: Callable[[], None]) -> None:
        """Run `work` now, or after the work that runs now."""
        self._queue.append(work)
        if self._is_running:
            return
        first_error: Exception | None = None
        self._is_running = True
        try:
            while self._queue:
                try:
                    self._queue.popleft()()
                except Exception as error:  # noqa: BLE001 - the rest of the work is done first; it is raised below
                    first_error = first_error or error
        finally:
            self._is_running = False
        if first_error is not None:
            raise first_error


class LocalConnection:
    """One end of a LocalPair, see Connection; `other` is the other end."""

    other: LocalConnection
    local_host = ""
    proven_key = None

    def __init__(self, pair: LocalPair, *, dialled: bool) -> None:
        self.connected = False
        self.dialled = dialled
        self.address = "local:left" if not dialled else "local:right"
        self._pair = pair
        self.emitter = Emitter()
        self._is_opening = False
        self._is_paused = False
        self._held: deque[bytes] = deque()

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        return self.emitter.on(event, listener)

    def connect(self) -> None:
        if not self.dialled:
            raise RuntimeError("this end was accepted: only the end that dialled can open the connection")
        if self.connected:
            raise RuntimeError("the connection is already established")
        self._is_opening = True
        self._pair.soon(self._open)

    def disconnect(self, reason: str = "") -> None:
        # Unlike Logux 0.1, which raises "already finished", it is harmless when it is closed: as with every connection.
        if self._is_opening:
            self._is_opening = False
            self._pair.soon(lambda: self.emitter.emit("disconnect", reason))
        elif self.connected:
            self._pair.soon(lambda: self._close(reason))

    def send(self, frame: bytes) -> None:
        if not self.connected:
            raise RuntimeError("the connection must be started before sending")
        self._pair.soon(lambda: self.other.take(frame))

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        self._pair.soon(self._read)

    def take(self, frame: bytes) -> None:
        """A frame from the other end."""
        self._held.append(frame)
        self._read()

    def _read(self) -> None:
        while self._held and self.connected and not self._is_paused:
            frame = self._held.popleft()
            self.emitter.emit("activity")
            self.emitter.emit("message", frame)

    def _open(self) -> None:
        if self.connected or not self._is_opening:
            return
        self._is_opening = False
        for end in (self, self.other):
            end._held.clear()
            end._is_paused = False
        self.emitter.emit("connecting")  # Unlike Logux 0.1: only a socket said so there
        self.connected = self.other.connected = True
        self.other.emitter.emit("connect")
        self.emitter.emit("connect")

    def _close(self, reason: str) -> None:
        if not self.connected:
            return
        self.connected = self.other.connected = False
        self.emitter.emit("disconnect", reason)
        self.other.emitter.emit("disconnect", reason)
