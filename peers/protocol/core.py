"""What every role stands on: one connection at a time, its frames, timeouts, states and listeners."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Protocol

from peers.clock import Clock, Undo
from peers.codec.codec import Dialect
from peers.codec.messages import Error, Message, Options, Version
from peers.emitter import Emitter
from peers.errors import SyncError
from peers.later import Later
from peers.log.log import SyncLog
from peers.protocol.turns import Spawn, Turn, at_once, awaited
from peers.stores.store import StoreError
from peers.transport.port import LARGE_FRAME, Connection

State = Literal["disconnected", "wait", "connecting", "sending", "synchronized"]

HANDSHAKE_MS = 30_000
"""Life signs stretch a timeout, but whoever is not let in after this is cut: a stranger who trickles bytes, a stuck `auth`."""
QUEUED_BEFORE_PAUSE = 16
"""Messages kept while `auth` decides, after which no more are read."""
MAX_QUEUED = 1_000
"""Messages that may have been read already by then."""


class _Role(type):
    """Starts a role on a connection that is open already, once all of it is made."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        role = super().__call__(*args, **options)
        role.begin()
        return role


class RandomBits(Protocol):
    """The part of random.Random that roles use; passed in, so that a run can be repeated from its seed."""

    def getrandbits(self, k: int, /) -> int: ...


