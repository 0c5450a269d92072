"""SessionMessages: every message that carries no events: the greeting, signs of life, errors and headers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from peers.codec.messages import (
    Connect,
    Connected,
    Custom,
    Debug,
    Duilian,
    Error,
    Headers,
    Message,
    Options,
    Ping,
    Pong,
    Sync,
    Version,
    name_of,
)
from peers.errors import MAX_SHOWN, SyncError
from peers.failures import failures
from peers.later import Later
from peers.log.port import SyncLog
from peers.protocol.core import SyncCore
from peers.transport.port import Connection

BEFORE_AUTHENTICATION = frozenset({"connect", "connected", "error", "headers", "debug", "duilian"})
BETWEEN_NODES = frozenset(
    {
        *("have", "pieces", "fill", "same", "differ", "heads", "show", "proof", "way", "hollow", "decline", "facts"),
        *("reach", "reached"),
    }
)
BUILT_IN = BEFORE_AUTHENTICATION | BETWEEN_NODES | {"sync", "synced", "ready", "ping", "pong"}
"""Names that a user's own messages cannot have, even where the dialect of the link does not know them."""
MAX_EARLY = 8
"""Messages before any greeting that are answered one by one; one more ends the link."""
MAX_EARLY_HEADERS = 32
"""Headers before the greeting; each is a plain value."""
QUEUED_BEFORE_PAUSE = 16
"""Messages are queued while `auth` decides; with this many, reading from the connection pauses."""
MAX_QUEUED = 1_000
"""Limit of that queue, for messages that were read before the pause took effect; one more ends the link."""
COUPLETS = {"金木水火土": "板城烧锅酒"}
"""Of `duilian`: the first line of a couplet, and the second one, as Logux knows them."""


