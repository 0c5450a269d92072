"""Two homes of an earlier release meet for the first time after their upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from peers.clock import ManualClock
from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.epoch import NONCE_BYTES, EpochEnd
from peers.events.signature import KeySigner
from peers.log.run_log import RunLog
from peers.roles.run_peer import RunPeerSync
from peers.stores.disk import InlineDisk
from peers.stores.run_store import Pen
from peers.stores.runs.sqlite.rebuild import legacy_birth
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.runs.sqlite.upgrade import upgrade_log
from peers.transport.local_pair import LocalPair
from tests.support.old_logs import OldLogFile, old_event
from tests.support.run_house import ALL, check, leaf

EVENTS = 5_000
PAIRS = ((0, 1), (1, 2), (0, 2))
SETTLE_MS = 200


class OldHome:
    """A node whose log was upgraded."""

    def __init__(self, name: str, old: OldLogFile, folder: Path, clock: ManualClock) -> None:
        self.name = name
        self.random = Random(name)
        self.signer = KeySigner.from_seed(self.random.randbytes(32))
        path = old.write(folder / f"{name}.sqlite")
        upgraded = upgrade_log(path, Pen(self.signer, lambda: self.random.randbytes(NONCE_BYTES), name))
        assert upgraded is not None
        self.adopted = upgraded.adopted
        self.store = SqliteRunStore(path, synchronous="OFF")
        self.store.open()
        self.log = RunLog.open(InlineDisk(self.store), name, signer=self.signer, clock=clock, random=self.random).get()

    def adopt(self) -> None:
        """As the keeper of a node's log does after a while."""
        while any(taken.is_unfinished for taken in self.log.write(lambda store: [store.adopt(self.log.pen)]).get()):
            pass

    @property
    def counting(self) -> dict[str, EpochEnd]:
        """The vector, without epochs that were cut before their first entry: who has never had one hears nothing of it."""
        return {epoch: end for epoch, end in self.store.ends().items() if end.seq}

    def shown(self) -> list[Entry]:
        return [*self.store.each(limit=ALL)]


class Meeting:
    """Both, with all that they send."""

    def __init__(self, one: OldHome, other: OldHome, clock: ManualClock) -> None:
        self.clock = clock
        self.pair = LocalPair()
        self.bytes = 0
        self.errors: list[str] = []
        for side in (self.pair.left, self.pair.right):
            side.on("message", self._count)
        self.roles = [
            RunPeerSync(home.name, home.log, side, clock=clock, random=home.random)
            for home, side in ((one, self.pair.left), (other, self.pair.right))
        ]
        for role in self.roles:
            role.catch(lambda error: self.errors.append(str(error)))

    def _count(self, frame: bytes) -> None:
        self.bytes += len(frame)

    def settle(self) -> None:
        for _ in range(SETTLE_MS):
            self.clock.advance(1)
        assert self.errors == []

    def meet(self) -> None:
        self.pair.left.connect()
        self.settle()

    def part(self) -> None:
        self.pair.left.disconnect()
        self.settle()
        self.bytes = 0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000_000)


@pytest.fixture
def homes() -> Iterator[list[OldHome]]:
    homes: list[OldHome] = []
    yield homes
    for home in homes:
        check(home.store)
        home.store.close()


def both(homes: list[OldHome], logs: list[OldLogFile], folder: Path, clock: ManualClock) -> Meeting:
    homes += [OldHome(name, old, folder, clock) for name, old in zip(("kitchen", "hall"), logs, strict=True)]
    return Meeting(*homes, clock)


def test_two_homes_with_the_same_events_exchange_next_to_nothing(
    tmp_path: Path, homes: list[OldHome], clock: ManualClock
) -> None:
    kitchen, hall = OldLogFile(), OldLogFile()
    events = [old_event(ms, node=("kitchen", "hall")[ms % 2]) for ms in range(1, EVENTS + 1)]
    for old, order in ((kitchen, (1, 0)), (hall, (0, 1))):
        for parity in order:
            old.show_all(events[parity::2], ("kitchen-1", "hall-1")[parity])

    meeting = both(homes, [kitchen, hall], tmp_path, clock)
    meeting.meet()

    assert meeting.bytes < 5_000
    assert [home.adopted for home in homes] == [0, 0]
    homes[0].log.add({"type": "new"}).get()
    meeting.settle()
    assert [home.store.state.events for home in homes] == [EVENTS + 1] * 2


def test_two_homes_with_different_parts_of_an_epoch_end_with_the_same_events(
    tmp_path: Path, homes: list[OldHome], clock: ManualClock
) -> None:
    events = [old_event(ms) for ms in range(1, 1_501)]
    kitchen, hall = OldLogFile(), OldLogFile()
    kitchen.show_all(events[:700], "kitchen-1")
    kitchen.show_all(events[800:], "kitchen-1", 801)  # a hole
    hall.show_all(events[:1_200], "kitchen-1")

    meeting = both(homes, [kitchen, hall], tmp_path, clock)
    assert [home.adopted for home in homes] == [700, 0]
    meeting.meet()

    assert [len(home.shown()) for home in homes] == [1_500, 1_500]
    assert [*map(leaf, homes[0].shown())] == [*map(leaf, homes[1].shown())]
    assert homes[0].store.ends() == homes[1].store.ends()
    meeting.part()
    meeting.meet()
    assert meeting.bytes < 5_000


