"""PeerSync: the symmetric role between two nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from peers.base_sync import BaseSync
from peers.connections.connection import Connection
from peers.entry import Entry
from peers.later import Later
from peers.log import SyncLog
from peers.version_vector import VersionVector
from peers.wire.messages import MAX_HELD, Hello, Options
from peers.wire.vectors import read_vector, write_vector

PING_MS = 4_000
TIMEOUT_MS = 5_000


def nothing_held(_node_id: str | None) -> Sequence[str]:
    """The answer of an end that has no other connections."""
    return ()


class PeerSync(BaseSync):
    """Either side dials; the one that accepted speaks after the other's `connect`; from then on both are equal.

    The receiver's version vector, exchanged in the greeting, is all that says where to go on: whatever it lacks is sent, in
    the order of the sender's log, and nothing that came over this link goes back over it.
    """

    def __init__(
        self,
        node_id: str,
        log: SyncLog,
        connection: Connection,
        *,
        boot: str = "",
        held: Callable[[str | None], Sequence[str]] = nothing_held,
        timeout: int | None = TIMEOUT_MS,
        ping: int | None = PING_MS,
        **options: Any,
    ) -> None:
        """`boot` is the random id of this run (made here if empty); `held` names the connections held with a node."""
        super().__init__(node_id, log, connection, timeout=timeout, ping=ping, **options)
        self.boot = boot or f"{self.random.getrandbits(64):016x}"
        self.connection_id = ""
        self._held = held

    @property
    def other_hello(self) -> Hello | None:
        """What the other end's greeting said of it; None until then."""
        return self.other_options.peer

    def on_connect(self) -> None:
        super().on_connect()
        if self.connection.dialled:
            self.connection_id = f"{self.random.getrandbits(64):016x}"
            self.emitter.emit("dialled")
            self.send_connect()
        else:
            self.start_timeout()

    def connect_message(self, protocol: int, node_id: str, _synced: int, options: Options) -> None:
        if self.connection.dialled:
            raise self.error("wrong-format", "`connect` from the end that was dialled")
        super().connect_message(protocol, node_id, _synced, options)

    def connected_message(self, protocol: int, node_id: str, times: tuple[int, int], options: Options) -> None:
        if not self.connection.dialled:
            raise self.error("wrong-format", "`connected` from the end that dialled")
        super().connected_message(protocol, node_id, times, options)

    def greeting_options(self) -> Options:
        hello = Hello(
            boot=self.boot,
            connection=self.connection_id,
            held=list(self._held(self.other_node_id))[:MAX_HELD],
            vector=write_vector(self.log.published.state.vector),
        )
        return Options(subprotocol=self.subprotocol, token=self.credentials, peer=hello)

    def _meet(self, protocol: int, node_id: str, options: Options) -> None:
        self._check_greeting(protocol, node_id)
        if options.peer is None:
            raise self.error("wrong-format", "a greeting without the option `peer`: only nodes are served here")
        try:
            self.lacking = read_vector(options.peer.vector)
        except ValueError as error:
            raise self.error("wrong-format", str(error)) from None
        if not self.connection.dialled:
            self.connection_id = options.peer.connection
        super()._meet(protocol, node_id, options)

    def on_authenticated(self) -> None:
        assert self.lacking is not None
        published = self.log.published
        if self.lacking.highest(published.epoch) > published.state.vector.highest(published.epoch):
            self.emitter.emit("rolled-back")
            self.react(self.log.renew_epoch(), self._on_renewed)
        else:
            self._find_start()

    def on_entries(self, entries: tuple[Entry, ...]) -> None:
        assert self.lacking is not None
        self.lacking = self.lacking.adds(entry.dot for entry in entries if entry.dot is not None)

    def sync_message(self, added: int, entries: tuple[Entry, ...], refusals: Any) -> None:
        if any(entry.dot is None for entry in entries):
            raise self.error("wrong-format", "an event without a dot")
        super().sync_message(added, entries, refusals)

    def _on_renewed(self, done: Later[None]) -> None:
        done.result()
        self._find_start()

    def _find_start(self) -> None:
        self.react(self.log.first_lacked(self.lacking or VersionVector()), self._on_start)

    def _on_start(self, done: Later[int]) -> None:
        self.start_walk(done.result() - 1)
