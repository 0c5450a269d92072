"""ClientSync: the role of a Logux client, which dials a Logux server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peers.codec.logux_5 import Protocol5
from peers.codec.messages import Message, Options, Refusal, Sync, Version
from peers.codec.versions import dialect_of
from peers.events.entry import Entry
from peers.log.port import SyncLog
from peers.protocol.session import QUEUED_BEFORE_PAUSE
from peers.roles.base import BaseSync
from peers.transport.port import Connection

CLIENT_TIMEOUT_MS = 20_000
CLIENT_PING_MS = 5_000
PROBES: tuple[Version, ...] = ([0, 1], 7)
"""Versions to try with an unknown server, in this order: every server answers the first one, and the second finds 5 and 7."""


class ClientSync(BaseSync):
    """Sends `connect` once the connection is open. When it opens again, the role resumes where the last link ended.

        connection = Reconnect(network.dial("wss://logux.example"), clock=clock, random=random)
        client = ClientSync("10:kitchen", log, connection, clock=clock, random=random, credentials="secret")
        client.catch(print)
        connection.connect()

    Parameters, besides those of BaseSync:
    - `protocol`: (0, 1), 5 or 7. None finds out what the server speaks, which may take a second connection: the role opens
      it by itself.
    - `timeout` and `ping` in ms, CLIENT_TIMEOUT_MS and CLIENT_PING_MS if left out.
    - `resends`: False for servers that carry events out and do not keep them, so that no event is sent to them twice.

    `synced` and `other_synced` are marks of one server's log. When another server answers, or its marks have fallen because
    it lost its log, both logs are exchanged from the start (with `resends=False` only theirs).

    Errors: a `connect` from the server is `wrong-format`. A version that the server does not speak is `wrong-protocol`.
    """

    follows_times = True

    # Unlike Logux 0.1, `fix_time` is off by default: in that protocol it changes the identity of events.
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
        """Versions that may still be tried; empty once the server's is known."""
        self._was_found_out = False
        self._redials = False
        self._stated_other = 0
        self.cursors_of: str | None = None
        """The server whose marks `synced` and `other_synced` are; None: unknown, they are those of the constructor."""
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
        # Unlike Logux 0.1, whose servers send new events to clients that are not authenticated yet, and whose clients answer
        # these with an error.
        return super().keeps_early(name) or name == "sync"

    def queue(self, message: Message) -> None:
        # What is dropped here arrives again after the answer to our greeting. Pausing would keep that answer out, and before
        # it a time that is part of an event's identity cannot be fixed.
        is_too_much = self.fix_time or len(self._queued) >= QUEUED_BEFORE_PAUSE - 1
        if not (isinstance(message, Sync) and self.dialect.knows_base and not self._judging and is_too_much):
            super().queue(message)

    def error_message(self, type: str, options: Any) -> None:
        if type == "wrong-format" and len(self._probes) > 1 and not self.authenticated:
            del self._probes[0]  # the server does not speak this version
            self._protocol = self._probes[0]
            self._redial()
        elif type == "wrong-format" and self._was_found_out and not self.authenticated:
            self._was_found_out = False  # it spoke this version before: it is another release now
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
        if added:  # events that a Logux server does not keep have the number 0
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
        """Our marks are not of this log: ask for all of it with another greeting.

        Unlike Logux 0.1, which keeps the marks, so that events are missing for good.
        """
        self.other_synced = 0
        if self.resends:
            self.synced = 0
        if self._stated_other or self.walked:
            self._redial()

    def _redial(self) -> None:
        self._redials = True
        self.hang_up("error")
