"""Two real roles on one connection, with all their messages on record; and one role that faces a script."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal, NoReturn, TypeVar

from peers.clock import ManualClock, Undo
from peers.emitter import Emitter
from peers.events.created import HybridTimer
from peers.events.entry import Entry
from peers.events.epoch import KEY_BYTES
from peers.events.signature import KeySigner
from peers.later import Later
from peers.log.run_log import RunLog
from peers.log.run_tail import NotRecentError
from peers.roles.base import BaseSync
from peers.roles.run_peer import RunPeerSync
from peers.stores.disk import Disk, InlineDisk
from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.store import Page
from peers.transport.local_pair import LocalPair
from peers.transport.port import Connection

T = TypeVar("T")
Side = Literal["left", "right"]

NOW_MS = 1_000_000
SETTLE_ROUNDS = 10_000


class PairLog(RunLog):
    """A log that a test can look into."""

    store: RunStore

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.listeners: Counter[str] = Counter()
        """How many listeners each event has."""

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        self.listeners[event] += 1
        undo = super().on(event, listener)

        def count_and_undo() -> None:
            self.listeners[event] -= 1
            undo()

        return count_and_undo

    @property
    def types(self) -> list[str]:
        """The types of all events, in the order of every node."""
        return [entry.event["type"] for entry in self.entries]

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self.store.each(limit=1_000_000)


class AskedLog(PairLog):
    """A log that answers when `answer` is called, as a log in another mailbox answers later."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._asked: deque[Callable[[], None]] = deque()

    def recent(self, _after: int, **_options: Any) -> None:
        return None

    def page(self, after: int, **options: Any) -> Later[Page]:
        asked = super().page
        return self._later(lambda: asked(after, **options))

    def recall(self, _work: Callable[[RunStore], Any]) -> NoReturn:
        raise NotRecentError

    def read(self, work: Callable[[RunStore], T]) -> Later[T]:
        asked = super().read
        return self._later(lambda: asked(work))

    @property
    def asked(self) -> int:
        """How many questions have no answer yet."""
        return len(self._asked)

    def answer(self, count: int = 1_000_000) -> None:
        """Answer all questions, those that are asked meanwhile included, or the first `count`."""
        while self._asked and count:
            count -= 1
            self._asked.popleft()()

    def _later(self, ask: Callable[[], Later[T]]) -> Later[T]:
        later: Later[T] = Later()
        self._asked.append(lambda: ask().then(later.follow))
        return later


class Mailbox:
    """Where the reactions of one role wait for their turn, as those of an actor do: its `turn` is the role's option."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()

    def turn(self, reaction: Callable[..., None]) -> Callable[..., None]:
        return lambda *args: self.waiting.append(lambda: reaction(*args))

    def work(self, count: int = 1_000_000) -> None:
        """Run all waiting reactions, those that come meanwhile included, or the first `count`."""
        while self.waiting and count:
            count -= 1
            self.waiting.popleft()()


class HeldDisk:
    """A disk that keeps its work until it is released, as a slow one would."""

    def __init__(self, store: RunStore) -> None:
        self._disk = InlineDisk(store)
        self._waiting: deque[Callable[[], None]] = deque()
        self.is_holding = True

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiting)

    def run(self, work: Callable[[RunStore], T]) -> Later[T]:
        later: Later[T] = Later()
        self._waiting.append(lambda: self._disk.run(work).then(later.follow))
        if not self.is_holding:
            self.release()
        return later

    def release(self, pieces: int = 1_000_000) -> None:
        """Do the waiting work, or the first `pieces` of it."""
        for _ in range(min(pieces, len(self._waiting))):
            self._waiting.popleft()()

    def close(self) -> Later[None]:
        self.release()
        return self._disk.close()


def open_log(
    node_id: str,
    clock: ManualClock,
    *,
    store: RunStore | None = None,
    disk: Disk | None = None,
    seed: int = 0,
    kind: type[PairLog] = PairLog,
) -> PairLog:
    """A real log, in memory unless there is a store; its random numbers follow from the node's name and `seed`."""
    store = store or MemoryRunStore()
    store.close()  # it may be that of an earlier log
    state = store.open()
    timer = HybridTimer(node_id, clock.now_ms, after_ms=state.clock_ms)
    random = Random(f"{node_id} {seed}")
    signer = KeySigner.from_seed(random.randbytes(KEY_BYTES))
    disk = disk or InlineDisk(store)
    log = kind(disk, state, store.ends(), signer, node_id=node_id, timer=timer, clock=clock, random=random)
    log.store = store
    return log


