"""Whole nodes in virtual time: what a cluster of them promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mesh.lab import Cluster, Violation
from mesh.lab.cluster.room import Room
from peers.codec.run_messages import Pieces
from peers.events.entry import Entry
from peers.roles.run_peer import RunPeerSync
from tests.support.seeds import seeds


def write(room: Room, *types: str) -> None:
    for name in types:
        room.log.add({"type": name})


def test_three_rooms_end_with_the_same_events_in_one_order() -> None:
    with Cluster(1) as house:
        kitchen, study, attic = house.start("kitchen", "study", "attic")

        write(kitchen, "milk")
        write(attic, "lamp")
        house.settle("all have both")

        house.assert_converged()
        assert sorted(study.types) == ["lamp", "milk"]


def test_events_written_on_two_sides_of_a_wall_meet_after_a_long_night() -> None:
    with Cluster(2) as house:
        kitchen, study = house.start("kitchen", "study")
        house.settle("met")
        house.partition([kitchen], [study])
        write(kitchen, *(f"k{n}" for n in range(700)))
        write(study, *(f"s{n}" for n in range(700)))
        house.run(8 * 3600)

        house.heal()
        house.settle("morning")

        house.assert_converged()
        assert len(kitchen.types) == 1400


def test_rooms_started_behind_the_wall_are_found_after_it_falls() -> None:
    with Cluster(3) as house:
        (kitchen,) = house.start("kitchen")
        house.run(100)  # the first quick questions are over
        house.partition([kitchen], ["study"])
        (study,) = house.start("study")
        write(study, "ink")
        house.run(600)

        house.heal()
        healed = house.seconds
        house.settle("found")

        assert kitchen.types == ["ink"]
        assert house.seconds - healed < 60


@pytest.mark.parametrize("seed", seeds(5, always=2))
def test_a_line_of_static_peers_converges_whatever_happens_to_the_second(seed: int) -> None:
    with Cluster(seed) as house:
        links = [("a", "b"), ("b", "c"), ("c", "d")]
        a, b, c, d = house.start("a", "b", "c", "d", links=links)
        write(a, "one")
        write(d, "two")
        house.settle("over two relays")

        house.stop(b)
        write(a, "three")
        house.start("b", links=links)
        house.settle("restarted")
        house.stop(b)
        b.lose_log()
        house.start("b", links=links)
        house.settle("its log was lost, its key kept")
        house.stop(b)
        house.wipe(b)
        write(c, "four")
        house.start("b", links=links)
        house.settle("a new node in the same place")

        house.assert_converged()
        assert sorted(b.types) == ["four", "one", "three", "two"]


def test_a_wiped_node_gets_back_even_its_own_events() -> None:
    with Cluster(4) as house:
        kitchen, study = house.start("kitchen", "study")
        write(kitchen, "milk")
        house.settle("study has it")
        house.crash(kitchen)
        kitchen.lose_log()

        house.restart(kitchen)
        house.settle("back")

        assert kitchen.types == study.types == ["milk"]


def test_a_crash_loses_nothing_that_was_acknowledged() -> None:
    for seed in range(20):
        with Cluster(seed) as house:
            kitchen, _ = house.start("kitchen", "study")
            write(kitchen, *(f"e{n}" for n in range(50)))
            house.run(0.001 * seed)

            house.crash(kitchen)
            acknowledged = list(kitchen.acknowledged)
            house.restart(kitchen)
            house.settle("back")

            assert {entry.created for entry in kitchen.entries} >= set(acknowledged)
            house.assert_converged()


def test_relays_reach_a_room_that_only_one_other_can_see() -> None:
    with Cluster(5) as house:
        kitchen, hall, cellar = house.start("kitchen", "hall", "cellar")
        house.settle("met")
        house.partition([kitchen], [cellar])  # the hall sees both

        write(kitchen, "milk")
        house.settle("through the hall")

        assert cellar.types == ["milk"]
        assert hall.types == ["milk"]


@pytest.mark.parametrize("ten", seeds(3, always=1))
def test_one_connection_is_left_between_two_that_dial_each_other(ten: int) -> None:
    for seed in range(10 * ten, 10 * ten + 10):
        with Cluster(seed) as house:
            house.start("kitchen", "study", links=[("kitchen", "study")])
            house.settle("met")
            house.run(10)

            sessions = house.status("kitchen")["sessions"]

            assert [session["state"] for session in sessions] == ["synchronized"]


MAX_REPEATS = 0.02
"""Of what is sent in a full mesh, the share that may have been sent by more than one."""


def counting_role(taken: Counter[tuple[str, Any]]) -> type[RunPeerSync]:
    """A role that counts how often each event comes to each node."""

    class Counting(RunPeerSync):
        def dispatch(self, message: Any) -> None:
            if isinstance(message, Pieces):
                items = [item for piece in message.pieces for item in piece.items]
                taken.update((self.node_id, item.created) for item in items if isinstance(item, Entry))
            super().dispatch(message)

    return Counting


def start_counted(house: Cluster, count: int) -> tuple[tuple[Room, ...], Counter[tuple[str, Any]]]:
    """A full mesh of rooms that have met, and how often which of them gets what from now on."""
    taken: Counter[tuple[str, Any]] = Counter()
    names = [f"room{number}" for number in range(count)]
    rooms = house.start(*names)
    house.stop(*rooms)
    for room in rooms:
        room.role = counting_role(taken)
    house.start(*names)
    house.settle("met")
    return rooms, taken


def one_after_another(house: Cluster, rooms: tuple[Room, ...]) -> None:
    for number in range(30):
        for room in rooms:
            write(room, f"{room.name}.{number}")
            house.run(0.003)


def all_at_once(_: Cluster, rooms: tuple[Room, ...]) -> None:
    for room in rooms:
        write(room, *(f"{room.name}.{number}" for number in range(500)))


@pytest.mark.parametrize("write_all", [one_after_another, all_at_once])
def test_in_a_full_mesh_each_event_is_sent_to_each_room_once(
    write_all: Callable[[Cluster, tuple[Room, ...]], None],
) -> None:
    with Cluster(11, traces=False) as house:
        rooms, taken = start_counted(house, 6)

        write_all(house, rooms)
        house.settle("all have all")
        house.run(1)

        house.assert_converged()
        events = len(rooms[0].types)
        assert len(taken) == events * 5
        assert taken.total() <= events * 5 * (1 + MAX_REPEATS)


def test_rooms_that_come_back_get_each_event_once_too() -> None:
    with Cluster(12, traces=False) as house:
        rooms, taken = start_counted(house, 6)
        house.partition(rooms[:3], rooms[3:])
        house.run(30)
        write(rooms[0], "milk")
        house.settle("on this side of the wall")
        assert taken.total() == 2

        house.heal()
        house.settle("on both")

        assert len(taken) == 5
        assert taken.total() <= 2 + 3 * 3 + 3  # each that has it greets each that lacks it, and some dials cross


class BreaksTwice(RunPeerSync):
    """Raises at the first two events that it gets."""

    broken = 0

    def dispatch(self, message: Any) -> None:
        if isinstance(message, Pieces) and BreaksTwice.broken < 2:
            BreaksTwice.broken += 1
            raise RuntimeError("a bug")
        super().dispatch(message)


class BreaksAlways(RunPeerSync):
    def dispatch(self, message: Any) -> None:
        if isinstance(message, Pieces):
            raise RuntimeError("a bug that stays")
        super().dispatch(message)


def test_a_session_that_raises_is_restarted_and_its_siblings_see_nothing() -> None:
    BreaksTwice.broken = 0
    with Cluster(6) as house:
        kitchen, study, attic = house.start("kitchen", "study", "attic")
        house.settle("met")
        house.stop(kitchen)
        kitchen.role = BreaksTwice
        house.start("kitchen")
        house.settle("met again")
        before = len(house.trace)

        write(study, "ink")
        house.settle("after two failures")

        lines = house.trace[before:]
        assert kitchen.types == ["ink"]
        assert BreaksTwice.broken == 2
        assert any("kitchen: restarted: the session with study" in line for line in lines)
        assert not any("attic: disconnected: lost the connection to study" in line for line in lines)
        assert attic.types == ["ink"]


def test_a_session_that_keeps_failing_is_paused_until_the_operator_resumes_it() -> None:
    with Cluster(7, traces=False) as house:
        (kitchen,) = house.start("kitchen", links=[("kitchen", "study")])
        kitchen.role = BreaksAlways
        house.stop(kitchen)
        house.start("kitchen", links=[("kitchen", "study")])
        (study,) = house.start("study", links=[("kitchen", "study")])
        write(study, "ink")

        house.run(120)

        status = house.status("kitchen")
        assert [row["what"] for row in status["paused"]] == [study.node_id]
        assert "a bug that stays" in status["paused"][0]["why"]
        kitchen.role = RunPeerSync
        house.restart(kitchen)
        house.settle("repaired")
        assert kitchen.types == ["ink"]


class DiskFull(RunPeerSync):
    """Lets the other end in, and then cannot go on."""

    links = 0

    def on_authenticated(self) -> None:
        DiskFull.links += 1
        raise self.error("store")


def test_a_link_that_always_ends_after_the_greeting_is_dialled_less_and_less_often() -> None:
    DiskFull.links = 0
    with Cluster(11, traces=False) as house:
        kitchen, study = house.start("kitchen", "study", links=[("study", "kitchen")])
        house.stop(kitchen, study)
        kitchen.role = DiskFull
        house.start("kitchen", "study")

        house.run(120)

        assert 3 < DiskFull.links < 120  # 431 if each greeting counted as success
        assert house.status("kitchen")["paused"] == []


def test_a_clock_that_steps_back_does_not_repeat_or_reorder() -> None:
    with Cluster(8) as house:
        kitchen, _ = house.start("kitchen", "study")
        write(kitchen, "first")
        house.settle("one")
        kitchen.clock.skew(-30_000)

        write(kitchen, "second")
        house.settle("two")

        house.assert_converged(["first", "second"])


def test_a_clock_far_ahead_does_not_pull_the_others_along() -> None:
    with Cluster(9) as house:
        kitchen, study = house.start("kitchen", "study")
        kitchen.clock.skew(10 * 3_600_000)
        write(kitchen, "from tomorrow")
        house.settle("one")

        write(study, "from today")
        house.settle("two")

        house.assert_converged(["from today", "from tomorrow"])
        assert house.status(study)["ahead"] == 1


def test_settle_fails_with_what_each_room_saw() -> None:
    class Mute(RunPeerSync):
        def send(self, message: Any) -> None:
            if not isinstance(message, Pieces):
                super().send(message)

    with (
        pytest.raises(Violation, match=r"never: no agreement within 30 s: kitchen saw \['milk'\]; study saw \[\]"),
        Cluster() as house,
    ):
        kitchen, _study = house.start("kitchen", "study")
        house.settle("met")
        house.stop(kitchen)
        kitchen.role = Mute
        house.start("kitchen")
        write(kitchen, "milk")
        house.settle("never", limit_seconds=30)


def test_the_checker_notices_an_acknowledged_event_that_is_gone() -> None:
    with pytest.raises(Violation, match="kitchen acknowledged 1 events that it does not hold"), Cluster() as house:
        (kitchen,) = house.start("kitchen")
        write(kitchen, "milk")
        house.run(1)
        house.crash(kitchen)
        acknowledged = dict(kitchen.acknowledged)
        kitchen.lose_log()
        kitchen.acknowledged.update(acknowledged)


def test_the_checker_notices_an_actor_that_is_left() -> None:
    with pytest.raises(Violation, match="kitchen left actors behind"), Cluster() as house:
        (kitchen,) = house.start("kitchen")
        house.run(1)
        kitchen.is_running = False  # so that the cluster does not stop it
    kitchen.crash()


def test_five_rooms_with_a_thousand_events_each_take_a_moment() -> None:
    with Cluster(10, traces=False) as house:
        names = [f"room{n}" for n in range(5)]
        rooms = house.start(*names)
        house.settle("met")
        house.partition(names[:2], names[2:])
        for room in rooms:
            write(room, *(f"{room.name}.{n}" for n in range(1000)))
        house.run(5)

        house.heal()
        house.settle("mended")

        house.assert_converged()
        assert len(rooms[0].types) == 5000
