"""BaseSync: one end of a conversation about a log, on which every role is built."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import msgspec

from peers.codec.codec import Dialect
from peers.codec.messages import Custom, Message, Version, name_of
from peers.codec.versions import dialect_of
from peers.errors import MAX_SHOWN
from peers.log.log import SyncLog
from peers.protocol.connect import ConnectMessages
from peers.protocol.error import ErrorMessages
from peers.protocol.headers import HeadersMessages
from peers.protocol.ping import PingMessages
from peers.protocol.sync import SyncMessages
from peers.transport.port import Connection

BEFORE_AUTHENTICATION = frozenset({"connect", "connected", "error", "headers", "debug", "duilian"})
MAX_EARLY = 8
"""Messages before any greeting that are answered one by one; more of them end the link."""
BUILT_IN = frozenset({*BEFORE_AUTHENTICATION, "sync", "synced", "ready", "ping", "pong", "have"})
"""Names that are not free for messages of one's own: where a dialect does not know one, neither does the role."""


class BaseSync(ConnectMessages, SyncMessages, PingMessages, ErrorMessages, HeadersMessages):
    """One role object on one connection, until `destroy`. It reacts; it owns no thread and no loop.

    A message `x` that arrives calls the method `x_message` with its items, so a role of your own adds a message by adding a
    method, and sends one with `send_own("x", ...)`. What a role must decide is who speaks first (`on_connect`).

    Options, keyword-only: `clock`, `random`, `spawn` (runs coroutine callbacks; without it one is a TypeError), `turn`
    (wraps every reaction; an actor passes its mailbox); `protocol` ((0, 1), 5 or 7: the dialect); `timeout` and `ping` in
    ms; `subprotocol` and `credentials` (what we show: any JSON, or a function that gives it at each greeting), `auth`
    (credentials, node_id -> bool); `in_filter` and `out_filter` (event, meta -> bool: keep it, or drop it for good),
    `in_map` and `out_map` (event, meta -> (event, meta)); `synced` and `other_synced` (where to go on); `fix_time` (take
    times by the other end's clock; in protocol (0, 1) that changes who an event is, so it is for a single client and
    server only, never for a mesh). Callbacks may be plain or coroutine functions, or give a Later.

    Events: `state` (), `synced` (when `synced` or `other_synced` was told of), `connect` (both ends know of each other; raise
    SyncError to turn them away), `authenticated` (), `client_error` (error that we sent), `headers` (headers), `debug`
    (type, text), `refused` (sentence, for an event that was not taken or could not be sent).

    States: `disconnected` (no link, nothing to send), `wait` (no link, something to send), `connecting` (until both
    greetings are done), `sending` (something is under way), `synchronized`.

    Errors of the protocol are given to `catch` listeners; without one they are raised where they are found.
    """

    def __init__(
        self, node_id: str, log: SyncLog, connection: Connection, *, protocol: int | Sequence[int] = 5, **options: Any
    ) -> None:
        self._protocol: Version = protocol if isinstance(protocol, int) else list(protocol)
        super().__init__(node_id, log, connection, **options)

    def on_connect(self) -> None:
        self._early = 0
        super().on_connect()

    def make_dialect(self) -> Dialect:
        return dialect_of(self._protocol, self.node_id)

    def greeting_synced(self) -> int:
        return self.other_synced

    def on_authenticated(self) -> None:
        """Send what they lack: from the mark that they stated in their `connect`, else from what they confirmed."""
        self.start_walk(self.resume_from())

    def resume_from(self) -> int:
        """The mark in our log after which they may lack something; 0 if the one that is known is not of this log."""
        last = self.last_mark(self.log.published.state)
        if self.stated is None:
            return self.synced if self.synced <= last else 0
        if self.stated > last:
            self.stated = 0  # our log was lost: they may have to bring even what they wrote themselves
        return self.stated

    def dispatch(self, message: Message) -> None:
        name = name_of(message)
        method = getattr(self, f"{name}_message", None)
        if isinstance(message, Custom) and name in BUILT_IN:
            method = None
        is_early = not self.authenticated and name not in BEFORE_AUTHENTICATION
        if is_early and (method is not None or self.dialect.breaks_early):
            if self._judging or self.keeps_early(name):
                self.queue(message)
            else:
                self.on_early(name)
        elif method is None:
            raise self.error("unknown-message", name)
        elif isinstance(message, Custom):
            try:
                inspect.signature(method).bind(*message.items)
            except TypeError as error:
                raise self.error("wrong-format", f"{name}: {error}") from None
            method(*message.items)
        else:
            method(*msgspec.structs.astuple(message))

    def keeps_early(self, name: str) -> bool:
        """Whether such a message waits for the greeting if it comes before; otherwise `on_early` has it."""
        return self.dialect.keeps_early

    def on_early(self, name: str) -> None:
        """A message came before any greeting."""
        self._early += 1
        if self.dialect.breaks_early or self._early > MAX_EARLY:
            raise self.error("missed-auth", name)
        # Unlike Logux 0.1, a long message is not sent back whole.
        self.send_error("missed-auth", self.frame[: 4 * MAX_SHOWN].decode(errors="replace")[:MAX_SHOWN])

    def send_own(self, name: str, *items: Any) -> None:
        """Send a message of your own; the other end's role needs a method `<name>_message`."""
        self.send(Custom(name, items))
