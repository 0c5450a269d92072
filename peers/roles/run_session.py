"""RunSession: the greeting, the signs of life and the state of a link between two nodes that keep epochs as runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from msgspec import structs

from peers.codec.messages import MAX_HELD, Pong, Version
from peers.codec.run_messages import (
    Greeting,
    RunConnect,
    RunConnected,
    RunOptions,
)
from peers.codec.runs import RunProtocol
from peers.events.dot import Epoch
from peers.events.ends import Ends
from peers.later import Later
from peers.log.port import SyncLog
from peers.log.run_log import RunLog
from peers.protocol.core import State
from peers.protocol.runs.replication import Replication
from peers.protocol.runs.role import BadPeer
from peers.protocol.session import SessionMessages
from peers.roles.behind import Behind
from peers.roles.clock_offset import ClockOffset
from peers.roles.link_progress import LinkProgress
from peers.stores.store import StoreError
from peers.transport.port import Connection

PEER_PING_MS = 4_000
PEER_TIMEOUT_MS = 5_000
SLOW_BYTES_PER_MS = 32
"""Of a link so slow that a run that does not fit in its window needs more patience."""
FOR_CLIENTS = ("in_filter", "out_filter", "in_map", "out_map", "fix_time", "synced", "other_synced", "protocol")
"""Options of clients and servers that make no sense here."""
ASK_AGAIN_MS = 100.0
"""Pause before the other end is asked again, after an answer that does not decide a check."""


def no_gathering() -> float:
    """The `gather_ms` of a node with few neighbours: it sends at once what it has to tell."""
    return 0.0


def nothing_held(_node_id: str | None) -> Sequence[str]:
    """The `held` of a node that has no other connections."""
    return ()


class RunSession(SessionMessages):
    """All of RunPeerSync but what goes over the link between the greeting and its end."""

    __slots__ = (
        *("_apart", "_gather_ms", "_greeting", "_held", "_is_greeted", "_is_settled", "_is_stepping", "_ours"),
        *("_progress", "_replication", "behind", "boot", "clock_ahead_ms", "connection_id", "release", "runs"),
    )

    _replication: Replication
    """Made for each link."""

    def __init__(
        self,
        node_id: str,
        log: RunLog,
        connection: Connection,
        *,
        boot: str = "",
        release: str = "",
        held: Callable[[str | None], Sequence[str]] = nothing_held,
        gather_ms: Callable[[], float] = no_gathering,
        timeout: int | None = PEER_TIMEOUT_MS,
        ping: int | None = PEER_PING_MS,
        **options: Any,
    ) -> None:
        """`boot` is the random id of this run (made here if empty); `release` is that of this software; `held` names the
        connections held with a node; `gather_ms` says how long to gather, now, what came from others.
        """
        for name in FOR_CLIENTS:
            if options.pop(name, None):
                raise ValueError(
                    f"{name} is for clients and servers: nodes keep the same events, and say what they have"
                )
        self.runs = log
        self._progress = LinkProgress()
        super().__init__(node_id, cast(SyncLog, log), connection, timeout=timeout, ping=ping, **options)
        self.reading.on_life = self._show_life
        self.boot = boot or f"{self.random.getrandbits(64):016x}"
        self.release = release
        self.connection_id = ""
        self._greeting: Greeting | None = None
        """The greeting of the other end, until it is decided whether to accept it."""
        self._held = held
        self._gather_ms = gather_ms
        self.behind = Behind()
        """Since when the other end lacks events, on this link or on the last one."""
        self._begin_link()
        self.state = self.state_offline()

    @property
    def other_hello(self) -> Greeting | None:
        """What the other end's greeting said of it, without what it said of its log; None until then."""
        return self.other_options.runs if isinstance(self.other_options, RunOptions) else None

    def make_dialect(self) -> RunProtocol:
        return RunProtocol()

    def _begin_link(self) -> None:
        """Reset what is known of the link: it has just begun."""
        self._progress = LinkProgress(self._progress.synced)
        self._greeting = None
        self._is_greeted = False
        """Whether the other end, which dialled, has greeted."""
        self._is_settled = False
        """Whether it is known what the other end has."""
        self._is_stepping = False
        self._apart = ClockOffset(self.clock)
        self.clock_ahead_ms: int | None = None
        """By how much the other end's clock is ahead of ours, as it said at the greeting."""

    # What others ask

    @property
    def synced(self) -> int:
        """The position of our log up to which the other end has confirmed all, on this link or the last one."""
        return self._progress.synced

    @property
    def lag(self) -> int:
        """Changes of our log that the other end has not confirmed yet, at most."""
        return self.runs.state.last_position - self.synced

    @property
    def in_flight_count(self) -> int:
        """Messages with entries that were sent and are not acknowledged yet: at most WINDOW."""
        return len(self._progress.in_flight)

    @property
    def taking_count(self) -> int:
        """Messages with entries that came and are not committed yet: at most WINDOW."""
        return len(self._progress.taking)

    @property
    def missing(self) -> int:
        """Entries that the other end had at its greeting and this node lacks, at most."""
        return self._progress.missing(self.runs.ends)

    @property
    def is_owing(self) -> bool:
        """Whether an end of this link, or of the last one, still has to get something that the other end has."""
        return bool(self._progress.in_flight) or self.missing > 0

    @property
    def is_stalled(self) -> bool:
        """Whether nothing moved on this link, or on the last one, though something was to be sent."""
        return not self._progress.has_moved and self.is_owing

    @property
    def awaited(self) -> int | None:
        """How many changes of the other end's log the open checks wait for, at most; None: it has not answered yet."""
        return self._progress.checks.awaited(self._progress.heard)

    def check(self, position: int) -> Later[None]:
        """Resolves once the other end has confirmed our log up to `position`, and all that it holds now is committed here.

        Fails with ConnectionError without a link, or when the link ends before that.
        """
        if not self.authenticated or not self.connected:
            return Later.failed(ConnectionError("there is no connection"))
        check = self._progress.checks.begin(position)
        self._ask(self._link)
        return check.done

    def sign_of_life(self) -> Later[None]:
        """Resolves when the other end has answered a ping that is sent after this call.

        Fails with ConnectionError without a link, or when it ends before that: without an answer it ends by its timeout.
        """
        if not self.authenticated or not self.connected:
            return Later.failed(ConnectionError("there is no connection"))
        sign = self._progress.checks.sign_of_life()
        self._ask(self._link)
        return sign

    @property
    def key(self) -> bytes:
        return self.runs.pen.signer.public

    @property
    def epoch(self) -> Epoch | None:
        return self.runs.state.epoch

    @property
    def ends(self) -> Ends:
        return self.runs.ends

    # The greeting

    def on_connect(self) -> None:
        super().on_connect()
        self.behind = Behind()
        self._begin_link()
        if self.connection.dialled:
            self.connection_id = f"{self.random.getrandbits(64):016x}"
            self.emitter.emit("dialled")
            self.send_connect()
        else:
            self.start_timeout()

    def _send_connect(self) -> None:
        self._greet(self.other_node_id, None, self._say_connect)

    def _say_connect(self, greeting: Greeting) -> None:
        self.connect_sent_at = self.clock.now_ms()
        greeting = structs.replace(greeting, clock_ms=self.connect_sent_at)
        self.start_timeout()
        self.send(RunConnect(self.protocol, self.node_id, options=self._run_options(greeting)))

    def connect_message(self, protocol: Version, node_id: str, synced: int, options: Any) -> None:
        if self.connection.dialled:
            raise self.error("wrong-format", "`connect` from the end that was dialled")
        self._check_greeting(protocol, node_id)
        greeting = self._greeting_of(options)
        if self._is_greeted:
            raise self.error("wrong-format", "a second greeting on one connection")
        self._is_greeted = True
        if greeting.clock_ms:
            self.clock_ahead_ms = greeting.clock_ms - self.clock.now_ms()
        self.end_timeout()
        self.connection_id = greeting.connection

        def greet(ours: Greeting) -> None:
            self._ours = ours
            meet(protocol, node_id, synced, options)

        meet = super().connect_message
        self._greet(node_id, greeting.key or None, greet)

    def send_connected(self, came_at: int) -> None:
        answered_at = max(came_at, self.clock.now_ms())
        options = self._run_options(self._ours)
        self.send(RunConnected(self.protocol, self.node_id, (came_at, answered_at), options))

    def connected_message(self, protocol: Version, node_id: str, times: tuple[int, int], options: Any) -> None:
        if not self.connection.dialled:
            raise self.error("wrong-format", "`connected` from the end that dialled")
        self._apart.on_answer(self.connect_sent_at, *times)
        self.clock_ahead_ms = times[1] - self.clock.now_ms()
        super().connected_message(protocol, node_id, times, options)

    def _meet(self, protocol: Version, node_id: str, options: Any) -> None:
        self._check_greeting(protocol, node_id)
        greeting = self._greeting = self._greeting_of(options)
        # With many neighbours what it says of a log is the larger part of a session: it is kept until it was read.
        brief = structs.replace(greeting, newest={}, yours={}, hollow=None)
        super()._meet(protocol, node_id, structs.replace(options, runs=brief))

    def on_authenticated(self) -> None:
        greeting, self._greeting = self._greeting, None
        assert greeting is not None
        self._progress.other_last = greeting.last_position
        self._tell_apart()
        self._with_peer(partial(self._replication.meet, greeting))

    def _greet(self, node_id: str | None, other_key: bytes | None, then: Callable[[Greeting], None]) -> None:
        """Make our greeting for a node, as far as it is known which one that is."""
        held = tuple(self._held(node_id))[:MAX_HELD]
        names = {"boot": self.boot, "release": self.release, "connection": self.connection_id, "held": held}
        self._replication.greet(then, other_key, **names, key=self.key, reads_summaries=self.reads_summaries())

    def _run_options(self, greeting: Greeting) -> RunOptions:
        return RunOptions(subprotocol=self.subprotocol, token=self._shown, runs=greeting)

    def _greeting_of(self, options: Any) -> Greeting:
        if not isinstance(options, RunOptions) or options.runs is None:
            raise self.error("wrong-format", "a greeting without the option `runs`: only nodes are served here")
        return options.runs

    def reads_summaries(self) -> bool:
        """Hook: whether the other end may send `summaries`."""
        return False

    # Time, signs of life and state

    def note_answer(self, answer_ms: float) -> None:
        self._progress.patience.note(answer_ms)

    def patience_ms(self) -> float:
        """Runs are sent whole, so more bytes than the window may be on their way: these get more time."""
        beyond = self._progress.bytes_in_flight - self._progress.pace.window
        return self._progress.patience.limit_ms(super().patience_ms()) + max(0, beyond) / SLOW_BYTES_PER_MS

    def told_of(self, trouble: StoreError) -> str | None:
        return trouble.brief or None

    def state_offline(self) -> State:
        return "wait" if self.lag > 0 else "disconnected"

    def sent_up_to(self) -> int:
        return self._replication.position

    def on_silence(self) -> None:
        """Send a ping also while a long message comes in over a slow link: else the other end would get nothing from us."""
        if self._is_pinging and self._last_sign > self._last_traffic:
            self.send_ping_again()
        else:
            super().on_silence()

    def _show_life(self) -> None:
        if self.authenticated and self.connected:
            self.send_ping_again()

    def send_ping_again(self) -> None:
        self._progress.checks.on_ping()
        super().send_ping_again()

    def send_pong(self) -> None:
        last, walked = self.runs.state.last_position, self._replication.position
        self.send(Pong(walked, last if last > walked else 0))

    def pong_message(self, added: int, last_position: int = 0) -> None:
        super().pong_message(added)
        self._progress.on_pong(added, last_position)
        self._settle()
        if self._progress.checks.needs_ping:
            self.call_later(ASK_AGAIN_MS, partial(self._ask, self._link))

    def on_other_sent(self, added: int) -> None:
        self._apart.on_sign()
        self._progress.heard = max(self._progress.heard, added)
        self._show_state()

    def _ask(self, link: int) -> None:
        if self._link == link and self._progress.checks.needs_ping and not self._is_pinging:
            self._guard(self.send_ping)

    def _tell_apart(self) -> None:
        span = self._apart.news()
        if span is not None:
            self.emitter.emit("apart", span)

    def _show_state(self) -> None:
        if not self.connected:
            if self.state != "connecting":
                self.set_state(self.state_offline())
        elif self.authenticated:
            # the cheap question first: while events are sent, it is the answer
            is_sent = self._replication.position >= self.runs.state.last_position and self._replication.is_idle
            self.set_state("synchronized" if is_sent and not self.missing else "sending")

    def _forget_link(self) -> None:
        super()._forget_link()
        self._progress.checks.end()

    def _settle(self) -> None:
        """After anything was sent, confirmed, committed or found out, or our log grew: update `synced`, checks and state."""
        if not self.authenticated or not self.connected:
            return
        if self._replication.is_settled:
            progress = self._progress
            before = progress.synced
            progress.settle(self._replication.position)
            self.behind.note(progress.synced, self.runs.state.last_position, self.clock.elapsed_ms())
            if progress.synced != before:
                self.emitter.emit("synced")
        self._show_state()

    def _with_peer(self, step: Callable[[], None]) -> None:
        """Run a step of Replication, then update what depends on it; steps that it causes meanwhile share that update."""
        is_first, self._is_stepping = not self._is_stepping, True
        try:
            step()
        except BadPeer as bad:
            raise self.error("wrong-format", str(bad)) from None
        finally:
            self._is_stepping = not is_first
        view = self._replication.other.view
        if view is not None and not self._is_settled:
            self._is_settled = True
            self._progress.on_view(view.exceptions())
        if not is_first:
            return
        if self._replication.is_full:
            self.reading.pause("disk")
        else:
            self.reading.resume("disk")
        self._settle()
