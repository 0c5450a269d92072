"""SyncCore: the base of every role: one connection at a time, its frames, timeouts, states and listeners."""

from __future__ import annotations

import inspect
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from peers.budgets import Budgets
from peers.clock import Clock, Undo
from peers.codec.codec import Dialect
from peers.codec.messages import Error, Message, Version
from peers.emitter import Emitter
from peers.errors import SyncError
from peers.later import Later
from peers.log.port import SyncLog
from peers.protocol.ports import RandomBits, Spawn, Turn, Welcoming, at_once, begin, end_connection
from peers.protocol.reading import Reading
from peers.stores.store import StoreError
from peers.transport.port import LARGE_FRAME, Connection

State = Literal["disconnected", "wait", "connecting", "sending", "synchronized"]

HANDSHAKE_MS = 30_000
"""The link ends if the other end is not authenticated by then, although bytes that arrive extend `timeout`: against an end
that sends single bytes, and an `auth` callback that never answers. The door of an accepted connection is stricter: see
`greeting_seconds` of Limits."""


class _Role(ABCMeta):
    """Calls `begin` on each new role after all of its constructors have run."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        role = super().__call__(*args, **options)
        role.begin()
        return role


class SyncCore(metaclass=_Role):
    """The part of a role that knows no messages. See BaseSync, which has the parameters and events.

    Subclasses define `make_dialect` and `dispatch`. Every other hook (`on_...`, `state_offline`, `patience_ms`, `cost`,
    `note_answer`, `told_of`) has a default here, and an overriding method calls `super()`.
    """

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
        budgets: Budgets | None = None,
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
        self.emitter = Emitter()
        self.state: State = "disconnected"
        self.authenticated = self.is_destroyed = False
        self.other_node_id: str | None = None
        self.frame = b""
        """The bytes of the message that is being handled; empty between messages."""
        self.reading = Reading(connection, budgets, self.start_timer)
        self._spawn, self._turn = spawn, turn
        self._link = 0
        self._wires = 1 if connection.connected else 0
        """How often the connection has opened so far."""
        self._opened = 0
        """How many of these openings the role has handled: it may lag behind, since its reactions wait for their turn."""
        self._is_closing = False
        self._spawned: dict[Later[Any], None] = {}
        """Results of coroutine callbacks that are still running."""
        self._waiting: list[float] = []
        self._last_sign = self._last_traffic = 0.0
        self._timers: dict[str, Undo] = {}
        self._undos: list[Undo] = [
            connection.on("connecting", turn(self.on_connecting)),
            connection.on("connect", self._on_wire),
            connection.on("activity", self._on_activity),
            connection.on("message", turn(self._on_frame)),
            connection.on("control", turn(self.reading.spend)),
            connection.on("error", turn(self._on_connection_error)),
            connection.on("disconnect", turn(self.on_disconnect)),
        ]
        self.dialect: Dialect = self.make_dialect()

    def begin(self) -> None:
        """Called once, after the constructors of all subclasses: handle a connection that is open already."""
        if self.connection.connected:
            self._turn(self._on_open)()

    @abstractmethod
    def make_dialect(self) -> Dialect:
        """The encoding that a new link begins with."""

    @abstractmethod
    def dispatch(self, message: Message) -> None:
        """Handle one message of the other end. Raises SyncError, which ends the link."""

    @property
    def protocol(self) -> Version:
        """The protocol version of the current dialect."""
        return self.dialect.protocol

    @property
    def connected(self) -> bool:
        """Whether the link that the role has handled last is still open. False when the connection has opened anew since."""
        return self.connection.connected and self._opened == self._wires

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Call `listener` at each `event`, see BaseSync for their names and arguments; returns a function that ends that."""
        return self.emitter.on(event, listener)

    def once(self, event: str, listener: Callable[..., Any]) -> Undo:
        """As `on`, for the next such event only."""
        return self.emitter.once(event, listener)

    def catch(self, listener: Callable[[SyncError], Any]) -> Undo:
        """Pass errors to `listener` instead of raising them; returns a function that ends that."""
        return self.emitter.on("error", listener)

    def destroy(self, reason: str = "") -> None:
        """End the role: remove its listeners and timers and close its link, with `reason`. A second call does nothing."""
        if self.is_destroyed:
            return
        self.is_destroyed = True
        for undo in reversed(self._undos):
            undo()
        self._forget_link()
        end_connection(self.connection, reason)
        self.set_state("disconnected")

    def send(self, message: Message) -> None:
        """Send one message. Raises RuntimeError without an open link, ValueError for values that JSON cannot express."""
        if not self.connected:
            raise RuntimeError(f"{self.node_id} could not send {type(message).__name__} to a closed connection")
        self.send_frame(self.dialect.encode(message))

    def send_frame(self, frame: bytes) -> None:
        """Send a message that is encoded already. Raises RuntimeError without an open connection."""
        self.connection.send(frame)
        self._last_traffic = self.clock.elapsed_ms()

    def fail(self, error: SyncError) -> None:
        """Send `error`, close the link, and report the error here."""
        self.turn_away(error)
        self.report(error)

    def turn_away(self, error: SyncError) -> None:
        """Send `error` and close the link. Does nothing when the link is closed or closing."""
        if not self.connected or self._is_closing:
            return
        try:
            self.send(Error(error.type, error.options))
        except ValueError:  # JSON cannot express its options
            self.send(Error(error.type))
        try:
            self.emitter.emit("client_error", error)
        finally:  # a listener may fail
            self.hang_up(error.type if error.is_fatal or error.type == "timeout" else "error")

    def hang_up(self, reason: str) -> None:
        """Close the link; messages that arrived over it and were not handled yet are dropped."""
        self._is_closing = True
        self._forget_link()
        self.connection.disconnect(reason)

    def report(self, error: SyncError) -> None:
        """Pass `error` to the listeners of `catch`; without one, raise it."""
        if not self.emitter.has_listeners("error"):
            raise error
        self.emitter.emit("error", error)

    def error(self, type: str, options: Any = None, *, received: bool = False) -> SyncError:
        """A SyncError that names the other end."""
        return SyncError(type, options, received=received, other_node_id=self.other_node_id)

    def set_state(self, state: State) -> None:
        """Change `state` and emit the event `state`, if it is a new one."""
        if state != self.state:
            self.state = state
            self.emitter.emit("state")

    def start_timeout(self) -> None:
        """Expect one more answer within `timeout` ms; without it the link ends.

        Unlike Logux 0.1, every byte that arrives restarts the time, so that a slow link is not taken for a dead one.
        """
        if self.timeout is None:
            return
        self._waiting.append(self.clock.elapsed_ms())
        if not self.is_timing("answer"):
            self.start_timer("answer", self.timeout, self._check_answer)

    def end_timeout(self) -> None:
        """The oldest expected answer has arrived."""
        if self._waiting:
            self.note_answer(self.clock.elapsed_ms() - self._waiting.pop(0))

    def note_answer(self, answer_ms: float) -> None:
        """Hook: an expected answer arrived after `answer_ms`."""

    def patience_ms(self) -> float:
        """Hook: how long after the last byte an expected answer is missing; only used with a `timeout`."""
        return self.timeout or 0

    def end_handshake(self) -> None:
        """The other end is authenticated: HANDSHAKE_MS no longer counts, nor what limits strangers."""
        self.stop_timer("handshake")
        if isinstance(self.connection, Welcoming):
            self.connection.welcome()

    def react(self, value: Any, reaction: Callable[[Later[Any]], None]) -> None:
        """Call `reaction` with the Later of `value`, in the role's turn, unless that link has ended by then.

        `value` may be a plain value, a Later, or an awaitable such as a coroutine. Raises TypeError for an awaitable if the
        role has no `spawn`. A StoreError in the result ends the link, and `reaction` is not called.
        """
        if not isinstance(value, Later) and inspect.isawaitable(value):
            value = begin(value, self._spawn)
            self._spawned[value] = None
        later: Later[Any] = value if isinstance(value, Later) else Later.done(value)
        link = self._link

        def on_result(done: Later[Any]) -> None:
            self._spawned.pop(done, None)
            if self._link != link or not self.connected or self.is_destroyed:
                return
            if isinstance(done.exception, StoreError):  # a fault of this machine, not of the link: a new link may work
                self.turn_away(self.error("store", self.told_of(done.exception)))
                self.report(self.error("store", str(done.exception)))
            else:
                self._guard(lambda: reaction(done))

        later.then(self._turn(on_result))

    def call_later(self, delay_ms: float, reaction: Callable[[], None]) -> Undo:
        """Call `reaction` in the role's turn, after `delay_ms`; returns a function that cancels it."""
        return self.clock.call_later(delay_ms, self._turn(reaction))

    def start_timer(self, name: str, delay_ms: float, reaction: Callable[[], None]) -> None:
        """Call `reaction` in the role's turn, after `delay_ms`, unless the link ends before; it replaces one of that name."""
        self.stop_timer(name)
        self._timers[name] = self.call_later(delay_ms, partial(self._on_timer, self._link, name, reaction))

    def stop_timer(self, name: str) -> None:
        """Do not call what `start_timer` was to call. Harmless if nothing is."""
        undo = self._timers.pop(name, None)
        if undo is not None:
            undo()

    def is_timing(self, name: str) -> bool:
        """Whether the reaction of `start_timer` is still to come."""
        return name in self._timers

    def told_of(self, trouble: StoreError) -> str | None:
        """Hook: details of our store's failure that the other end may see; None: only that the store failed."""
        return None

    def on_connecting(self) -> None:
        """The connection is being opened."""
        self.set_state("connecting")

    def on_connect(self) -> None:
        """A link has opened: reset what belongs to the last one. A role that speaks first sends its greeting here."""
        self._forget_link()
        self.reading.begin()
        self._is_closing = False
        self.dialect = self.make_dialect()
        self._last_sign = self._last_traffic = self.clock.elapsed_ms()
        self.set_state("connecting")
        if self.timeout is not None:
            self.start_timer("handshake", HANDSHAKE_MS, self._on_late)
        if self.ping is not None:
            self.start_timer("silence", self.ping, self._check_silence)

    def on_disconnect(self, _reason: str) -> None:
        """The link has closed."""
        self._forget_link()
        self._is_closing = False
        self.set_state(self.state_offline())

    def state_offline(self) -> State:
        """Hook: the state without a link: `wait` if something is left to send, else `disconnected`."""
        return "disconnected"

    def on_silence(self) -> None:
        """Hook: nothing was sent or received for `ping` ms."""

    def _on_wire(self) -> None:
        self._wires += 1
        self._turn(self._on_open)()

    def _on_open(self) -> None:
        self._opened += 1
        if self.connected and not self.is_destroyed:  # the link may have closed before this turn
            self._guard(self.on_connect)

    def _on_frame(self, frame: bytes) -> None:
        if self.is_destroyed or self._is_closing or not self.connected:
            return
        self._last_sign = self._last_traffic = self.clock.elapsed_ms()
        self.frame = frame
        try:
            self._guard(lambda: self._take(frame))
        finally:
            self.frame = b""
            if len(frame) > LARGE_FRAME and not self.reading.is_paused:
                self.connection.resume()

    def _take(self, frame: bytes) -> None:
        began_ms = self.reading.cpu_ms()
        message = self.decode(frame)
        cost = self.cost(message)
        self.dispatch(message)
        if cost and self.connected:
            self.reading.spend(cost, len(frame), self.reading.cpu_ms() - began_ms)

    def cost(self, message: Message) -> int:
        """Hook: what `message`, which is not handled yet, takes of the budget: a number of messages without events."""
        return 1

    def decode(self, frame: bytes) -> Message:
        """The message of a frame. Raises SyncError."""
        return self.dialect.decode(frame)

    def _guard(self, step: Callable[[], None]) -> None:
        """Run one reaction. Any exception ends the link, because the reaction was interrupted halfway."""
        try:
            step()
        except SyncError as error:
            if error.received:
                raise
            self.fail(error)
        except BaseException:
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
        self._waiting.clear()
        spawned, self._spawned = self._spawned, {}
        for later in spawned:  # so that a callback that never returns does not stay in memory
            later.abandon()
        for name in tuple(self._timers):
            self.stop_timer(name)

    def _on_timer(self, link: int, name: str, reaction: Callable[[], None]) -> None:
        if self._link == link and self._timers.pop(name, None) is not None:
            self._guard(reaction)

    def _on_late(self) -> None:
        if self.connected and not self.authenticated:
            self.fail(self.error("timeout", HANDSHAKE_MS))

    def _check_answer(self) -> None:
        if not self._waiting or not self.connected or self.timeout is None:
            return
        now = self.clock.elapsed_ms()
        if self.reading.is_paused:
            self._last_sign = now  # the answer may have arrived and not been read
        patience = self.patience_ms()
        left = max(self._waiting[0], self._last_sign) + patience - now
        if left > 0:
            self.start_timer("answer", left, self._check_answer)
        else:
            self.fail(self.error("timeout", round(patience)))

    def _check_silence(self) -> None:
        if self.ping is None:
            return
        link, left = self._link, self._last_traffic + self.ping - self.clock.elapsed_ms()
        if left <= 0:
            self.on_silence()
            left = self.ping
        if self._link == link:
            self.start_timer("silence", left, self._check_silence)