class SyncCore(metaclass=_Role):
    """The part of a role that knows no message. See BaseSync."""

    def __init__(
        self,
        node_id: str,
        log: SyncLog,
        connection: Connection,
        *,
        clock: Clock,
        random: RandomBits,
        spawn: Spawn | None = None,
        turn: Turn = at_once,
        timeout: int | None = None,
        ping: int | None = None,
        subprotocol: Any = 0,
        credentials: Any = None,
        auth: Callable[[Any, str], Any] | None = None,
        fix_time: bool = False,
    ) -> None:
        if ping is not None and timeout is None:
            raise ValueError("set the timeout option too: a ping without one would wait for its answer for ever")
        self.node_id = node_id
        self.log = log
        self.connection = connection
        self.clock = clock
        self.random = random
        self.timeout = timeout
        self.ping = ping
        self.subprotocol = subprotocol
        self.credentials = credentials
        self.auth = auth
        self.fix_time = fix_time
        self.emitter = Emitter()
        self.state: State = "disconnected"
        self.authenticated = False
        self.is_destroyed = False
        self.other_node_id: str | None = None
        self.other_protocol: Version | None = None
        self.other_options = Options()
        self.other_headers: dict[str, Any] = {}
        self.frame = b""
        """The newest one that came."""
        self._spawn = spawn
        self._turn = turn
        self._link = 0
        self._wires = 1 if connection.connected else 0
        """How often the connection was opened, as of now, not of the role's turn."""
        self._opened = 0
        """The one of them that the role knows of."""
        self._judging = False
        self._is_closing = False
        self._queued: list[Message] = []
        self._spawned: dict[Later[Any], None] = {}
        """Callbacks that have not answered yet."""
        self._waiting: deque[float] = deque()
        self._last_sign = 0.0
        self._last_traffic = 0.0
        self._undo_timeout: Undo | None = None
        self._undo_silence: Undo | None = None
        self._undo_handshake: Undo | None = None
        self._undos: list[Undo] = [
            connection.on("connect", self._count_wire),
            connection.on("connecting", turn(self.on_connecting)),
            connection.on("connect", turn(self._on_open)),
            connection.on("activity", turn(self._on_activity)),
            connection.on("message", turn(self._on_frame)),
            connection.on("error", turn(self._on_connection_error)),
            connection.on("disconnect", turn(self.on_disconnect)),
        ]
        self.dialect: Dialect = self.make_dialect()

    def begin(self) -> None:
        """Called once after the constructor."""
        if self.connection.connected:
            self._turn(self._on_open)()

    def make_dialect(self) -> Dialect:
        """What is spoken on a new link."""
        raise NotImplementedError

    @property
    def protocol(self) -> Version:
        return self.dialect.protocol

    @property
    def connected(self) -> bool:
        """Whether the link is open that the role knows of: its turn may come when the next one is already."""
        return self.connection.connected and self._opened == self._wires

    @property
    def other_subprotocol(self) -> Any:
        """None until the other end has greeted."""
        return None if self.other_node_id is None else self.other_options.subprotocol

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Listen to an event, see BaseSync; returns the undo."""
        return self.emitter.on(event, listener)

    def once(self, event: str, listener: Callable[..., Any]) -> Undo:
        """As `on`, for the next one only."""
        return self.emitter.once(event, listener)

    def catch(self, listener: Callable[[SyncError], Any]) -> Undo:
        """Give errors to `listener` instead of raising them; returns the undo."""
        return self.emitter.on("error", listener)

    def destroy(self, reason: str = "") -> None:
        """Stop for good: no listener, timer or link is left. Harmless when it is destroyed."""
        if self.is_destroyed:
            return
        self.is_destroyed = True
        for undo in reversed(self._undos):
            undo()
        self._forget_link()
        destroy = getattr(self.connection, "destroy", None)
        if destroy is not None:
            destroy(reason)
        else:
            self.connection.disconnect(reason)
        self.set_state("disconnected")

    def send(self, message: Message) -> None:
        """Send one message. Raises RuntimeError when there is no link, ValueError for what JSON cannot say."""
        if not self.connected:
            raise RuntimeError(f"{self.node_id} could not send {type(message).__name__} to a closed connection")
        self.connection.send(self.dialect.encode(message))
        self._last_traffic = self.clock.elapsed_ms()

    def fail(self, error: SyncError) -> None:
        """Tell the other end, close, and report: what it sent, or failed to send, cannot be lived with."""
        self.turn_away(error)
        self.report(error)

    def turn_away(self, error: SyncError) -> None:
        """Tell the other end and close. Harmless when that was done already."""
        if not self.connected or self._is_closing:
            return
        try:
            self.send(Error(error.type, error.options))
        except ValueError:  # JSON cannot say its options
            self.send(Error(error.type))
        try:
            self.emitter.emit("client_error", error)
        finally:  # a listener may fail
            self.hang_up(error.type if error.is_fatal or error.type == "timeout" else "error")

    def hang_up(self, reason: str) -> None:
        """Close the link, and take nothing more that came over it."""
        self._is_closing = True
        self._forget_link()
        self.connection.disconnect(reason)

    def report(self, error: SyncError) -> None:
        """Hand `error` to those who catch, or raise it."""
        if not self.emitter.has_listeners("error"):
            raise error
        self.emitter.emit("error", error)

    def error(self, type: str, options: Any = None, *, received: bool = False) -> SyncError:
        """A SyncError that knows the other end."""
        return SyncError(type, options, received=received, other_node_id=self.other_node_id)

    def set_state(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self.emitter.emit("state")

    def start_timeout(self) -> None:
        """An answer is expected within `timeout`. Unlike Logux 0.1, any byte that comes meanwhile starts that anew: a slow link
        is not a dead one.
        """
        if self.timeout is None:
            return
        self._waiting.append(self.clock.elapsed_ms())
        if self._undo_timeout is None:
            self._watch(self.timeout)

    def end_timeout(self) -> None:
        """The oldest expected answer came."""
        if self._waiting:
            self.note_answer(self.clock.elapsed_ms() - self._waiting.popleft())

    def note_answer(self, answer_ms: float) -> None:
        """An expected answer took so long."""

    def patience_ms(self) -> float:
        """How long after the last byte that came an expected answer is missed; where there is a `timeout`."""
        return self.timeout or 0

    def end_handshake(self) -> None:
        if self._undo_handshake is not None:
            self._undo_handshake()
            self._undo_handshake = None

    def react(self, value: Any, reaction: Callable[[Later[Any]], None]) -> None:
        """Call `reaction` with the Later of `value`, in the role's turn, unless the link is another by then.

        `value` may be a plain value, a Later, a coroutine or something else to await. Raises TypeError for these two if
        there is no `spawn`.
        """
        if not isinstance(value, Later) and inspect.isawaitable(value):
            if self._spawn is None:
                if inspect.iscoroutine(value):
                    value.close()
                raise TypeError("a coroutine callback needs the `spawn` option")
            value = self._spawn(value if inspect.iscoroutine(value) else awaited(value))
            self._spawned[value] = None
        later: Later[Any] = value if isinstance(value, Later) else Later.done(value)
        link = self._link

        def on_result(done: Later[Any]) -> None:
            self._spawned.pop(done, None)
            if self._link != link or not self.connected or self.is_destroyed:
                return
            if isinstance(done.exception, StoreError):  # of this machine, not of this session: it may work again later
                self.turn_away(self.error("store", self.told_of(done.exception)))
                self.report(self.error("store", str(done.exception)))
            else:
                self._guard(lambda: reaction(done))

        later.then(self._turn(on_result))

    def told_of(self, trouble: StoreError) -> str | None:
        """What the other end is told of it, besides that it is our disk's."""
        return None

    def on_connecting(self) -> None:
        self.set_state("connecting")

    def on_connect(self) -> None:
        """A link is open: everything about the last one is forgotten. A role that speaks first does so here."""
        self._forget_link()
        self._is_closing = False
        self.dialect = self.make_dialect()
        self._last_sign = self._last_traffic = self.clock.elapsed_ms()
        self.set_state("connecting")
        if self.timeout is not None:
            self._undo_handshake = self.clock.call_later(HANDSHAKE_MS, self._turn(partial(self._on_late, self._link)))
        if self.ping is not None:
            self._watch_silence(self._link, self.ping)

    def on_disconnect(self, _reason: str) -> None:
        """The link is gone."""
        self._forget_link()
        self._is_closing = False
        self.set_state(self.state_offline())

    def state_offline(self) -> State:
        """`wait` if something is left to send."""
        return "disconnected"

    def dispatch(self, message: Message) -> None:
        """Take one message of the other end. BaseSync finds the method."""
        raise NotImplementedError

    def on_silence(self) -> None:
        """Nothing was sent or received for `ping` ms."""

    def _count_wire(self) -> None:
        self._wires += 1

    def _on_open(self) -> None:
        self._opened += 1
        if self.connected and not self.is_destroyed:  # it may be over again before its turn comes
            self._guard(self.on_connect)

    def _on_frame(self, frame: bytes) -> None:
        if self.is_destroyed or self._is_closing or not self.connected:
            return
        self._last_sign = self._last_traffic = self.clock.elapsed_ms()
        self.frame = frame
        try:
            self._guard(lambda: self.dispatch(self.decode(frame)))
        finally:
            self.frame = b""
            if len(frame) > LARGE_FRAME and not self.is_paused():
                self.connection.resume()

    def is_paused(self) -> bool:
        """Whether nothing is read from the other end now, because too much of what it sent is still being taken."""
        return False

    def decode(self, frame: bytes) -> Message:
        """The message of a frame. Raises SyncError."""
        return self.dialect.decode(frame)

    def _guard(self, step: Callable[[], None]) -> None:
        """Take one step of the conversation. Whatever error comes of it ends the link: what was being done is half done."""
        try:
            step()
        except SyncError as error:
            if error.received:
                raise
            self.fail(error)
        except Exception:
            if self.connected and not self._is_closing:
                self.hang_up("error")
            raise

    def _on_activity(self) -> None:
        self._last_sign = self.clock.elapsed_ms()

    def _on_connection_error(self, error: Exception) -> None:
        self.report(self.error("wrong-format", str(error)))

    def _forget_link(self) -> None:
        self._link += 1
        self.authenticated = False
        self._judging = False
        self._queued.clear()
        self._waiting.clear()
        spawned, self._spawned = self._spawned, {}
        for later in spawned:  # a callback that never returns must not stay behind
            later.abandon()
        for undo in (self._undo_timeout, self._undo_silence, self._undo_handshake):
            if undo is not None:
                undo()
        self._undo_timeout = self._undo_silence = self._undo_handshake = None

    def _on_late(self, link: int) -> None:
        if self._link == link and self.connected and not self.authenticated:
            self.fail(self.error("timeout", HANDSHAKE_MS))

    def _watch(self, delay_ms: float) -> None:
        self._undo_timeout = self.clock.call_later(delay_ms, self._turn(partial(self._on_watch, self._link)))

    def _on_watch(self, link: int) -> None:
        if self._link != link:
            return
        self._undo_timeout = None
        if not self._waiting or not self.connected or self.timeout is None:
            return
        now = self.clock.elapsed_ms()
        if self.is_paused():
            self._last_sign = now  # its answer may wait unread
        patience = self.patience_ms()
        left = max(self._waiting[0], self._last_sign) + patience - now
        if left > 0:
            self._watch(left)
        else:
            self.fail(self.error("timeout", round(patience)))

    def _watch_silence(self, link: int, delay_ms: float) -> None:
        def check() -> None:
            if self._link != link or self.is_destroyed or self.ping is None:
                return
            left = self._last_traffic + self.ping - self.clock.elapsed_ms()
            if left <= 0:
                self.on_silence()
                left = self.ping
            if self._link != link:
                return
            self._watch_silence(link, left)

        self._undo_silence = self.clock.call_later(delay_ms, self._turn(check))
