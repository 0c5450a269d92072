"""ServerSync: the role of a Logux server, for one connection of a client."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from peers.codec.codec import Dialect
from peers.codec.logux_01 import Protocol1
from peers.codec.logux_5 import TimedDialect
from peers.codec.messages import Connect, Custom, Message, Refusal, Sync, Version
from peers.codec.versions import dialect_of
from peers.events.entry import Entry
from peers.log.port import SyncLog
from peers.roles.base import BaseSync
from peers.stores.undo import UNDO
from peers.transport.port import Connection

SERVER_TIMEOUT_MS = 20_000
SERVER_PING_MS = 10_000
ANSWERS_A_MESSAGE = 500
"""Answers that are sent in one `sync`."""
ANSWERS_BYTES = 4 * 1024 * 1024
"""Bytes after which a further `sync` begins; also the limit of the `logux/undo` answers to one message: further refused events
get none."""
MAX_UNCONFIRMED = 10_000
"""Messages of answers that are counted until the client has confirmed them; of more, the newest ones."""
EVENT_CPU_MS = 0.02
"""Processor time in ms that an event may take when it comes. What its message takes beyond that, and its confirmation, count as
that of messages without events: one with a single event takes ten times as much."""
WITH_COMMIT = 2
"""How many times that is counted: its commit, and to tell others of it, take as much again."""
MAX_DEBUGS = 100
"""`debug` sentences about the refused events of one message; further events are counted in one more sentence."""


class ServerSync(BaseSync):
    """Waits for `connect`, answers in the client's protocol, and is destroyed when the connection closes.

        server = ServerSync("server", log, connection, clock=clock, random=random, auth=lambda token, node_id: token == "x")

    Parameters: those of BaseSync, with `timeout` and `ping` in ms, SERVER_TIMEOUT_MS and SERVER_PING_MS if left out. The
    client's `connect` says which protocol it speaks and where to resume, so `protocol`, `synced` and `other_synced` are a
    ValueError here; so is `fix_time`, which is an option of clients.

    A client is not sent the events that it wrote itself, unless its `connect` states the mark 0.

    When an event is refused, a client of protocol 5 or 7 gets a `logux/undo`, if the event's id can be read, and a `debug`
    message for its developer, both after the confirmation of the message. Protocol 0.1 has no message for that.
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
        self._began_ms = 0.0
        """The processor time before the last message."""
        self._untold: list[Refusal] = []
        """Refused events that the client was not told of yet."""
        self._answered = 0
        self._unconfirmed_answers: deque[int] = deque(maxlen=MAX_UNCONFIRMED)
        """The bytes of each message of answers that the client has not confirmed."""
        super().__init__(node_id, log, connection, timeout=timeout, ping=ping, **options)
        self.state = "connecting"

    def make_dialect(self) -> Dialect:
        """Protocol 0.1 until the client has greeted: every client understands its error messages."""
        self._is_chosen = False
        return Protocol1(self.node_id)

    def on_connect(self) -> None:
        self._untold = []
        self._unconfirmed_answers.clear()
        super().on_connect()
        self.start_timeout()

    def on_disconnect(self, reason: str) -> None:
        try:
            super().on_disconnect(reason)
        finally:  # a listener may fail
            self.destroy(reason)

    def decode(self, frame: bytes) -> Message:
        self._began_ms = self.reading.cpu_ms()
        message = super().decode(frame)
        if self._is_chosen or not isinstance(message, Connect):
            return message
        self._is_chosen = True
        self.dialect = dialect_of(message.protocol, self.node_id)
        return super().decode(frame)

    def connected_message(self, protocol: Version, node_id: str, times: Any, options: Any) -> None:
        # Unlike Logux 0.1, an answer to a greeting that was not sent authenticates no one.
        raise self.error("wrong-format", "`connected` from the end that dialled")

    def send_sync(self, added: int, entries: tuple[Entry, ...], *, confirms: int | None = None) -> None:
        # Not below the stated mark, even if the walk began before it: a smaller one would say that our log was lost.
        super().send_sync(max(added, self.stated or 0), entries, confirms=added if confirms is None else confirms)

    def take(self, added: int, entries: Sequence[Entry]) -> None:
        self.reading.spend_events(self.reading.who, len(entries), sum([entry.size for entry in entries]))
        super().take(added, entries)

    def dispatch(self, message: Message) -> None:
        super().dispatch(message)
        if isinstance(message, Sync) and not self.cost(message) and self.connected:
            self._spend_since(self._began_ms + EVENT_CPU_MS * len(message.entries))

    def _spend_since(self, began_ms: float) -> None:
        cpu_ms = self.reading.cpu_ms() - began_ms
        if cpu_ms > 0:
            self.reading.spend(0, 0, WITH_COMMIT * cpu_ms)

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        self._untold += refusals
        super().refuse(refusals)

    def send_synced(self, added: int) -> None:
        began_ms = self.reading.cpu_ms()
        super().send_synced(added)
        untold, self._untold = self._untold, []
        if untold and isinstance(self.dialect, TimedDialect):
            self._send_refused(untold, self.dialect)
        self._spend_since(began_ms)

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
        """Send events that are for this client alone, and in no log. Only for protocols 5 and 7."""
        assert isinstance(self.dialect, TimedDialect)
        ms = self.clock.now_ms()
        items: list[Any] = []
        size = 0
        for number, answer in enumerate(answers, 1):
            self._answered += 1
            # Not our own node id: an event of ours may have that id.
            made = (ms, f"{self.node_id}:door", self._answered)
            # Without reasons, so that the client does not keep it; the number 0: it is no event of our log.
            items += (answer, {"id": self.dialect.write_id(made), "time": ms - self.dialect.sending_base})
            size += len(bytes(answer))
            if number == len(answers) or len(items) >= 2 * ANSWERS_A_MESSAGE or size >= ANSWERS_BYTES:
                self._unconfirmed_answers.append(size)
                self.send(Custom("sync", (0, *items)))
                items, size = [], 0

    @property
    def unconfirmed_bytes(self) -> int:
        """Bytes of answers that the client has not confirmed."""
        return sum(self._unconfirmed_answers)

    def synced_message(self, added: int) -> None:
        if not added and self._unconfirmed_answers:
            self._unconfirmed_answers.popleft()
        super().synced_message(added)

    def sent_up_to(self) -> int:
        return max(super().sent_up_to(), self.stated or 0)

    def is_due(self, entry: Entry) -> bool:
        is_own = bool(self.stated) and entry.created[1] == self.other_node_id
        return super().is_due(entry) and not is_own


def written(type: str, logux_id: str, **more: Any) -> msgspec.Raw:
    """A `logux/...` event about the event with the id `logux_id`, as JSON."""
    return msgspec.Raw(msgspec.json.encode({"type": type, "id": logux_id, **more}))
