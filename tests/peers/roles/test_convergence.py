"""After any history of logs and links, all logs agree, and no acknowledged event is lost."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.clock import ManualClock
from peers.events.created import Created
from peers.events.signature import KeySigner
from peers.later import Later
from peers.roles.run_peer import RunPeerSync
from peers.roles.run_relaying import RELAY_MS
from peers.stores.runs.memory import MemoryRunStore
from peers.transport.local_pair import LocalPair
from tests.support.pair import NOW_MS, AskedLog, HeldDisk, Mailbox, open_log
from tests.support.seeds import seeds

NAMES = "abcde"
QUIET_ROUNDS = 1_000


class SlowPair(LocalPair):
    """A link on which frames wait until `pump`, and are lost at `cut`."""

    def soon(self, work: Callable[[], None]) -> None:
        self._queue.append(work)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def pump(self, count: int) -> None:
        for _ in range(min(count, len(self._queue))):
            self._queue.popleft()()

    def cut(self) -> None:
        self._queue.clear()
        self.left._is_opening = False  # a cut also while it opens, which no port of LocalPair offers
        self.left._close("cut")


class Room:
    """One node: a log, a disk that holds its work, and roles on its links."""

    def __init__(self, name: str, skew_ms: int) -> None:
        self.name = name
        self.clock = ManualClock(NOW_MS + skew_ms)
        self.lives = 0
        self.store = MemoryRunStore()
        self.snapshot = deepcopy(self.store)
        self.roles: dict[str, RunPeerSync] = {}
        self.mailboxes: dict[str, Mailbox] = {}
        self.begin(self.store)

    def begin(self, store: MemoryRunStore) -> None:
        """A new run on this store; what waited for the disk in the last run is lost."""
        self.lives += 1
        self.store = store
        self.disk = HeldDisk(store)
        log = open_log(self.name, self.clock, store=store, disk=self.disk, seed=self.lives, kind=AskedLog)
        assert isinstance(log, AskedLog)
        log.pen = log.pen._replace(signer=KeySigner.from_seed(self.name.encode() * 32))
        self.log = log

    @property
    def is_quiet(self) -> bool:
        """Whether it has nothing to do but to wait for its clock."""
        mail = any(mailbox.waiting for mailbox in self.mailboxes.values())
        return not (mail or self.disk.waiting or self.log.asked)

    def work(self, count: int) -> None:
        """Do some of the waiting work."""
        for mailbox in list(self.mailboxes.values()):
            mailbox.work(count)
        self.disk.release(count)
        self.log.answer(count)

    @property
    def known(self) -> dict[Created, bytes]:
        return {entry.created: entry.body for entry in self.store.each(limit=10**6)}


class House:
    """Rooms with links, some open, and a list of what was acknowledged."""

    def __init__(self, skews_ms: list[int]) -> None:
        self.rooms = {name: Room(name, skew) for name, skew in zip(NAMES, skews_ms, strict=False)}
        self.names = list(self.rooms)
        self.links: dict[tuple[str, str], SlowPair] = {}
        self.added: list[Later[Any]] = []
        self.gone: set[Created] = set()
        self.count = 0

    # Steps

    def add(self, place: int, kind: int) -> None:
        self.count += 1
        meta: dict[str, Any] | None = None
        name = f"e{self.count}"
        if kind % 4 == 0:  # a client that offers the same event here and there
            meta, name = {"created": (NOW_MS, "client", kind)}, f"same{kind}"
        if kind % 7 == 0:  # two clients under one id, with different events
            meta = {"created": (NOW_MS, "twins", kind), "time": NOW_MS}
        self.added.append(self._room(place).log.add({"type": name}, meta))

    def work(self, place: int, count: int) -> None:
        self._room(place).disk.release(count)

    def answer(self, place: int, count: int) -> None:
        self._room(place).log.answer(count)

    def connect(self, one: int, other: int) -> None:
        first, second = self._room(one).name, self._room(other).name
        if first == second or (second, first) in self.links:
            return
        if (first, second) not in self.links:
            self.links[first, second] = SlowPair()
            self._furnish((first, second))
        self._dial((first, second))

    def cut(self, place: int, _: int) -> None:
        if self.links:
            self._link(place).cut()

    def turn(self, place: int, count: int) -> None:
        for mailbox in self._room(place).mailboxes.values():
            mailbox.work(count)

    def deliver(self, place: int, count: int) -> None:
        if self.links:
            self._link(place).pump(count)

    def crash(self, place: int, _: int) -> None:
        self._restart(self._room(place), self._room(place).store)

    def wipe(self, place: int, _: int) -> None:
        self._restart(self._room(place), MemoryRunStore())

    def keep(self, place: int, _: int) -> None:
        room = self._room(place)
        room.snapshot = deepcopy(room.store)

    def restore(self, place: int, _: int) -> None:
        room = self._room(place)
        self._restart(room, deepcopy(room.snapshot))

    def wait(self, place: int, ms: int) -> None:
        self._room(place).clock.advance(ms)

    def flow(self, seed: int, _: int) -> None:
        """Some time passes in all rooms, and some frames arrive."""
        random = Random(seed)
        for room in self.rooms.values():
            room.clock.advance(random.choice([1, RELAY_MS, 2 * RELAY_MS]))
            room.work(random.choice(COUNTS))
        for link in self.links.values():
            link.pump(random.choice(COUNTS))

    # The end

    def settle(self) -> None:
        """Connect all rooms in a ring, and work until nothing is left to do."""
        for index in range(len(self.names)):
            self.connect(index, (index + 1) % len(self.names))
        for _ in range(QUIET_ROUNDS):
            for link in self.links.values():
                link.pump(1_000)
            for room in self.rooms.values():
                room.work(1_000)
            is_under_way = any(link.waiting for link in self.links.values())
            is_quiet = not is_under_way and all(room.is_quiet for room in self.rooms.values())
            if is_quiet and not self._wait_for_relays():
                return
        raise AssertionError("it does not go quiet")

    def _wait_for_relays(self) -> bool:
        """Dial closed links, or else advance the clocks if a room waits for its own. False if there is nothing to do."""
        is_more = False
        for key in self.links:
            is_more |= self._dial(key)
        for room in self.rooms.values():
            if room.clock.waiting:
                is_more = True
                room.clock.advance(RELAY_MS)
        return is_more

    def check(self) -> None:
        shown = {room.name: room.store.each(limit=10**6) for room in self.rooms.values()}
        first = [(entry.created, entry.time, entry.body) for entry in shown["a"]]
        for entries in shown.values():
            assert [(entry.created, entry.time, entry.body) for entry in entries] == first
            assert len({entry.created for entry in entries}) == len(entries)
        assert first == sorted(first, key=lambda item: (item[1], item[0]))
        known = {created for created, _, _ in first}
        for later in self.added:
            if later.is_done and later.exception is None and later.result() is not None:
                created = later.result()["created"]
                assert created in known or created in self.gone
        ends = [room.store.ends() for room in self.rooms.values()]
        assert all(each == ends[0] for each in ends)
        assert all(
            {epoch: room.log.ends.get(epoch) for epoch in room.log.ends} == ends[0] for room in self.rooms.values()
        )
        for room in self.rooms.values():
            assert room.clock.waiting == 0
            for role in room.roles.values():
                assert role.state == "synchronized" and role.lag == 0

    def _dial(self, key: tuple[str, str]) -> bool:
        """Open a link if it is closed and both ends have noticed that. True if it was dialled."""
        link = self.links[key]
        mail = any(self.rooms[name].mailboxes["".join(key)].waiting for name in key)
        if link.left.connected or link.left._is_opening or mail:
            return False
        link.left.connect()
        return True

    def check_claims(self) -> None:
        """Events that a role counts as confirmed are on the other end's disk."""
        for key in self.links:
            for name, other in (key, reversed(key)):
                role = self.rooms[name].roles["".join(key)]
                held = self.rooms[other].store.ends()
                if role.authenticated and role._is_settled:  # until then `synced` is that of the last link
                    for position, (epoch, seq), length, _ in self.rooms[name].store.changes(0, 10**6):
                        confirmed = min(length, role.synced - position + 1)
                        assert confirmed <= 0 or held[epoch].seq >= seq + confirmed - 1

    def _room(self, place: int) -> Room:
        return self.rooms[self.names[place % len(self.names)]]

    def _link(self, place: int) -> SlowPair:
        return list(self.links.values())[place % len(self.links)]

    def _restart(self, room: Room, store: MemoryRunStore) -> None:
        mine = [key for key in self.links if room.name in key]
        for key in mine:
            self.links[key].cut()
            for name in key:
                self.rooms[name].roles.pop("".join(key)).destroy()
                del self.rooms[name].mailboxes["".join(key)]
            self.links[key]._queue.clear()
        elsewhere = {created for other in self.rooms.values() if other is not room for created in other.known}
        store.open()
        left = {entry.created for entry in store.each(limit=10**6)}
        self.gone |= room.known.keys() - elsewhere - left
        room.begin(store)
        for key in mine:
            self.links[key] = SlowPair()
            self._furnish(key)

    def _furnish(self, key: tuple[str, str]) -> None:
        link = self.links[key]
        for name, connection in zip(key, (link.left, link.right), strict=True):
            room = self.rooms[name]
            random = Random(f"{name} {key} {room.lives}")
            mailbox = room.mailboxes["".join(key)] = Mailbox()
            room.roles["".join(key)] = RunPeerSync(
                name, room.log, connection, clock=room.clock, random=random, turn=mailbox.turn, timeout=None, ping=None
            )