class SessionMessages(SyncCore):
    """`connect`, `connected`, `ping`, `pong`, `error`, `debug`, `headers` and `duilian`; and which method handles a message.

    A role overrides `on_authenticated`, `greeting_synced` and `greeting_options` to add to the greeting.
    """

    # Else all attributes of a session have a table of their own, since too many names are not shared: 1.5 KiB.
    __slots__ = (
        *(
            "_early",
            "_is_pinging",
            "_judging",
            "_queued",
            "_shown",
            "auth",
            "connect_sent_at",
            "credentials",
            "fix_time",
        ),
        *("other_headers", "other_options", "other_protocol", "stated", "subprotocol"),
    )

    def __init__(
        self,
        node_id: str,
        log: SyncLog,
        connection: Connection,
        *,
        subprotocol: Any = 0,
        credentials: Any = None,
        auth: Callable[[Any, str], Any] | None = None,
        fix_time: bool = False,
        **options: Any,
    ) -> None:
        self.subprotocol = subprotocol
        self.credentials = credentials
        self.auth = auth
        self.fix_time = fix_time
        self.other_protocol: Version | None = None
        self.other_options = Options()
        self.other_headers: dict[str, Any] = {}
        self.connect_sent_at = 0
        """When our `connect` was sent, in ms of our wall clock."""
        self.stated: int | None = None
        """The mark in our log after which they want events, from their `connect`; None before it, and without one."""
        self._shown: Any = None
        """The credentials of our next greeting."""
        self._judging = False
        """Whether `auth` has been asked and has not answered."""
        self._queued: list[Message] = []
        self._early = 0
        self._is_pinging = False
        super().__init__(node_id, log, connection, **options)

    @property
    def other_subprotocol(self) -> Any:
        """The `subprotocol` of the other end; None before its greeting."""
        return None if self.other_node_id is None else self.other_options.subprotocol

    def on_connect(self) -> None:
        super().on_connect()
        self.stated = None
        self._early = 0
        self._is_pinging = False

    # Which method handles a message

    def dispatch(self, message: Message) -> None:
        """Call the method `x_message` for a message `x`, with its items; or queue it until the other end is authenticated."""
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

    def send_own(self, name: str, *items: Any) -> None:
        """Send a message of your own, with items that JSON can express. The other end's role needs a method `<name>_message`.

        Raises ValueError for items that JSON cannot express and for a name of BUILT_IN, RuntimeError without an open link.
        """
        if name in BUILT_IN:
            raise ValueError(f"`{name}` is a message of the protocol: give yours another name")
        self.send(Custom(name, items))

    def keeps_early(self, name: str) -> bool:
        """Whether a message that arrives before the greeting is queued; otherwise it goes to `on_early`."""
        return self.dialect.keeps_early

    def on_early(self, name: str) -> None:
        """A message arrived before any greeting."""
        self._early += 1
        if self.dialect.breaks_early or self._early > MAX_EARLY:
            raise self.error("missed-auth", name)
        # Unlike Logux 0.1, a long message is not sent back whole.
        self.send_error("missed-auth", self.frame[: 4 * MAX_SHOWN].decode(errors="replace")[:MAX_SHOWN])

    def queue(self, message: Message) -> None:
        """Keep a message until the other end is authenticated. Raises SyncError for more than MAX_QUEUED."""
        if isinstance(message, Sync) and not self.dialect.knows_base:
            raise self.error("wrong-format", "`sync` before `connected` has said what its times count from")
        if len(self._queued) >= MAX_QUEUED:
            raise self.error("wrong-format", f"more than {MAX_QUEUED} messages before the answer to the greeting")
        self._queued.append(message)
        if len(self._queued) == QUEUED_BEFORE_PAUSE:
            self.reading.pause("queue")

    # The greeting

    def send_connect(self) -> None:
        """Greet, once `credentials` has answered if it is a function."""
        self._show_credentials(self._send_connect)

    def connect_message(self, protocol: Version, node_id: str, synced: int, options: Options) -> None:
        came_at = self.clock.now_ms()
        self._meet(protocol, node_id, options)
        self.stated = synced
        self.end_timeout()
        self._judge(lambda: self._show_credentials(lambda: self._let_in(came_at)))

    def send_connected(self, came_at: int) -> None:
        """Answer a `connect` that arrived at `came_at`, in ms of our wall clock."""
        # Unlike Logux 0.1, both are read from the clock: the log's timer is for events.
        answered_at = max(came_at, self.clock.now_ms())
        self.send(Connected(self.protocol, self.node_id, (came_at, answered_at), self.greeting_options()))

    def connected_message(self, protocol: Version, node_id: str, times: tuple[int, int], options: Options) -> None:
        self._meet(protocol, node_id, options)
        if self.fix_time:
            self.dialect.time_fix = self._time_fix(*times)
        self.end_timeout()
        self._judge(self._let_in)

    def greeting_synced(self) -> int:
        """Hook: the cursor that our `connect` states."""
        return 0

    def greeting_options(self) -> Options:
        """Hook: the options of our `connect` or `connected`."""
        return Options(subprotocol=self.subprotocol, token=self._shown)

    def on_authenticated(self) -> None:
        """Hook: both greetings are done and `auth` accepted the other end. A role starts to send events here."""

    def _send_connect(self) -> None:
        self.connect_sent_at = self.clock.now_ms()
        self.start_timeout()
        self.send(Connect(self.protocol, self.node_id, self.greeting_synced(), self.greeting_options()))

    def _show_credentials(self, greet: Callable[[], None]) -> None:
        """Call `greet` with the credentials of this greeting in `_shown`: the option may be a function, coroutine or not."""

        def shown(done: Later[Any]) -> None:
            self._shown = done.result()
            greet()

        self.react(self.credentials() if callable(self.credentials) else self.credentials, shown)

    def _check_greeting(self, protocol: Version, node_id: str) -> None:
        if self.authenticated or self._judging:
            # Unlike Logux 0.1, which takes a second one for a new beginning.
            raise self.error("wrong-format", "a second greeting on one connection")
        why_not = self.dialect.why_not(protocol)
        if why_not is not None:
            raise self.error("wrong-protocol", why_not)
        if not node_id.isprintable():
            raise self.error("wrong-format", "a greeting with a node id that cannot be printed")

    def _meet(self, protocol: Version, node_id: str, options: Options) -> None:
        self._check_greeting(protocol, node_id)
        self.other_node_id = self.dialect.other_node_id = node_id
        self.other_protocol = protocol
        self.other_options = options
        self.emitter.emit("connect")

    def _time_fix(self, came_at: int, answered_at: int) -> int:
        """By how many ms our clock is ahead, if both ways took equally long. Unlike Logux 0.1, rounded down to whole ms."""
        round_trip = self.clock.now_ms() - self.connect_sent_at - (answered_at - came_at)
        return (2 * (self.connect_sent_at - came_at) + round_trip) // 2

    def _judge(self, welcome: Callable[[], None]) -> None:
        """Ask `auth` about the other end; call `welcome` if it accepts."""
        self._judging = True

        def judged(done: Later[object]) -> None:
            if isinstance(done.exception, SyncError):
                self.fail(done.exception)
            elif done.exception is not None:  # Unlike Logux 0.1, the other end gets an answer
                self.turn_away(self.error("wrong-credentials"))
                raise done.exception
            elif done.result() is not True:
                self.fail(self.error("wrong-credentials"))
            else:
                welcome()

        self.react(self._verdict(), judged)

    def _verdict(self) -> Any:
        if self.auth is None:
            return True
        try:
            return self.auth(self.other_options.token, self.other_node_id or "")
        except failures() as error:  # the other end is answered first, then it is raised
            return Later.failed(error)

    def _let_in(self, came_at: int | None = None) -> None:
        if came_at is not None:
            self.send_connected(came_at)
        self._judging = False
        self.authenticated = True
        self.reading.who = self.other_node_id or self.reading.who
        self.end_handshake()
        self.emitter.emit("authenticated")
        if not self.authenticated:  # a listener closed the link
            return
        self.on_authenticated()
        queued, self._queued = self._queued, []
        self.reading.resume("queue")
        for message in queued:
            if self.authenticated:
                self.dispatch(message)

    # Signs of life

    def on_silence(self) -> None:
        if self.authenticated and self.connected and not self._is_pinging:
            self.send_ping()

    def send_ping(self) -> None:
        """Ask for a sign of life; the answer has `timeout` ms."""
        self._is_pinging = True
        self.start_timeout()
        self.send_ping_again()

    def send_ping_again(self) -> None:
        """Send a `ping` whose answer has no timeout, also while another answer is expected."""
        self.send(Ping(self.sent_up_to()))

    def cost(self, message: Message) -> int:
        return 0 if isinstance(message, Pong) and self._is_pinging else super().cost(message)

    def ping_message(self, added: int) -> None:
        self.send_pong()
        self.on_other_sent(added)

    def send_pong(self) -> None:
        self.send(Pong(self.sent_up_to()))

    def pong_message(self, added: int, _last_position: int = 0) -> None:
        if self._is_pinging:
            self._is_pinging = False
            self.end_timeout()
        self.on_other_sent(added)

    def sent_up_to(self) -> int:
        """Hook: the highest mark up to which everything was sent on this link, or left out on purpose.

        Unlike Logux 0.1, which names the end of its log, whether that was sent or waits for a filter.
        """
        return 0

    def on_other_sent(self, added: int) -> None:
        """Hook: the other end has sent everything up to its mark `added`."""

    # Errors and headers

    def send_error(self, type: str, options: Any = None) -> None:
        """Send `error` and go on; `fail` and `turn_away` close the link too."""
        self.send(Error(type, options))
        self.emitter.emit("client_error", self.error(type, options))

    def error_message(self, type: str, options: Any) -> None:
        # Unlike Logux 0.1, the link is not used after an error: that end did not take something that we sent.
        error = self.error(type, options, received=True)
        self.hang_up(type if error.is_fatal else "error")
        self.report(error)

    def send_debug(self, type: str, text: str) -> None:
        """Send a sentence for the developer at the other end; `type` is `error` or another name."""
        self.send(Debug(type, text))

    def debug_message(self, type: str, text: Any) -> None:
        self.emitter.emit("debug", type, text)

    def send_headers(self, headers: dict[str, Any]) -> None:
        """Send key-value pairs; they replace those that were sent before."""
        self.send(Headers(headers))

    def headers_message(self, headers: dict[str, Any]) -> None:
        is_flat = len(headers) <= MAX_EARLY_HEADERS and not any(
            isinstance(one, (dict, list)) for one in headers.values()
        )
        if not self.authenticated and not is_flat:
            why = f"headers before the greeting are not flat, or more than {MAX_EARLY_HEADERS}: send them after it"
            raise self.error("wrong-format", why)
        self.other_headers = headers
        self.emitter.emit("headers", headers)

    def send_duilian(self, line: str) -> None:
        self.send(Duilian(line))

    def duilian_message(self, line: str) -> None:
        if line in COUPLETS:
            self.send_duilian(COUPLETS[line])

    def _forget_link(self) -> None:
        self._judging = False
        self._queued.clear()
        super()._forget_link()
