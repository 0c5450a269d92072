"""ControlServer: answers the commands of this user on a unix socket in the home of a node."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Raw

from mesh.control import messages
from mesh.control.log_reading import LogFollowing, LogReading, item_of
from mesh.control.mesh_texts import MeshTexts
from mesh.control.messages import Answer, Failure, Request
from mesh.control.unix_socket import listen_in
from mesh.errors import MeshError
from mesh.log_walks import Follower
from mesh.membership.diagnosis.links import LinkRow
from mesh.membership.status import Status
from mesh.node_log import NodeLog
from mesh.settings.paths import SOCKET_FILE
from peers.events.entry import Entry
from peers.facts.fact import Tip
from peers.later import Later
from peers.log.draft import BusyError
from peers.protocol.runs.archiving import TakenArchive
from peers.stores.store import StoreError
from peers.transport.accepting.files import limited_by_files
from peers.transport.accepting.listening_socket import ListeningSocket

MAX_COMMANDS = 64
"""Connected commands that do not follow the log."""
MAX_FOLLOWERS = 64
"""Connected commands that follow the log. They have a limit of their own, since they run for long."""
FILES_SHARE = 8
"""Each of the two limits is at most one eighth of the open files that this process may have."""
WAITING_REQUESTS = 2
"""Requests of one command that are read before the one before them is answered."""
WRITE_BUFFER_BYTES = 64 * 1024
BUSY_SECONDS = 0.05
"""Between two attempts to add events while too many wait for the disk."""
BUSY_ATTEMPTS = 200
FACTS_AT_ONCE = 500
"""Facts of one answer: at most half of a line."""
LAST_ANSWERS_SECONDS = 2.0
"""How long answers may still take when the node stops."""


class ServedNode(Protocol):
    """The part of Node that commands use; see there."""

    @property
    def home(self) -> Path: ...
    @property
    def log(self) -> NodeLog: ...
    def status(self) -> Later[Status]: ...
    def examine(self) -> Later[list[LinkRow]]: ...
    def synchronized(self, *, peers: int, timeout: float) -> Later[None]: ...
    def static_peers(self) -> Later[list[dict[str, str | None]]]: ...
    def add_peer(self, address: str) -> Later[None]: ...
    def remove_peer(self, address: str) -> Later[None]: ...
    def shown_options(self) -> dict[str, Any]: ...
    def reload(self) -> list[str]: ...
    def retry(self) -> Later[None]: ...


class ServedMesh(Protocol):
    """What commands do with the mesh of a node; see NodeMesh."""

    def texts(self) -> Later[MeshTexts]: ...
    def invite(self, ttl_seconds: int, uses: int, *, with_log: bool, recovery_code: str | None) -> tuple[str, int]: ...
    async def cut(self, key: bytes) -> Sequence[Tip]: ...
    async def state(self, texts: Sequence[bytes]) -> None: ...
    async def leave(self) -> int: ...
    async def take(self, mesh: bytes, frames: Sequence[bytes]) -> TakenArchive: ...


class ControlServer:
    """`start` it when the node runs, `close` it before the node ends. Everything runs on the loop of the node."""

    def __init__(
        self,
        node: ServedNode,
        *,
        mesh: ServedMesh,
        on_stop: Callable[[], bool],
    ) -> None:
        """`on_stop` is called for `mesh stop`; it returns whether the node will be stopped."""
        self.node = node
        self.mesh = mesh
        self.on_stop = on_stop
        self._connections: dict[_Connection, None] = {}
        self._followers: dict[_Connection, None] = {}
        self._listening: ListeningSocket | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises MeshError if the socket cannot be made."""
        try:
            self._listening = ListeningSocket(
                listen_in(self.node.home), asyncio.get_running_loop(), max_opening=lambda: MAX_COMMANDS, is_own=True
            )
        except OSError as error:
            path = self.node.home / SOCKET_FILE
            raise MeshError(
                f"cannot make the socket {path}: {error.strerror or error}; choose another --home"
            ) from None
        try:
            self._server = await asyncio.start_unix_server(
                self._on_connection, sock=self._listening, backlog=1, limit=messages.MAX_LINE_BYTES
            )
        except BaseException:  # also if the start is cancelled
            self._listening.close()
            raise

    async def close(self) -> None:
        """Take no more requests, finish those that were read, and remove the socket. May be called again."""
        server, self._server = self._server, None
        listening = self._listening
        if server is None or listening is None:
            return
        listening.stop()
        connections = tuple(self._connections)
        for connection in connections:
            connection.finish()
        await asyncio.sleep(0)  # as `stop` says
        server.close()
        with contextlib.suppress(FileNotFoundError):
            (self.node.home / SOCKET_FILE).unlink()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_SECONDS):
                for connection in connections:
                    await connection.ended.wait()
        for connection in connections:
            await connection.abort()
        await listening.end_accepted()

    def descriptors(self) -> Iterator[int]:
        """The file descriptors of all its sockets."""
        if self._server is not None:
            yield from (socket.fileno() for socket in self._server.sockets)
        yield from (connection.descriptor for connection in tuple(self._connections))

    def forget(self, connection: _Connection) -> None:
        """A connection has ended."""
        self._connections.pop(connection, None)
        self._followers.pop(connection, None)

    def on_follow(self, connection: _Connection) -> None:
        """A connection begins to follow the log. Raises MeshError beyond MAX_FOLLOWERS."""
        if connection not in self._followers and len(self._followers) >= limited_by_files(MAX_FOLLOWERS, FILES_SHARE):
            raise MeshError(f"{len(self._followers)} commands follow this log already: end some of them")
        self._followers[connection] = None

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._listening is not None
        self._listening.let_in(writer.transport)
        if self._server is None:  # this node stops: a command that gets no answer says so
            writer.close()
            return
        others = len(self._connections) - len(self._followers)
        if others >= limited_by_files(MAX_COMMANDS, FILES_SHARE):
            writer.write(messages.encode(Failure(f"{others} commands talk to this node already: end some of them")))
            writer.close()
            return
        self._connections[_Connection(self, reader, writer)] = None


