"""ClientSync: the role of whoever dials a Logux server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peers.codec.logux_5 import Protocol5
from peers.codec.messages import Message, Options, Refusal, Sync, Version
from peers.codec.versions import dialect_of
from peers.events.entry import Entry
from peers.log.log import SyncLog
from peers.protocol.session import QUEUED_BEFORE_PAUSE
from peers.roles.base import BaseSync
from peers.transport.port import Connection

CLIENT_TIMEOUT_MS = 20_000
CLIENT_PING_MS = 5_000
PROBES: tuple[Version, ...] = ([0, 1], 7)
"""In this order an unknown server is tried: the first does no harm anywhere, the second finds out the rest."""


class ClientSync(BaseSync):
    """Says `connect` once the connection is open, and goes on where it stopped when it opens again.

    `protocol` is (0, 1), 5 or 7; None finds out what the server speaks, which may take a second connection: the role then
    opens the connection again by itself. Where to go on belongs to the server that was met: with another one, or with one
    whose numbers have fallen because it lost its log, everything is exchanged anew. With `resends=False` that does not hold
    for what we sent: for servers that carry events out and do not keep them.
    """

    follows_times = True

    # Unlike Logux 0.1, `fix_time` is off unless asked for: there it changes who an event is.
    def __init__(
        self,
        node_id: str,
        log: SyncLog,
        connection: Connection,
        *,
        protocol: int | Sequence[int] | None = None,
        timeout: int | None = CLIENT_TIMEOUT_MS,
        ping: int | None = CLIENT_PING_MS,
        resends: bool = True,
        **options: Any,
    ) -> None:
        self.resends = resends
        self._probes = list(PROBES) if protocol is None else []
        """What may still be tried; empty once it is known what the server speaks."""
        self._was_found_out = False
        self._redials = False
        self._stated_other = 0
        self.cursors_of: str | None = None
        """Whose numbers `synced` and `other_synced` are; None: not known, as they were given."""
        known = PROBES[0] if protocol is None else protocol
        super().__init__(node_id, log, connection, protocol=known, timeout=timeout, ping=ping, **options)

    def on_connect(self) -> None:
        super().on_connect()
        self.other_node_id = None  # it may be another one by now
        self._stated_other = self.other_synced
        self.send_connect()
        if self.lag > 0 and self.connected:
            self.set_state("sending")

    def connect_message(self, protocol: Version, node_id: str, synced: int, options: Options) -> None:
        # Unlike Logux 0.1, where both roles answer it.
        raise self.error("wrong-format", "`connect` from the end that was dialled")

    def connected_message(self, protocol: Version, node_id: str, times: tuple[int, int], options: Options) -> None:
        if self._probes and isinstance(protocol, int) and isinstance(self.protocol, int):
            # An older server answers a newer greeting with its own version.
            self._protocol = max(protocol, Protocol5.protocol)
            self.dialect = dialect_of(self._protocol, self.node_id)
            self.dialect.on_times(times, is_ours=False)
        super().connected_message(protocol, node_id, times, options)

    def keeps_early(self, name: str) -> bool:
        # Unlike Logux 0.1, whose servers send what is new to a client that they have not let in yet, and whose clients
        # complain of it.
        return super().keeps_early(name) or name == "sync"

    def queue(self, message: Message) -> None:
        # What is let go comes again, after the answer to our greeting: to pause would keep that out, and before it nobody
        # knows how to fix a time that is part of who an event is.
        is_too_much = self.fix_time or len(self._queued) >= QUEUED_BEFORE_PAUSE - 1
        if not (isinstance(message, Sync) and self.dialect.knows_base and not self._judging and is_too_much):
            super().queue(message)

    def error_message(self, type: str, options: Any) -> None:
        if type == "wrong-format" and len(self._probes) > 1 and not self.authenticated:
            del self._probes[0]  # it does not speak this
            self._protocol = self._probes[0]
            self._redial()
        elif type == "wrong-format" and self._was_found_out and not self.authenticated:
            self._was_found_out = False  # it spoke this the last time: the server was replaced by another release
            self._probes = list(PROBES)
            self._protocol = self._probes[0]
            self._redial()
        else:
            super().error_message(type, options)

    def on_disconnect(self, reason: str) -> None:
        try:
            super().on_disconnect(reason)
        finally:  # a listener may fail
            if self._redials:
                self._redials = False
                self.connection.connect()

    def on_authenticated(self) -> None:
        self._was_found_out = self._was_found_out or bool(self._probes)
        self._probes = []
        before, self.cursors_of = self.cursors_of, self.other_node_id
        if before not in (None, self.other_node_id):
            self._start_anew()
        if self.authenticated:
            super().on_authenticated()

    def on_other_sent(self, added: int) -> None:
        self._check_numbers(added)
        if self.authenticated:
            super().on_other_sent(added)

    def sync_message(self, added: int, entries: tuple[Entry, ...], refusals: tuple[Refusal, ...]) -> None:
        if added:  # events that a Logux server does not keep come with 0
            self._check_numbers(added)
        if self.authenticated:
            super().sync_message(added, entries, refusals)

    def is_due(self, entry: Entry) -> bool:
        is_theirs = bool(self.synced) and entry.created[1] == self.other_node_id
        return super().is_due(entry) and not is_theirs

    def _check_numbers(self, added: int) -> None:
        if added < self._stated_other:
            self._start_anew()

    def _start_anew(self) -> None:
        """The numbers that we have are not of this log: what was missed has to be asked for with another greeting.

        Unlike Logux 0.1, where they are kept and the gap is never filled.
        """
        self.other_synced = 0
        if self.resends:
            self.synced = 0
        if self._stated_other or self.walked:
            self._redial()

    def _redial(self) -> None:
        self._redials = True
        self.hang_up("error")
