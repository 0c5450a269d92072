"""Room: the world of a story about replication: homes with real stores, links of queues, one message a step."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from peers.events.epoch import NONCE_BYTES
from peers.events.signature import KeySigner
from peers.stores.run_store import RunState, RunStore
from peers.stores.store import StoreError
from peers.stores.taken import Taken


class Broken(AssertionError):
    """A promise was broken: the first argument says which."""


def must(is_so: object, *what: object) -> None:
    if not is_so:
        raise Broken(*what)


class Room:
    """What no home may look at: the dice, which disks fail, and what is counted."""

    def __init__(self, rnd: Random) -> None:
        self.rnd = rnd
        self.disk_errors = 0.0
        self.reads_at_once = False
        """Whether a store that has nothing to do answers before `read` returns, as a tail in memory does."""
        self.most_steps = 0
        self.is_coded = False
        """Whether messages pass the codec, which takes time."""
        self.now = 0
        self.count: Counter[str] = Counter()
        self.resumed: Counter[bytes] = Counter()
        """How often a node with this key went on in an epoch with the disk and memory of a while ago."""
        self.adoption_limit = 0
        self.doubtful: set[bytes] = set()
        """Keys that may have signed two histories: of copied homes that run, resumed snapshots and villains."""

    def key(self) -> KeySigner:
        return KeySigner.from_seed(self.rnd.randbytes(32))

    def nonce(self) -> bytes:
        return self.rnd.randbytes(NONCE_BYTES)


class Wire:
    """A link: two queues, and both are gone when it ends."""

    def __init__(self) -> None:
        self.is_up = True
        self.ends: tuple[Any, ...] = ()
        self.queues: dict[object, list[Any]] = {}


class Mailbox:
    """The asynchronous store of a home: what is asked is done in order, and what came of it is heard in order, later."""

    def __init__(
        self, room: Room, store: RunStore, on_commit: Callable[[tuple[Sequence[Taken], RunState]], None]
    ) -> None:
        self.room = room
        self.store = store
        self._on_commit = on_commit
        self._asked: deque[tuple[Any, bool, Callable[[RunStore], Any], Callable[[Any], None]]] = deque()
        self._turns: deque[tuple[Any, Callable[[Any], None], Any]] = deque()

    @property
    def is_busy(self) -> bool:
        return bool(self._asked or self._turns)

    def ask(self, asker: Any, work: Callable[[RunStore], Any], then: Callable[[Any], None], *, writes: bool) -> None:
        """`asker` is None, or has `is_open`, `guard(function, value)` and `on_disk_error()`."""
        if self.room.reads_at_once and not writes and not self.is_busy:
            then(work(self.store))
        else:
            self._asked.append((asker, writes, work, then))

    def step(self) -> None:
        """The store does the oldest work, or a node hears what came of an earlier one."""
        if self._turns and (not self._asked or self.room.rnd.random() < 0.5):
            asker, then, value = self._turns.popleft()
            if asker is None:
                then(value)
            elif asker.is_open:
                asker.guard(then, value)
            return
        asker, writes, work, then = self._asked.popleft()
        if not writes:
            self._turns.append((asker, then, work(self.store)))
            return
        try:
            with self.store.transaction():
                takens = work(self.store)
                if asker is not None and self.room.rnd.random() < self.room.disk_errors:
                    raise StoreError("the disk is full")
        except StoreError:
            self.room.count["disk errors"] += 1
            asker.on_disk_error()
            return
        self._turns.append((None, self._on_commit, (takens, self.store.state)))
        self._turns.append((asker, then, takens))


def shuffled(rnd: Random, values: Any) -> list[Any]:
    """The same in another order."""
    return rnd.sample(list(values), len(list(values)))
