"""A machine is set back to a snapshot while its process goes on: both of its histories reach all nodes."""

from __future__ import annotations

from copy import deepcopy
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.clock import ManualClock
from peers.events.created import Created
from peers.events.version_vector import Dot, VersionVector, lineage
from peers.log.log import Published
from peers.roles.peer import RELAY_MS
from peers.stores.memory import MemoryStore
from tests.support.pair import NOW_MS, HeldDisk, Pair, PairLog, open_log

NAMES = "abcd"
QUIET_ROUNDS = 20


class House:
    """Nodes whose machines can be set back, and links between them."""

    def __init__(self, count: int = 3) -> None:
        self.clock = ManualClock(NOW_MS)
        self.names = NAMES[:count]
        self.logs: dict[str, PairLog] = {name: open_log(name, self.clock) for name in self.names}
        self.snapshots = {name: self._snapshot(name) for name in self.names}
        self.pairs: dict[tuple[str, str], Pair] = {}
        self.lives = 0
        self.count = 0

    # Steps

    def add(self, name: str, other: str = "") -> None:
        """Not beyond what others know of its epoch: otherwise no node could notice that it was set back."""
        log = self.logs[name]
        epoch = log.published.epoch
        mine = log.published.state.vector.highest(epoch)
        if mine < self._highest(name, epoch) <= mine + 1:
            return
        self.count += 1
        log.add({"type": f"{name}{self.count}"})

    def connect(self, one: str, other: str) -> None:
        if one != other:
            self.cut(one, other)
            left, right = ({"node_id": name, "log": self.logs[name]} for name in (one, other))
            self.pairs[one, other] = Pair(clock=self.clock, left=left, right=right, timeout=None, ping=None).connect()
            self.clock.advance(RELAY_MS)

    def cut(self, one: str, other: str) -> None:
        for key in ((one, other), (other, one)):
            if key in self.pairs:
                self.pairs.pop(key).destroy()

    def meet(self, one: str, other: str) -> None:
        self.connect(one, other)
        self.cut(one, other)

    def keep(self, name: str, other: str = "") -> None:
        self.snapshots[name] = self._snapshot(name)

    def roll_back(self, name: str, other: str = "") -> None:
        """The store and the epoch are those of the snapshot, and every link is lost."""
        self.clock.advance(1_000)
        store, epoch = deepcopy(self.snapshots[name])
        self._begin(name, store)
        self.logs[name].published = Published(store.state, epoch)

    def restart(self, name: str, other: str = "") -> None:
        """Not before others have noticed that it was set back: epochs of earlier runs are not compared."""
        log = self.logs[name]
        if self._highest(name, log.published.epoch) <= log.published.state.vector.highest(log.published.epoch):
            assert isinstance(log.store, MemoryStore)
            log.store.close()  # a renewal that no other node can know of is forgotten
            self._begin(name, log.store)

    # The end

    @property
    def known(self) -> dict[Created, str]:
        return {entry.created: entry.event["type"] for log in self.logs.values() for entry in log.entries}

    def settle(self) -> None:
        """Connect all nodes until no event is new."""
        for _ in range(QUIET_ROUNDS):
            before = [(log.published, log.store.state) for log in self.logs.values()]
            for one in self.names:
                for other in self.names:
                    self.meet(one, other)
            if before == [(log.published, log.store.state) for log in self.logs.values()]:
                return
        raise AssertionError("it does not go quiet")

    def check(self, known: dict[Created, str]) -> None:
        first, *others = [[(each.created, each.time, each.body) for each in log.entries] for log in self.logs.values()]
        assert all(shown == first for shown in others)
        assert first == sorted(first, key=lambda item: (item[1], item[0]))
        assert [created for created, _, _ in first] == sorted(known)
        states = [log.published.state for log in self.logs.values()]
        assert all(state.vector == states[0].vector for state in states)
        assert all(state.conflicts == 0 and state.events == state.last_added == len(known) for state in states)
        for log in self.logs.values():
            dots = [entry.dot for entry in log.store.page(0, limit=10**6, max_bytes=10**9).entries]
            assert VersionVector().adds(dot for dot in dots if dot) == states[0].vector
            assert log.published.state == log.store.state
            assert log.store.first_lacked(states[0].vector) == log.store.state.last_position + 1

    @property
    def is_unnoticed(self) -> bool:
        """Whether a dot still stands for two events, in an epoch that its node continues.

        That is the limit of the promise: a node that holds more of an epoch than its owner reveals the rollback. When all
        such nodes are set back too, or the owner has caught up with them, it cannot be noticed.
        """
        meanings: dict[Dot, Created] = {}
        for log in self.logs.values():
            for entry in log.store.page(0, limit=10**6, max_bytes=10**9).entries:
                if entry.dot and meanings.setdefault(entry.dot, entry.created) != entry.created:
                    return True
        return False

    def _begin(self, name: str, store: MemoryStore) -> None:
        for other in self.names:
            self.cut(name, other)
        self.lives += 1
        self.logs[name] = open_log(name, self.clock, store=store, seed=self.lives)

    def _snapshot(self, name: str) -> tuple[MemoryStore, str]:
        store = self.logs[name].store
        assert isinstance(store, MemoryStore)
        return deepcopy(store), self.logs[name].published.epoch

    def _highest(self, name: str, epoch: str) -> int:
        """The most that others claim of an epoch of its."""
        return max(log.published.state.vector.highest(epoch) for other, log in self.logs.items() if other != name)