class RecordedConnection:
    """A connection that records sent frames; while it is muted, they do not arrive."""

    proven_key = None

    def __init__(self, inner: Connection) -> None:
        self._inner = inner
        self._emitter = Emitter()
        self.sent: list[Any] = []
        self.is_muted = False
        self.pauses: list[str] = []
        self.listeners = 0

    @property
    def connected(self) -> bool:
        return self._inner.connected

    @property
    def dialled(self) -> bool:
        return self._inner.dialled

    @property
    def address(self) -> str:
        return self._inner.address

    def connect(self) -> None:
        self._inner.connect()

    def disconnect(self, reason: str = "") -> None:
        self._inner.disconnect(reason)

    def send(self, frame: bytes) -> None:
        self.sent.append(json.loads(frame))
        if not self.is_muted:
            self._inner.send(frame)

    def pause(self) -> None:
        self.pauses.append("pause")
        self._inner.pause()

    def resume(self) -> None:
        self.pauses.append("resume")
        self._inner.resume()

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        undos = self._inner.on(event, listener), self._emitter.on(event, listener)
        self.listeners += 1

        def count_and_undo() -> None:
            self.listeners -= 1
            for undo in undos:
                undo()

        return count_and_undo

    def emit(self, event: str, *args: Any) -> None:
        """Let an event of the connection happen that is not caused by its other end."""
        self._emitter.emit(event, *args)


class Pair:
    """`left` dials, `right` accepts. Both logs are named as their side; one clock drives everything."""

    def __init__(
        self,
        left_role: type[BaseSync] = RunPeerSync,
        right_role: type[BaseSync] = RunPeerSync,
        *,
        clock: ManualClock | None = None,
        left: dict[str, Any] | None = None,
        right: dict[str, Any] | None = None,
        **both: Any,
    ) -> None:
        """Options of `left` and `right` are those of the roles, and `node_id`, `store`, `disk`, `log`, `seed`, `clock`."""
        self.clock = clock or ManualClock(NOW_MS)
        self.local = LocalPair()
        self.left_connection = RecordedConnection(self.local.left)
        self.right_connection = RecordedConnection(self.local.right)
        self.left_errors: list[str] = []
        self.right_errors: list[str] = []
        self.left: Any = self._make(left_role, "left", self.left_connection, {**both, **(left or {})})
        self.right: Any = self._make(right_role, "right", self.right_connection, {**both, **(right or {})})
        self._undo_serve: Undo = lambda: None

    def _make(self, role: type[BaseSync], side: str, connection: Connection, options: dict[str, Any]) -> BaseSync:
        node_id = options.pop("node_id", side)
        seed = options.pop("seed", 0)
        store, disk, log = (options.pop(name, None) for name in ("store", "disk", "log"))
        clock = options.pop("clock", self.clock)
        log = log or open_log(node_id, clock, store=store, disk=disk, seed=seed)
        return role(node_id, log, connection, clock=clock, random=Random(f"{side} {seed}"), **options)

    def serve(self, role: type[BaseSync], **options: Any) -> None:
        """Accept each connection that is opened from now on with a new role on the right; only the last call counts."""
        self._undo_serve()
        self.right.destroy()
        options = {"log": self.right.log, **options}

        def accept() -> None:
            self.right = self._make(role, "right", self.right_connection, {**options})
            self.right.catch(lambda error: self.right_errors.append(str(error)))

        self._undo_serve = self.local.right.on("connect", accept)

    @property
    def left_sent(self) -> list[Any]:
        return self.left_connection.sent

    @property
    def right_sent(self) -> list[Any]:
        return self.right_connection.sent

    def catch(self) -> Pair:
        """Collect the errors of both sides instead of raising them."""
        self.left.catch(lambda error: self.left_errors.append(str(error)))
        self.right.catch(lambda error: self.right_errors.append(str(error)))
        return self

    def connect(self) -> Pair:
        self.left_connection.connect()
        return self

    def meet(self) -> Pair:
        """Connect, exchange greetings, and clear the records."""
        self.connect()
        assert self.left.authenticated and self.right.authenticated
        self.forget()
        return self

    def forget(self) -> None:
        """Clear the records."""
        self.left_sent.clear()
        self.right_sent.clear()

    def mute(self, side: Side) -> None:
        """From now on no frame of this side arrives."""
        self._connection(side).is_muted = True

    def unmute(self, side: Side) -> None:
        self._connection(side).is_muted = False

    def cut(self) -> None:
        """The link is lost, and both ends notice it."""
        self.local.left.disconnect("cut")

    def say(self, side: Side, *items: Any) -> None:
        """Send any message in the name of the side's role."""
        self._connection(side).send(json.dumps(items).encode())

    def destroy(self) -> None:
        self.left.destroy()
        self.right.destroy()

    def _connection(self, side: Side) -> RecordedConnection:
        return self.left_connection if side == "left" else self.right_connection