class _Connection:
    """The connection of one command: a task reads requests, another one answers them in order."""

    def __init__(self, server: ControlServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ended = asyncio.Event()
        self._server = server
        self._node = server.node
        self._reader = reader
        self._writer = writer
        writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._waiting: deque[Request | Failure] = deque()
        self._wake = asyncio.Event()
        """Set when the answering task has something to do: a request, the end of a wait, the end."""
        self._room = asyncio.Event()
        self._is_gone = False
        self._follower: Follower | None = None
        """What it reads the log with, while it follows it."""
        self._reading = asyncio.get_running_loop().create_task(self._read())
        self._answering = asyncio.get_running_loop().create_task(self._serve())

    @property
    def descriptor(self) -> int:
        """The file descriptor of its socket."""
        return int(self._writer.get_extra_info("socket").fileno())

    def finish(self) -> None:
        """Read no more requests; end after those that were read."""
        self._reading.cancel()
        self._on_gone()  # a task cancelled before its first step runs no `finally`

    async def abort(self) -> None:
        """End now."""
        self._writer.transport.abort()
        for task in (self._reading, self._answering):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _read(self) -> None:
        try:
            while True:
                self._waiting.append(_decode(await self._reader.readuntil(b"\n")))
                self._wake.set()
                while len(self._waiting) >= WAITING_REQUESTS:
                    self._room.clear()
                    await self._room.wait()
        except asyncio.LimitOverrunError:
            self._waiting.append(Failure(f"a request may have {messages.MAX_LINE_BYTES} bytes at most"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the command has ended, or has closed its sending side
        finally:
            self._on_gone()

    def _on_gone(self) -> None:
        self._is_gone = True
        self._wake.set()
        if self._follower is not None:
            self._follower.close()

    async def _serve(self) -> None:
        try:
            while (request := await self._next()) is not None:
                try:
                    await self._answer(request)
                except ConnectionError:
                    break
                except Exception as error:  # noqa: BLE001 - the exception is the answer
                    await self._send(Failure(_sentence(error)))
        except ConnectionError:
            pass  # the command has ended
        finally:
            self._reading.cancel()
            self._writer.close()
            self._server.forget(self)
            self.ended.set()

    async def _next(self) -> Request | Failure | None:
        while not self._waiting:
            if self._is_gone:
                return None
            self._wake.clear()
            await self._wake.wait()
        self._room.set()
        return self._waiting.popleft()

    async def _answer(self, request: Request | Failure) -> None:
        match request:
            case messages.Add(events, keys, metas):
                await self._send(await self._add(events, keys or None, metas))
            case messages.TakeFrames(mesh, frames):
                taken = await self._server.mesh.take(mesh, frames)
                await self._send(messages.FramesTaken(taken.shown, taken.entries, taken.new, taken.left, taken.bad))
            case messages.Read():
                await (self._follow(request) if request.follow else self._page(request))
            case messages.Show():
                await self._send(messages.Shown({**await self._node.status()}))
            case messages.Examine():
                await self._send(messages.Examined([{**row} for row in await self._node.examine()]))
            case messages.Tell(created, added):
                story = await self._node.log.story(created or added)
                await self._send(messages.Told(None if story is None else {**story}))
            case messages.ShowOptions():
                await self._send(messages.OptionsShown(self._node.shown_options()))
            case messages.Reload():
                await self._send(messages.Reloaded(self._node.reload()))
            case messages.Retry():
                await self._node.retry()
                await self._send(messages.Done())
            case messages.Wait(peers, timeout_seconds):
                await self._wait(peers, timeout_seconds)
            case messages.ShowPeers():
                await self._send(messages.Peers(await self._node.static_peers()))
            case messages.ChangePeer(address, is_wanted):
                await (self._node.add_peer(address) if is_wanted else self._node.remove_peer(address))
                await self._send(messages.Done())
            case messages.ShowFacts():
                await self._show_texts(await self._server.mesh.texts())
            case messages.Invite(ttl_seconds, uses, with_log, recovery_code):
                opened = self._server.mesh.invite(ttl_seconds, uses, with_log=with_log, recovery_code=recovery_code)
                await self._send(messages.Invited(*opened))
            case messages.ShowCut(key):
                await self._send(messages.CutShown([(*tip,) for tip in await self._server.mesh.cut(key)]))
            case messages.State(facts):
                await self._server.mesh.state(facts)
                await self._send(messages.Done())
            case messages.LeaveMesh():
                told = await self._server.mesh.leave()
                self._server.on_stop()  # before the answer, which may not arrive
                await self._send(messages.Left(told))
            case messages.Stop():
                await self._stop()
            case Failure():
                await self._send(request)

    async def _add(
        self, events: list[Raw], keys: list[str] | None, metas: list[dict[str, Any] | None]
    ) -> messages.Added:
        if metas and len(metas) != len(events):
            raise ValueError(f"{len(metas)} metas for {len(events)} events: give one for each, null for none")
        # A Raw keeps the bytes of the event as they were typed.
        items: list[tuple[Any, dict[str, Any] | None]] = list(zip(events, metas or [None] * len(events), strict=True))
        for _ in range(BUSY_ATTEMPTS):
            try:
                outcomes = await self._node.log.add_batch(items, keys=keys)
            except BusyError:
                await asyncio.sleep(BUSY_SECONDS)
            else:
                return messages.Added([messages.outcome_of(outcome) for outcome in outcomes])
        raise MeshError("the disk has been too busy for more events: try again later")

    async def _page(self, request: messages.Read) -> None:
        """Send the requested events a page at a time, each after the client has read the one before."""
        reading = LogReading(request)
        while (walk := reading.next_page()) is not None:
            if self._is_gone:
                return
            await self._send_entries(reading.take(await self._node.log.page(**walk)))
        await self._send(messages.Done())

    async def _follow(self, request: messages.Read) -> None:
        """The same, and then each new event; it ends when the client has gone, or the node stops."""
        self._server.on_follow(self)
        following = LogFollowing(request, self._node.log)
        self._follower = following.follower
        while not following.is_done:
            page = () if self._is_gone else await self._follower.next_page()
            if not page:
                self._is_gone = True
                return
            await self._send_entries(following.take(page))
        await self._send(messages.Done())

    async def _show_texts(self, texts: MeshTexts) -> None:
        for at in range(0, len(texts.facts), FACTS_AT_ONCE):
            await self._send(messages.Texts(facts=texts.facts[at : at + FACTS_AT_ONCE]))
        for proof in texts.proofs:
            await self._send(messages.Texts(proofs=[proof]))
        await self._send(messages.Done())

    async def _send_entries(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        undone = await self._node.log.undone([entry.created for entry in entries])
        items: list[Raw] = []
        size = 0
        for entry in entries:
            items.append(item_of(entry, is_undone=entry.created in undone))
            size += len(items[-1])
            if size > messages.ITEMS_BYTES:
                await self._send(messages.Events(items))
                items, size = [], 0
        if items:
            await self._send(messages.Events(items))

    async def _wait(self, peers: int, timeout_seconds: float) -> None:
        waited = self._node.synchronized(peers=peers, timeout=timeout_seconds)
        waited.then(lambda _: self._wake.set())
        while not waited.is_done:
            if self._is_gone:
                waited.abandon()
                return
            self._wake.clear()
            await self._wake.wait()
        waited.result()
        await self._send(messages.Done())

    async def _stop(self) -> None:
        if not self._server.on_stop():
            raise MeshError(f"this node runs inside another program (process {os.getpid()}): stop that program")
        await self._send(messages.Done())

    async def _send(self, answer: Answer) -> None:
        self._writer.write(messages.encode(answer))
        await self._writer.drain()


def _decode(line: bytes) -> Request | Failure:
    try:
        return messages.decode_request(line)
    except ValueError as error:
        return Failure(str(error))


def _sentence(error: Exception) -> str:
    if isinstance(error, (MeshError, StoreError, TimeoutError, ValueError)):
        return str(error)
    return f"the node could not do it ({type(error).__name__}: {error}): look at `mesh status`, then try again"