def test_events_of_an_earlier_release_have_no_origin(tmp_path: Path, homes: list[OldHome], clock: ManualClock) -> None:
    kitchen, hall = OldLogFile(), OldLogFile()
    kitchen.show_all([old_event(1, "kept")], "kitchen-1")
    kitchen.show(old_event(3, "adopted", node="attic"), "kitchen-1", 3)

    both(homes, [kitchen, hall], tmp_path, clock).meet()

    for home in homes:
        births = {entry.event["type"]: home.store.birth(entry.dot[0]) for entry in home.shown() if entry.dot}
        origins = {type_: birth.origin for type_, birth in births.items() if birth}
        assert origins == {"kept": None, "adopted": "kitchen"}


def test_an_epoch_in_which_two_homes_have_different_events_ends_where_these_begin(
    tmp_path: Path, homes: list[OldHome], clock: ManualClock
) -> None:
    """One was set back to an old disk image, and wrote on before it met the other again."""
    same = [old_event(ms) for ms in range(1, 1_101)]
    kitchen, hall = OldLogFile(), OldLogFile()
    kitchen.show_all([*same, *[old_event(ms, "k") for ms in range(2_001, 2_101)]], "kitchen-1")
    hall.show_all([*same, *[old_event(ms, "h") for ms in range(3_001, 3_801)]], "kitchen-1")

    meeting = both(homes, [kitchen, hall], tmp_path, clock)
    meeting.meet()
    for home in homes:
        home.adopt()
    meeting.settle()

    assert [len(home.shown()) for home in homes] == [2_000, 2_000]
    assert [*map(leaf, homes[0].shown())] == [*map(leaf, homes[1].shown())]
    assert homes[0].store.ends() == homes[1].store.ends()
    assert homes[0].store.ends()[legacy_birth("kitchen-1").epoch].seq == 1_000
    assert [role.missing for role in meeting.roles] == [0, 0]
    meeting.part()
    meeting.meet()
    assert meeting.bytes < 5_000


def test_a_third_home_hears_where_an_epoch_ends(tmp_path: Path, homes: list[OldHome], clock: ManualClock) -> None:
    same = [old_event(ms) for ms in range(1, 601)]
    logs = [OldLogFile(), OldLogFile(), OldLogFile()]
    logs[0].show_all([*same, *[old_event(ms, "k") for ms in range(2_001, 2_101)]], "kitchen-1")
    logs[1].show_all([*same, *[old_event(ms, "h") for ms in range(3_001, 3_801)]], "kitchen-1")
    logs[2].show_all([*same, *[old_event(ms, "h") for ms in range(3_001, 3_201)]], "kitchen-1")
    homes += [OldHome(name, old, tmp_path, clock) for name, old in zip(("kitchen", "hall", "attic"), logs, strict=True)]

    for one, other in ((0, 1), (1, 2), (0, 1), (0, 2)):
        meeting = Meeting(homes[one], homes[other], clock)
        meeting.meet()
        for home in homes:
            home.adopt()
        meeting.settle()
        meeting.part()

    assert [len(home.shown()) for home in homes] == [1_500] * 3
    assert homes[0].store.ends() == homes[1].store.ends() == homes[2].store.ends()


@pytest.mark.parametrize("seed", range(10))
def test_homes_whose_histories_part_anywhere_end_equal(seed: int, tmp_path: Path, homes: list[OldHome]) -> None:
    """Each has its own end of epochs that began together, and some have holes."""
    random = Random(seed)
    clock = ManualClock(1_000_000_000)
    expected: dict[Created, bytes] = {}
    for number, name in enumerate(("kitchen", "hall", "attic"), 1):
        old = OldLogFile()
        for at, epoch in enumerate(("one", "two")):
            common, own = random.randrange(3), random.randrange(3)
            for seq in range(1, common + own + 1):
                mark = 0 if seq <= common else number
                event = old_event(100 * at + 10 * seq + mark, node=f"n{mark}")
                if random.randrange(8):
                    old.show(event, epoch, seq)
                    expected[event.created] = leaf(event)
        homes.append(OldHome(name, old, tmp_path, clock))
    for one, other in PAIRS * 3:
        meeting = Meeting(homes[one], homes[other], clock)
        meeting.meet()
        for home in homes:
            home.adopt()
        meeting.settle()
        meeting.part()

    for home in homes:
        assert {entry.created: leaf(entry) for entry in home.shown()} == expected
        assert home.counting == homes[0].counting
        assert home.store.state.hollow == 0
