"""Many sessions with one node, all in this process: each has a log in memory, and takes what the node sends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from mesh.bench import MEASURE_SECONDS
from mesh.lab.live.homes import FoundedMesh
from mesh.settings.config import DEFAULT_MESH
from mesh.settings.home import read_signer
from mesh.trust.certificates import read_certificates
from mesh.trust.tls import may_speak, tls_contexts
from peers.clock import LoopClock
from peers.events.signature import KeySigner
from peers.log.run_log import RunLog
from peers.roles.run_peer import RunPeerSync
from peers.stores.disk import InlineDisk
from peers.stores.runs.memory import MemoryRunStore
from peers.transport.http import no_pages
from peers.transport.tls.certificate import ReadCertificate
from peers.transport.web_socket import WebSocketNetwork


class _End(NamedTuple):
    """What one session is made with."""

    node_id: str
    network: WebSocketNetwork
    signer: KeySigner | None = None
    credentials: str = DEFAULT_MESH


class ManySessions:
    """Sessions of other nodes with the node at `address`. Use it in an `async with` on the running loop.

    With a `mesh` they are those of members, each with a home and a key of its own, over TLS.
    """

    def __init__(self, address: str, mesh: FoundedMesh | None = None) -> None:
        self._address = address
        self._mesh = mesh
        self._closing = AsyncExitStack()
        self._logs: list[RunLog] = []
        self.received_bytes = 0
        """Of all messages that came."""
        self._wanted = self._left = self._to_arrive = 0
        self._held: list[Callable[[], None]] = []
        """What the sessions do about the event, once it has arrived at all: they stand for as many machines."""
        self._all_have = asyncio.Event()

    async def __aenter__(self) -> ManySessions:
        self._clock = LoopClock(asyncio.get_running_loop())
        self._network = self._make_network()
        self._folder = Path(self._closing.enter_context(TemporaryDirectory()))
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._closing.aclose()

    async def open(self, count: int) -> None:
        """Open so many more, one after the other, until each was let in."""
        for _ in range(count):
            name = f"session{len(self._logs)}"
            end = _End(f"{name}~aaaaaaaa", self._network) if self._mesh is None else self._member(self._mesh, name)
            log = await RunLog.open(
                InlineDisk(MemoryRunStore()), end.node_id, clock=self._clock, random=Random(name), signer=end.signer
            )
            connection = end.network.dial(self._address)
            role = RunPeerSync(
                end.node_id,
                log,
                connection,
                clock=self._clock,
                random=Random(name),
                turn=self._turn,
                credentials=end.credentials,
            )
            connection.on("message", self._on_frame)
            self._closing.callback(role.destroy)
            let_in = asyncio.Event()
            role.on("authenticated", let_in.set)
            log.on("change", partial(self._on_change, log))
            self._logs.append(log)
            connection.connect()
            async with asyncio.timeout(MEASURE_SECONDS):
                await let_in.wait()

    def expect(self, events: int) -> None:
        """Call it before the node has so many events, one more than all have now."""
        self._wanted = events
        self._left = self._to_arrive = len(self._logs)
        self._all_have.clear()

    async def until_all_have(self) -> float:
        """Wait until each has as many events as expected. The monotonic time when the last one got it."""
        async with asyncio.timeout(MEASURE_SECONDS):
            await self._all_have.wait()
        return self._at

    def _on_change(self, log: RunLog) -> None:
        if log.last_added == self._wanted:
            self._left -= 1
            if not self._left:
                self._all_have.set()

    def _turn(self, reaction: Callable[..., None]) -> Callable[..., None]:
        def react(*args: Any) -> None:
            if self._to_arrive:
                self._held.append(partial(reaction, *args))
            else:
                reaction(*args)

        return react

    def _on_frame(self, frame: bytes) -> None:
        self.received_bytes += len(frame)
        if self._to_arrive and frame.startswith(b'["pieces"'):
            self._to_arrive -= 1
            if not self._to_arrive:
                self._at = time.monotonic()
                held, self._held = self._held, []
                for reaction in held:
                    reaction()

    def _make_network(self, **secure: Any) -> WebSocketNetwork:
        network = WebSocketNetwork(asyncio.get_running_loop(), on_request=no_pages, **secure)
        self._closing.push_async_callback(network.close)
        return network

    def _member(self, mesh: FoundedMesh, name: str) -> _End:
        home = self._folder / name
        node_id = mesh.make_home(home, name)
        signer = read_signer(home)
        chain = read_certificates(home, signer.public)
        accepting, dialling = tls_contexts(home, chain)
        network = self._make_network(tls=accepting, dial_tls=dialling, may_speak=_speak)
        return _End(node_id, network, signer, chain.mesh_key.hex())


def _speak(certificate: ReadCertificate, node_id: str) -> str:
    return may_speak(certificate.public, node_id)
