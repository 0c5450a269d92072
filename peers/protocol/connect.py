"""The greeting: who is there, what is spoken, and whether they are let in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peers.codec.messages import Connect, Connected, Message, Options, Sync, Version
from peers.errors import SyncError
from peers.later import Later
from peers.protocol.core import MAX_QUEUED, QUEUED_BEFORE_PAUSE, SyncCore


class ConnectMessages(SyncCore):
    """`connect` and `connected`."""

    _shown: Any = None
    """The credentials that go into our next greeting."""
    connect_sent_at = 0
    """By our wall clock, in ms."""
    stated: int | None = None
    """The mark in our log from which on they want events, if they said one."""

    def send_connect(self) -> None:
        self._show_credentials(self._send_connect)

    def connect_message(self, protocol: Version, node_id: str, synced: int, options: Options) -> None:
        came_at = self.clock.now_ms()
        self._meet(protocol, node_id, options)
        self.stated = synced
        self.end_timeout()
        self._judge(lambda: self._show_credentials(lambda: self._let_in(came_at)))

    def send_connected(self, came_at: int) -> None:
        """Answer a `connect` that came at `came_at`, in ms of our wall clock."""
        # Unlike Logux 0.1, both are read from the clock: the log's timer is for events.
        answered_at = max(came_at, self.clock.now_ms())
        self.send(Connected(self.protocol, self.node_id, (came_at, answered_at), self.greeting_options()))

    def connected_message(self, protocol: Version, node_id: str, times: tuple[int, int], options: Options) -> None:
        self._meet(protocol, node_id, options)
        if self.fix_time:
            self.dialect.time_fix = self._time_fix(*times)
        self.end_timeout()
        self._judge(self._let_in)

    def _time_fix(self, came_at: int, answered_at: int) -> int:
        """How far our clock is ahead, if both ways took equally long. Unlike Logux 0.1, rounded down: no halves of ms."""
        round_trip = self.clock.now_ms() - self.connect_sent_at - (answered_at - came_at)
        return (2 * (self.connect_sent_at - came_at) + round_trip) // 2

    def greeting_synced(self) -> int:
        """The cursor that `connect` states."""
        return 0

    def greeting_options(self) -> Options:
        """The options of our `connect` or `connected`."""
        return Options(subprotocol=self.subprotocol, token=self._shown)

    def on_connect(self) -> None:
        super().on_connect()
        self.stated = None

    def on_authenticated(self) -> None:
        """They are let in: a role starts to send here."""

    def _send_connect(self) -> None:
        self.connect_sent_at = self.clock.now_ms()
        self.start_timeout()
        self.send(Connect(self.protocol, self.node_id, self.greeting_synced(), self.greeting_options()))

    def _show_credentials(self, greet: Callable[[], None]) -> None:
        """Greet, with the credentials of this time: the option may be a function, or a coroutine function."""

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

    def _judge(self, welcome: Callable[[], None]) -> None:
        self._judging = True

        def judged(done: Later[object]) -> None:
            if isinstance(done.exception, SyncError):
                self.fail(done.exception)
            elif done.exception is not None:  # Unlike Logux 0.1, they get an answer
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
        except Exception as error:  # noqa: BLE001 - they are turned away, and then it is raised
            return Later.failed(error)

    def _let_in(self, came_at: int | None = None) -> None:
        if came_at is not None:
            self.send_connected(came_at)
        self._judging = False
        self.authenticated = True
        self.end_handshake()
        self.emitter.emit("authenticated")
        if not self.authenticated:  # a listener closed the link
            return
        self.on_authenticated()
        queued, self._queued = self._queued, []
        if len(queued) >= QUEUED_BEFORE_PAUSE:
            self.connection.resume()
        for message in queued:
            if self.authenticated:
                self.dispatch(message)

    def queue(self, message: Message) -> None:
        """Keep a message that came while `auth` decides, or before."""
        if isinstance(message, Sync) and not self.dialect.knows_base:
            raise self.error("wrong-format", "`sync` before `connected` has said what its times count from")
        if len(self._queued) >= MAX_QUEUED:
            raise self.error("wrong-format", f"more than {MAX_QUEUED} messages before the answer to the greeting")
        self._queued.append(message)
        if len(self._queued) == QUEUED_BEFORE_PAUSE:
            self.connection.pause()