def lived(house: House, *steps: tuple[str, str]) -> House:
    for step, names in steps:
        getattr(house, step)(*names)
    return house


def a_is_rolled_back(house: House, *, kept: int = 3, lost: int = 4) -> None:
    """What `a` wrote after its snapshot is known to `b` alone."""
    lived(house, *[("add", "a")] * kept, ("meet", "ab"), ("meet", "bc"), ("keep", "a"))
    lived(house, *[("add", "a")] * lost, ("meet", "ab"), ("roll_back", "a"))


@pytest.mark.parametrize(
    "meetings",
    [
        ["ab", "ac", "bc"],
        ["ab", "bc", "ac"],
        ["ac", "ab", "bc"],
        ["ac", "bc", "ab"],
        ["bc", "ab", "ac"],
        ["bc", "ac", "ab"],
    ],
)
def test_both_histories_of_a_rolled_back_node_reach_all_nodes_in_any_order_of_meeting(meetings: list[str]) -> None:
    house = House()
    a_is_rolled_back(house)
    lived(house, ("add", "a"), ("add", "a"))
    known = house.known
    assert len(known) == 9

    lived(house, *[("meet", names) for names in meetings])
    assert house.known == known
    house.settle()

    house.check(known)


def test_a_node_that_got_the_other_history_under_the_same_dots_gets_both() -> None:
    house = House()
    a_is_rolled_back(house)
    lived(house, ("add", "a"), ("add", "a"), ("meet", "ac"))
    forked = house.logs["c"].published.state.vector
    assert forked.covers_all(VersionVector({house.logs["a"].published.epoch: [(4, 5)]}))

    lived(house, ("meet", "ab"), ("meet", "ab"), ("meet", "ac"))

    assert len(house.logs["c"].types) == 9


def test_a_rollback_is_noticed_by_relayed_events_too() -> None:
    house = House()
    a_is_rolled_back(house)
    old = house.logs["a"].published.epoch
    lived(house, ("add", "a"), ("connect", "ac"), ("connect", "bc"))
    known = house.known

    house.clock.advance(10 * RELAY_MS)

    assert house.logs["a"].published.epoch != old
    house.settle()
    house.check(known)


def test_three_histories_under_one_dot_reach_all() -> None:
    house = House(4)
    a_is_rolled_back(house)
    lived(house, ("add", "a"), ("meet", "ac"), ("roll_back", "a"), ("add", "a"), ("meet", "ad"), ("roll_back", "a"))
    lived(house, ("add", "a"), ("meet", "ab"))
    known = house.known

    house.settle()

    assert len(known) == 10
    house.check(known)