COMMON = ["add", "add", "work", "answer", "deliver", "deliver", "turn", "turn", "connect", "flow"]
RARE = ["cut", "crash", "wipe", "keep", "restore", "wait"]
COUNTS = [0, 1, 2, 3, 4, 7, 100]

places = st.integers(0, 4)
common = st.tuples(st.sampled_from(COMMON), places, st.sampled_from(COUNTS))
timely = st.tuples(st.just("wait"), places, st.sampled_from([1, int(RELAY_MS), 100]))
rare = st.tuples(st.sampled_from(RARE), places, places)
steps = st.lists(common | common | timely | rare, max_size=80)


@given(st.lists(st.integers(-5_000, 5_000), min_size=2, max_size=5), steps)
def test_all_logs_agree_in_the_end_and_no_acknowledged_event_is_lost(
    skews_ms: list[int], steps: list[tuple[str, int, int]]
) -> None:
    house = House(skews_ms)

    for step, place, count in steps:
        getattr(house, step)(place, count)
        house.check_claims()
    house.settle()

    house.check()


@pytest.mark.parametrize("seed", seeds(24, always=6))
def test_all_logs_agree_after_a_long_history_too(seed: int) -> None:
    random = Random(seed)
    house = House([random.randint(-5_000, 5_000) for _ in range(2 + seed % 4)])
    losses = RARE if seed % 2 else ["cut", "wait"]

    for number in range(300):
        step = random.choice(losses if random.random() < 0.15 else COMMON)
        getattr(house, step)(number if step == "flow" else random.randrange(5), random.choice(COUNTS))
        house.check_claims()
        if random.random() < 0.02:
            house.settle()
    house.settle()

    house.check()
    assert len(house.rooms["a"].known) > 0
