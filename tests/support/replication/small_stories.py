"""The smallest story for each rule that random ones meet too seldom. Each ends with all checks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

from tests.support.replication.home import Home
from tests.support.replication.kits import Kit, MemoryKit
from tests.support.replication.story import Stage
from tests.support.replication.villain import honest


class SmallStage(Stage):
    """Homes n0, n1 ... are honest and know nothing; a face signs, and may sign twice."""

    def __init__(self, kit: Kit, homes: int) -> None:
        super().__init__(kit, Random(1), homes)

    def face(self, of: Home | None = None) -> Home:
        """One who signs: a new home, or the copy of the disk and memory of another."""
        face = self.home(f"f{len(self.homes)}", of, runs=of is not None, kit=MemoryKit())
        face.twist = honest
        self.room.doubtful.add(face.signer.public)
        self.room.resumed[face.signer.public] += 99
        return face

    def write(self, home: Home, count: int) -> None:
        """Events one by one, each in a commit of its own."""
        for _ in range(count):
            home.add(1)
            while home.mailbox.is_busy:
                home.mailbox.step()

    def meet(self, one: Home, other: Home, *, stays: bool = False) -> None:
        wire = self.connect(one, other)
        self.quiet()
        if wire.is_up and not stays:
            wire.ends[0].end()

    def end(self) -> None:
        """The honest homes meet, and the checks hold."""
        for home in self.homes:
            for session in list(home.sessions):
                session.end()
        for one, other in pairwise(home for home in self.homes if not home.is_hostile):
            self.connect(one, other)
        self.quiet()
        self.check(final=True)


def two_faces(kit: Kit, common: int, left: int, right: int) -> tuple[SmallStage, Home, Home]:
    """Two honest homes, and two histories of one epoch."""
    stage = SmallStage(kit, 2)
    one = stage.face()
    stage.write(one, common)
    other = stage.face(one)
    stage.write(one, left)
    stage.write(other, right)
    return stage, one, other


def each_meets_one_face(kit: Kit, common: int, left: int, right: int) -> None:
    """Each home meets one of the `two_faces`, then the homes meet."""
    stage, one, other = two_faces(kit, common, left, right)
    stage.meet(stage.homes[0], one)
    stage.meet(stage.homes[1], other)
    stage.end()


def hidden_fork(kit: Kit) -> None:
    """One home has the longer branch, the other one the shorter: the longer one finds that they differ."""
    each_meets_one_face(kit, 2, 2, 5)


def fork_of_equal_length(kit: Kit) -> None:
    """Both branches have the same number of entries, and nothing else differs."""
    each_meets_one_face(kit, 1, 2, 2)


def fork_among_what_is_not_named(kit: Kit) -> None:
    """As before, but the greetings name newer epochs only: the fingerprint has to tell."""
    stage, one, other = two_faces(kit, 1, 2, 2)
    left, right = stage.homes[:2]
    stage.meet(left, one)
    stage.meet(right, other)
    stage.write(left, 1)
    stage.write(right, 1)
    stage.end()


def third_history(kit: Kit) -> None:
    """A fork is proven; then a third history turns up that parts earlier."""
    stage = SmallStage(kit, 3)
    left, middle, right = stage.homes
    x = stage.face()
    stage.write(x, 2)
    y = stage.face(x)
    stage.write(x, 2)
    z = stage.face(x)
    stage.write(x, 1)
    stage.write(z, 1)
    stage.write(y, 3)
    stage.meet(left, x)
    stage.meet(middle, z)
    stage.meet(left, middle)
    stage.meet(right, y)
    stage.end()


def two_live_copies(kit: Kit) -> None:
    """Two live copies of one home are linked, and both write."""
    stage = SmallStage(kit, 1)
    one = stage.homes[0]
    stage.write(one, 1)
    stage.room.resumed[one.signer.public] += 1
    other = stage.home('n0"', one, runs=True)
    stage.meet(one, other, stays=True)
    one.add(1)
    other.add(1)
    stage.quiet()
    stage.check()
    stage.end()


def one_created_in_two_branches(kit: Kit) -> None:
    """Two branches use one `created` for two events: both are kept, in each order of adopting."""
    stage, one, other = two_faces(kit, 1, 4, 4)
    left, right = stage.homes[:2]
    stage.meet(left, one)
    stage.meet(right, other)
    stage.connect(left, right)
    while stage.step():
        pass
    stage.adopt(left)
    stage.quiet()
    stage.end()


def long_fork(kit: Kit) -> None:
    """The histories parted many runs ago: their heads are compared backwards, in several messages."""
    each_meets_one_face(kit, 3, 40, 33)


def fork_at_the_first_entry(kit: Kit) -> None:
    """A home of which nothing was written yet is copied while it runs: nothing is common, and these are two epochs."""
    each_meets_one_face(kit, 0, 3, 4)


def runs_that_close_elsewhere(kit: Kit) -> None:
    """In one branch a run goes on where in the other a new one begins."""
    stage = SmallStage(kit, 2)
    one = stage.face()
    one.add(4)
    stage.quiet()
    other = stage.face(one)
    one.pad, other.pad = 0, 480  # the event of the other does not fit into the run
    stage.write(one, 1)
    stage.write(other, 1)
    stage.meet(stage.homes[0], one)
    stage.meet(stage.homes[1], other)
    stage.end()


def resumed_snapshot(kit: Kit) -> None:
    """A machine goes on with disk and memory of a while ago, and writes before it meets anybody: a real fork."""
    stage = SmallStage(kit, 2)
    one, other = stage.homes
    stage.write(one, 3)
    disk = one.disk.copy()
    stage.write(one, 2)
    stage.meet(one, other)
    acknowledged = one.disk.acknowledged
    stage.room.doubtful.add(one.signer.public)
    stage.room.resumed[one.signer.public] += 1
    one.restart(disk, opens=False)
    stage.write(one, 4)
    stage.end()
    held = {entry.created for entry in one.store.each()}
    assert set(acknowledged.values()) <= held


def resumed_snapshot_that_hears_first(kit: Kit) -> None:
    """The same, but it meets another node before it writes: it is shown its own signature, and begins a new epoch."""
    stage = SmallStage(kit, 2)
    one, other = stage.homes
    stage.write(one, 3)
    disk = one.disk.copy()
    stage.write(one, 2)
    stage.meet(one, other)
    stage.room.resumed[one.signer.public] += 1
    one.restart(disk, opens=False)
    stage.connect(one, other)
    while one.epoch is not None:
        assert stage.step()
    stage.write(one, 1)
    stage.end()
    assert not stage.forked()


def half_cleaned_newcomer(kit: Kit) -> None:
    """A newcomer meets a log of which every second event was cleaned: a second meeting sends no event."""
    stage = SmallStage(kit, 2)
    one, other = stage.homes
    stage.write(one, 40)
    one.clean([entry.created for entry in one.store.each()][::2])
    stage.quiet()
    stage.meet(one, other)
    before = stage.room.count.copy()
    stage.meet(one, other)
    assert stage.room.count["pieces"] == before["pieces"]
    assert stage.room.count["fills"] == before["fills"]
    stage.end()


def more_wants_than_a_greeting_names(kit: Kit) -> None:
    """n1 got every second event as a leaf; n2, which it meets next, has them all."""
    stage = SmallStage(kit, 3)
    one, other, last = stage.homes
    stage.write(one, 14)
    stage.meet(one, last)
    one.clean([entry.created for entry in one.store.each()][::2])
    stage.quiet()
    stage.meet(one, other)
    assert other.store.state.hollow == 7
    stage.meet(other, last)
    assert other.store.state.hollow == 0
    stage.end()


SMALL_STORIES: dict[str, Callable[[Kit], None]] = {
    story.__name__: story
    for story in (
        hidden_fork,
        fork_of_equal_length,
        fork_among_what_is_not_named,
        third_history,
        two_live_copies,
        one_created_in_two_branches,
        long_fork,
        fork_at_the_first_entry,
        runs_that_close_elsewhere,
        resumed_snapshot,
        resumed_snapshot_that_hears_first,
        half_cleaned_newcomer,
        more_wants_than_a_greeting_names,
    )
}
