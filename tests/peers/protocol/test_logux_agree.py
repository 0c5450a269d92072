"""After any history of a Logux client, a Logux server and the link between them, both logs agree."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from peers.clock import ManualClock
from peers.roles.server import ServerSync
from peers.stores.runs.memory import MemoryRunStore
from tests.support.logux_pair import PROTOCOLS, logux, meet_again
from tests.support.pair import AskedLog, HeldDisk, Mailbox, Pair, open_log

protocols = st.sampled_from(list(PROTOCOLS.values()))
sides = st.sampled_from(["left", "right"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), sides, st.integers(1, 3)),
        st.tuples(st.sampled_from(["mute", "unmute", "release", "answer", "work"]), sides, st.integers(1, 3)),
        st.tuples(st.sampled_from(["meet", "cut", "tick"]), sides, st.integers(1, 30)),
    ),
    max_size=30,
)


class House:
    """A pair whose disks, mailboxes and logs work only when a step says so."""

    def __init__(self, protocol: Any) -> None:
        clock = ManualClock()
        self.disks: dict[str, HeldDisk] = {}
        self.boxes = {"left": Mailbox(), "right": Mailbox()}
        self.logs: dict[str, AskedLog] = {}
        for side in ("left", "right"):
            store = MemoryRunStore()
            self.disks[side] = HeldDisk(store)
            log = open_log(side, clock, store=store, disk=self.disks[side], kind=AskedLog)
            assert isinstance(log, AskedLog)
            self.logs[side] = log
        options = {side: {"log": self.logs[side], "turn": self.boxes[side].turn} for side in self.logs}
        self.pair: Pair = logux(protocol, clock=clock, **options)
        self.added: list[str] = []

    def step(self, what: str, side: Any, count: int) -> None:
        match what:
            case "add":
                for _ in range(count):
                    self.added.append(f"{len(self.added):03}")
                    self.logs[side].add({"type": self.added[-1]})
            case "mute":
                self.pair.mute(side)
            case "unmute":
                self.pair.unmute(side)
            case "release":
                self.disks[side].release(count)
            case "answer":
                self.logs[side].answer(count)
            case "work":
                self.boxes[side].work(count)
            case "tick":
                self.pair.clock.advance(1_000 * count)
            case "cut":
                self.pair.cut()
            case "meet":
                self.meet()

    def meet(self) -> None:
        """A new link, after all reactions to the end of the last one."""
        if self.pair.left.connected:
            self.pair.cut()
        for box in self.boxes.values():
            box.work()
        if self.pair.left.connected or (isinstance(self.pair.right, ServerSync) and not self.pair.right.is_destroyed):
            self.pair.right.destroy()
        meet_again(self.pair, self.logs["right"], turn=self.boxes["right"].turn)

    def settle(self) -> None:
        for _ in range(1_000):
            for side in ("left", "right"):
                self.disks[side].release()
                self.logs[side].answer()
                self.boxes[side].work()
            if not any(self.disks[s].waiting or self.logs[s].asked or self.boxes[s].waiting for s in self.logs):
                return
        raise AssertionError("it does not settle")


@given(protocols, steps)
def test_both_logs_agree_at_the_end_of_any_history(protocol: Any, taken: list[tuple[str, Any, int]]) -> None:
    house = House(protocol)
    house.meet()

    for what, side, count in taken:
        house.step(what, side, count)
    house.pair.unmute("left")
    house.pair.unmute("right")
    house.settle()
    house.meet()
    house.settle()

    left, right = house.logs["left"], house.logs["right"]
    assert sorted(left.types) == sorted(right.types) == house.added
    assert left.last_added == right.last_added == len(house.added)
    assert left.types == right.types
    assert house.pair.left.state == house.pair.right.state == "synchronized"
    assert (house.pair.left.lag, house.pair.right.lag) == (0, 0)
    assert house.pair.left.received == house.pair.right.received == {}
    house.pair.destroy()
    house.settle()
    assert house.pair.clock.waiting == 0
