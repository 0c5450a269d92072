"""ServerSync: the role of whoever was dialled by a Logux client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from peers.codec.codec import Dialect
from peers.codec.logux_01 import Protocol1
from peers.codec.logux_5 import TimedDialect
from peers.codec.messages import Connect, Message, Refusal, Version
from peers.codec.versions import dialect_of
from peers.events.entry import Entry
from peers.log.log import SyncLog
from peers.roles.base import BaseSync
from peers.transport.port import Connection

SERVER_TIMEOUT_MS = 20_000
SERVER_PING_MS = 10_000
UNDO = "logux/undo"
ANSWERS_A_MESSAGE = 500
ANSWERS_BYTES = 4 * 1024 * 1024
"""Of what is told about the refused events of one message; the rest are counted in a sentence."""
MAX_DEBUGS = 100
"""Sentences about the refused events of one message."""


class ServerSync(BaseSync):
    """Waits for `connect`, answers it in the client's dialect, and is destroyed with the connection.

    Where to go on is what the client says, so `synced` and `other_synced` are no options here, and neither is `fix_time`
    (ValueError). A client is not sent what it wrote itself, unless it starts from nothing.

    Of an event that is not taken a client of protocol 5 or 7 is told once its message is confirmed: by `logux/undo`, if its
    id can be read, and by a `debug` for its developer. Protocol 0.1 has no message for that.
    """

    def __init__(
        self,
        node_id: str,
        log: SyncLog,
        connection: Connection,
        *,
        timeout: int | None = SERVER_TIMEOUT_MS,
        ping: int | None = SERVER_PING_MS,
        **options: Any,
    ) -> None:
        if options.get("fix_time"):
            raise ValueError("a server does not fix time: set fix_time at the client")
        for name in ("synced", "other_synced", "protocol"):
            if options.get(name):
                raise ValueError(f"{name} is what the client says: it is no option of a server")
        self._is_chosen = False
        self._untold: list[Refusal] = []
        """Refused events that the client was not told of."""
        self._answered = 0
        super().__init__(node_id, log, connection, timeout=timeout, ping=ping, **options)
        self.state = "connecting"

    def make_dialect(self) -> Dialect:
        """Until the client has greeted, what everybody understands."""
        self._is_chosen = False
        return Protocol1(self.node_id)

    def on_connect(self) -> None:
        self._untold = []
        super().on_connect()
        self.start_timeout()

    def on_disconnect(self, reason: str) -> None:
        try:
            super().on_disconnect(reason)
        finally:  # a listener may fail
            self.destroy(reason)

    def decode(self, frame: bytes) -> Message:
        message = super().decode(frame)
        if self._is_chosen or not isinstance(message, Connect):
            return message
        self._is_chosen = True
        self.dialect = dialect_of(message.protocol, self.node_id)
        return super().decode(frame)

    def connected_message(self, protocol: Version, node_id: str, times: Any, options: Any) -> None:
        # Unlike Logux 0.1, an answer that nobody asked for lets nobody in.
        raise self.error("wrong-format", "`connected` from the end that dialled")

    def send_sync(self, added: int, entries: tuple[Entry, ...], *, confirms: int | None = None) -> None:
        # What begins before the stated mark does not say a smaller one: that would mean that our log was lost.
        super().send_sync(max(added, self.stated or 0), entries, confirms=added if confirms is None else confirms)

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        self._untold += refusals
        super().refuse(refusals)

    def send_synced(self, added: int) -> None:
        super().send_synced(added)
        untold, self._untold = self._untold, []
        if untold and isinstance(self.dialect, TimedDialect):
            self._send_refused(untold, self.dialect)

    def _send_refused(self, refusals: Sequence[Refusal], dialect: TimedDialect) -> None:
        answers: list[msgspec.Raw] = []
        size = 0
        for refusal in refusals:
            if refusal.created is not None and size < ANSWERS_BYTES:
                action = {"type": msgspec.Raw(refusal.type)} if refusal.type else {}
                answers.append(written(UNDO, dialect.log_id(refusal.created), reason=refusal.cause, action=action))
                size += len(bytes(answers[-1]))
        self.send_answers(answers)
        for refusal in refusals[:MAX_DEBUGS]:
            self.send_debug("error", f"not taken: {refusal.why}")
        if len(refusals) > MAX_DEBUGS:
            self.send_debug("error", f"not taken: {len(refusals) - MAX_DEBUGS} more events of the same message")

    def send_answers(self, answers: Sequence[msgspec.Raw]) -> None:
        """Send events that are for this client alone, and in no log. For protocols 5 and 7."""
        assert isinstance(self.dialect, TimedDialect)
        ms = self.clock.now_ms()
        for start in range(0, len(answers), ANSWERS_A_MESSAGE):
            items: list[Any] = []
            for answer in answers[start : start + ANSWERS_A_MESSAGE]:
                self._answered += 1
                # Not under our own name: one of these ids may be that of an event.
                made = (ms, f"{self.node_id}:door", self._answered)
                # Without reasons, so that the client keeps none; 0: it is no event of our log.
                items += (answer, {"id": self.dialect.write_id(made), "time": ms - self.dialect.sending_base})
            self.send_own("sync", 0, *items)

    def sent_up_to(self) -> int:
        return max(super().sent_up_to(), self.stated or 0)

    def is_due(self, entry: Entry) -> bool:
        is_own = bool(self.stated) and entry.created[1] == self.other_node_id
        return super().is_due(entry) and not is_own


def written(type: str, logux_id: str, **more: Any) -> msgspec.Raw:
    """An event about the one that a client calls `logux_id`."""
    return msgspec.Raw(msgspec.json.encode({"type": type, "id": logux_id, **more}))
