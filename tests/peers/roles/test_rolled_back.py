"""A machine is set back to a snapshot while its process goes on: both of its histories reach all nodes."""

from __future__ import annotations

from copy import deepcopy
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.clock import ManualClock
from peers.events.created import Created, HybridTimer
from peers.events.epoch import KEY_BYTES
from peers.events.signature import KeySigner
from peers.roles.run_relaying import RELAY_MS
from peers.stores.disk import InlineDisk
from peers.stores.runs.memory import MemoryRunStore
from tests.support.neighbour import messages
from tests.support.pair import NOW_MS, Pair, PairLog
from tests.support.seeds import seeds

NAMES = "abcd"
QUIET_ROUNDS = 20


class House:
    """Nodes whose machines can be set back, and links between them."""

    def __init__(self, count: int = 3) -> None:
        self.clock = ManualClock(NOW_MS)
        self.names = NAMES[:count]
        self.lives = 0
        self.count = 0
        self.logs: dict[str, PairLog] = {}
        self.pairs: dict[tuple[str, str], Pair] = {}
        self.errors: list[str] = []
        for name in self.names:
            self._begin(name, MemoryRunStore(), opens=True)
        self.snapshots = {name: self._snapshot(name) for name in self.names}

    # Steps

    def add(self, name: str, other: str = "") -> None:
        self.count += 1
        self.logs[name].add({"type": f"{name}{self.count}"})

    def connect(self, one: str, other: str) -> None:
        if one == other:
            return
        self.cut(one, other)
        left, right = ({"node_id": name, "log": self.logs[name]} for name in (one, other))
        pair = Pair(clock=self.clock, left=left, right=right, timeout=None, ping=None)
        pair.left_errors = pair.right_errors = self.errors
        self.pairs[one, other] = pair.catch().connect()
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
        self._begin(name, deepcopy(self.snapshots[name]), opens=False)

    def restart(self, name: str, other: str = "") -> None:
        store = self.logs[name].store
        assert isinstance(store, MemoryRunStore)
        store.close()
        self._begin(name, store, opens=True)

    def adopt(self, name: str, other: str = "") -> None:
        log = self.logs[name]
        while log.write(lambda store: [store.adopt(log.pen)]).get()[0].is_unfinished:
            pass

    # The end

    @property
    def known(self) -> dict[Created, str]:
        return {entry.created: entry.event["type"] for log in self.logs.values() for entry in log.entries}

    def settle(self) -> None:
        """Connect all nodes until nothing is new."""
        for _ in range(QUIET_ROUNDS):
            before = [(log.store.ends(), log.store.state) for log in self.logs.values()]
            for one in self.names:
                for other in self.names:
                    self.meet(one, other)
                self.adopt(one)
            if before == [(log.store.ends(), log.store.state) for log in self.logs.values()]:
                return
        raise AssertionError("it does not go quiet")

    def check(self, known: dict[Created, str]) -> None:
        first, *others = [[(each.created, each.time, each.body) for each in log.entries] for log in self.logs.values()]
        assert all(shown == first for shown in others)
        assert first == sorted(first, key=lambda item: (item[1], item[0]))
        assert [created for created, _, _ in first] == sorted(known)
        ends = [log.store.ends() for log in self.logs.values()]
        assert all(each == ends[0] for each in ends)
        for log in self.logs.values():
            state = log.state
            assert state == log.store.state
            assert (state.conflicts, state.hollow) == (0, 0)
            assert state.events == state.last_added == len(known)
        assert self.errors == []

    @property
    def forked(self) -> list[str]:
        """Epochs that are proven to have forked, by any node."""
        return sorted({epoch for log in self.logs.values() for epoch, end in log.store.ends().items() if end.mark})

    def _begin(self, name: str, store: MemoryRunStore, *, opens: bool) -> None:
        for other in self.names:
            self.cut(name, other)
        self.lives += 1
        state = store.open() if opens else store.state
        self.logs[name] = log = PairLog(
            InlineDisk(store),
            state,
            store.ends(),
            KeySigner.from_seed(name.encode() * KEY_BYTES),
            node_id=name,
            timer=HybridTimer(name, self.clock.now_ms, after_ms=state.clock_ms),
            clock=self.clock,
            random=Random(f"{name} {self.lives}"),
        )
        log.store = store

    def _snapshot(self, name: str) -> MemoryRunStore:
        store = self.logs[name].store
        assert isinstance(store, MemoryRunStore)
        return deepcopy(store)