def test_after_a_rollback_all_nodes_have_dots_of_the_renewed_epoch_only() -> None:
    house = House()
    a_is_rolled_back(house)
    old = house.logs["a"].published.epoch

    house.settle()

    for log in house.logs.values():
        dots = [entry.dot for entry in log.store.page(0).entries]
        assert {dot[0] for dot in dots if dot} == {house.logs["a"].published.epoch}
        assert lineage(log.published.state.vector.ranges.popitem()[0]) == (old, 1)


def test_lost_events_return_although_the_node_is_killed_meanwhile() -> None:
    house = House()
    a_is_rolled_back(house)
    lived(house, ("add", "a"), ("meet", "ac"), ("meet", "ab"), ("restart", "a"))
    known = house.known

    house.settle()

    house.check(known)


def test_a_renewal_that_no_other_node_has_seen_is_forgotten_with_its_process() -> None:
    house = House()
    lived(house, ("add", "c"), ("meet", "ac"), ("roll_back", "c"), ("meet", "ac"), ("restart", "c"))
    known = house.known

    house.settle()

    assert len(known) == 1
    house.check(known)


def test_one_renewal_is_enough_for_all_links_while_the_disk_works() -> None:
    store = MemoryStore()
    disk = HeldDisk(store)
    log = open_log("a", ManualClock(NOW_MS), store=store, disk=disk)

    first, second = log.renew_epoch(), log.renew_epoch()
    disk.release()

    assert first.is_done and second.is_done
    assert lineage(log.published.epoch)[1] == 1


def test_a_renewal_emits_change_although_nothing_was_written_before() -> None:
    log = open_log("a", ManualClock(NOW_MS))
    told: list[str] = []
    log.on("change", lambda: told.append(log.published.epoch))

    log.renew_epoch()

    assert told == [log.published.epoch]


COMMON = ["add", "add", "add", "meet", "connect"]
RARE = ["cut", "keep", "roll_back", "restart"]

names = st.sampled_from(NAMES[:3])
steps = st.lists(
    st.tuples(st.sampled_from(COMMON), names, names)
    | st.tuples(st.sampled_from(COMMON), names, names)
    | st.tuples(st.sampled_from(RARE), names, names),
    max_size=60,
)
one_machine = st.lists(st.tuples(st.sampled_from(COMMON), names, names), max_size=40)


@given(prefix=one_machine, lost=one_machine, since=one_machine)
@settings(max_examples=150, deadline=None)
def test_all_nodes_show_both_histories_once_and_in_one_order(
    prefix: list[tuple[str, str, str]], lost: list[tuple[str, str, str]], since: list[tuple[str, str, str]]
) -> None:
    house = House()

    for happening, then in ((prefix, "keep"), (lost, "roll_back"), (since, "")):
        for step, *places in happening:
            getattr(house, step)(*places)
        if then:
            getattr(house, then)("a")
    known = house.known
    house.settle()

    house.check(known)


@given(steps)
@settings(max_examples=150, deadline=None)
def test_all_nodes_agree_when_several_are_rolled_back_repeatedly(steps: list[tuple[str, str, str]]) -> None:
    house = House()

    for step, *places in steps:
        getattr(house, step)(*places)
    known = house.known
    house.settle()

    if not house.is_unnoticed:
        house.check(known)


@pytest.mark.parametrize("seed", range(12))
def test_all_nodes_agree_after_a_long_history_of_rollbacks_too(seed: int) -> None:
    random = Random(seed)
    house = House(2 + seed % 3)

    for _ in range(200):
        step = random.choice(RARE if random.random() < 0.15 else COMMON)
        getattr(house, step)(random.choice(house.names), random.choice(house.names))
    known = house.known
    house.settle()

    assert not house.is_unnoticed
    house.check(known)