class Stranger:
    """A scripted end: it sends what the test says to a real role that accepted (or dialled) it."""

    def __init__(
        self,
        role: type[BaseSync] = RunPeerSync,
        *,
        dials: bool = True,
        connects: bool = True,
        catches: bool = True,
        **options: Any,
    ) -> None:
        self.clock = options.pop("clock", None) or ManualClock(NOW_MS)
        local = LocalPair()
        self.theirs = local.left if dials else local.right
        self.connection = RecordedConnection(local.right if dials else local.left)
        self.dialler = local.left
        self.reasons: list[str] = []
        self.theirs.on("disconnect", self.reasons.append)
        self.errors: list[Any] = []
        store, disk = options.pop("store", None), options.pop("disk", None)
        log = options.pop("log", None) or open_log("home", self.clock, store=store, disk=disk)
        self.role: Any = role("home", log, self.connection, clock=self.clock, random=Random("home"), **options)
        if catches:
            self.role.catch(self.errors.append)
        if connects:
            local.left.connect()

    @property
    def log(self) -> PairLog:
        log: PairLog = self.role.log
        return log

    @property
    def heard(self) -> list[Any]:
        """What the role sent."""
        return self.connection.sent

    @property
    def connected(self) -> bool:
        return self.theirs.connected

    def say(self, *items: Any) -> Stranger:
        return self.say_raw(json.dumps(items).encode())

    def say_raw(self, frame: bytes) -> Stranger:
        self.theirs.send(frame)
        return self

    def trickle(self) -> None:
        """A few bytes arrive, and no whole frame."""
        self.connection.emit("activity")


def sentences(errors: Sequence[Any]) -> list[str]:
    return [str(error) for error in errors]


def fill(log: PairLog, count: int, prefix: str = "e") -> list[str]:
    names = [f"{prefix}{number:05}" for number in range(count)]
    log.add_batch([({"type": name}, None) for name in names])
    return names


def syncs(sent: list[Any]) -> list[Any]:
    return [message for message in sent if message[0] == "sync"]


def sent_types(sent: list[Any]) -> list[list[str]]:
    """The types of the events of each `sync`."""
    return [[event["type"] for event in message[2::2]] for message in syncs(sent)]