def lived(house: House, *steps: tuple[str, str]) -> House:
    for step, names in steps:
        getattr(house, step)(*names)
    return house


def a_is_rolled_back(house: House, *, kept: int = 3, lost: int = 4) -> None:
    """What `a` wrote after its snapshot is known to `b` alone."""
    lived(house, *[("add", "a")] * kept, ("meet", "ab"), ("meet", "bc"), ("keep", "a"))
    lived(house, *[("add", "a")] * lost, ("meet", "ab"), ("roll_back", "a"))


def test_a_rolled_back_node_gets_back_what_it_lost_and_writes_in_another_epoch() -> None:
    house = House()
    a_is_rolled_back(house)
    old = house.logs["a"].state.epoch

    lived(house, ("meet", "ab"), ("add", "a"), ("meet", "ab"))

    assert len(house.logs["a"].types) == len(house.logs["b"].types) == 8
    assert house.logs["a"].state.epoch != old
    assert house.forked == [] and house.errors == []  # it wrote nothing before it noticed


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

    assert len(house.forked) == 1
    house.check(known)


def test_a_node_that_has_the_other_history_under_the_same_dots_gets_both() -> None:
    house = House()
    a_is_rolled_back(house)
    lived(house, ("add", "a"), ("add", "a"), ("meet", "ac"))

    lived(house, ("meet", "bc"), ("adopt", "b"), ("adopt", "c"), ("meet", "bc"))

    assert len(house.logs["c"].types) == len(house.logs["b"].types) == 9


def test_a_fork_is_found_and_its_proof_passed_on_while_the_links_are_open() -> None:
    house = House(4)
    a_is_rolled_back(house)
    lived(house, ("add", "a"), ("connect", "ac"), ("connect", "cd"), ("connect", "bc"))
    known = house.known

    house.clock.advance(10 * RELAY_MS)
    lived(house, *[("adopt", name) for name in house.names])
    house.clock.advance(10 * RELAY_MS)

    assert [set(log.types) for log in house.logs.values()] == [set(known.values())] * 4
    assert all(len(messages(pair.left_sent + pair.right_sent, "proof")) == 1 for pair in house.pairs.values())
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


def test_lost_events_return_although_the_node_is_killed_meanwhile() -> None:
    house = House()
    a_is_rolled_back(house)
    lived(house, ("add", "a"), ("meet", "ac"), ("meet", "ab"), ("restart", "a"))
    known = house.known

    house.settle()

    house.check(known)


COMMON = ["add", "add", "add", "meet", "connect"]
RARE = ["cut", "keep", "roll_back", "restart", "adopt"]

names = st.sampled_from(NAMES[:3])
steps = st.lists(
    st.tuples(st.sampled_from(COMMON), names, names)
    | st.tuples(st.sampled_from(COMMON), names, names)
    | st.tuples(st.sampled_from(RARE), names, names),
    max_size=60,
)
one_machine = st.lists(st.tuples(st.sampled_from(COMMON), names, names), max_size=40)


@given(prefix=one_machine, lost=one_machine, since=one_machine)
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
def test_all_nodes_agree_when_several_are_rolled_back_repeatedly(steps: list[tuple[str, str, str]]) -> None:
    house = House()

    for step, *places in steps:
        getattr(house, step)(*places)
    known = house.known
    house.settle()

    house.check(known)


@pytest.mark.parametrize("seed", seeds(12, always=3))
def test_all_nodes_agree_after_a_long_history_of_rollbacks_too(seed: int) -> None:
    random = Random(seed)
    house = House(2 + seed % 3)

    for _ in range(200):
        step = random.choice(RARE if random.random() < 0.15 else COMMON)
        getattr(house, step)(random.choice(house.names), random.choice(house.names))
    known = house.known
    house.settle()

    house.check(known)
