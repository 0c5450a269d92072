"""The checker: which events count as lost, which limits it checks, and what it reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mesh.actors.peer_session import PeerSession
from mesh.actors.runtime.inspection import actor_behind, living_actors
from mesh.lab import Cluster, Room, Violation
from mesh.lab.checks.checker import duplicate_faults, durability_faults
from mesh.lab.checks.limits import broken_limits, measures
from mesh.node_log import NodeLog
from peers.stores.runs.memory import MemoryRunStore


def write(room: Room, *types: str) -> None:
    for name in types:
        room.log.add({"type": name})


def kitchen_alone(house: Cluster) -> Room:
    """A kitchen that holds `milk`, which no other room has."""
    kitchen, study = house.start("kitchen", "study")
    house.settle("met")
    house.partition([kitchen], [study])
    write(kitchen, "milk")
    house.run(1)
    house.crash(kitchen)
    return kitchen


def test_an_event_that_only_a_wiped_disk_held_is_lost_with_it() -> None:
    with Cluster(1) as house:
        kitchen = kitchen_alone(house)

        house.wipe(kitchen)
        house.heal()
        house.restart(kitchen)
        house.settle("a new kitchen")

        assert len(house.checker.ledger.lost) == 1
        assert kitchen.types == []


def test_an_event_that_another_disk_held_when_one_was_wiped_must_survive() -> None:
    with (
        pytest.raises(Violation, match=r"1 acknowledged events are on no disk, the first .*kitchen"),
        Cluster(2) as house,
    ):
        kitchen, study = house.start("kitchen", "study")
        write(kitchen, "milk")
        house.settle("both have it")
        house.crash(kitchen, study)
        house.wipe(kitchen)
        study.store = MemoryRunStore()  # the checker does not know: as if a commit had not been one
        study.store.open()
        study.acknowledged.clear()


def test_a_disk_of_a_room_that_is_off_still_holds_its_events() -> None:
    with Cluster(3) as house:
        kitchen, study = house.start("kitchen", "study")
        write(kitchen, "milk")
        house.settle("both have it")
        house.stop(study)
        house.crash(kitchen)

        house.wipe(kitchen)

        assert house.checker.ledger.lost == {}


def test_of_two_disks_wiped_in_turn_the_second_loses_what_both_held() -> None:
    with Cluster(4) as house:
        kitchen, study = house.start("kitchen", "study")
        write(kitchen, "milk")
        house.settle("both have it")
        house.crash(kitchen, study)

        house.wipe(kitchen)
        house.wipe(study)

        assert list(house.checker.ledger.lost.values()) == ["study"]


def test_a_backup_that_holds_an_event_brings_it_back() -> None:
    with Cluster(5) as house:
        kitchen = kitchen_alone(house)
        backup = house.snapshot(kitchen)
        house.wipe(kitchen)
        assert len(house.checker.ledger.lost) == 1

        house.restore(kitchen, backup)
        house.heal()
        house.restart(kitchen)
        house.settle("it is back")

        assert house.checker.ledger.lost == {}
        house.assert_converged(["milk"])


def test_what_was_written_after_the_backup_and_passed_on_is_not_lost() -> None:
    with Cluster(6) as house:
        kitchen, study = house.start("kitchen", "study")
        house.settle("met")
        backup = house.snapshot(kitchen)
        write(kitchen, "milk")
        house.settle("passed on")
        house.crash(kitchen)

        house.restore(kitchen, backup)
        house.restart(kitchen)
        house.settle("it came back from the study")

        assert house.checker.ledger.lost == {}
        assert kitchen.types == study.types == ["milk"]


def test_a_cleaned_event_is_not_lost_and_leaves_a_gap_in_the_numbers() -> None:
    with Cluster(7) as house:
        kitchen, study = house.start("kitchen", "study")
        write(kitchen, "milk", "bread", "salt")
        house.settle("both have them")
        assert kitchen.kept is not None

        NodeLog(kitchen.kept).remove_reason("log", min_added=2, max_added=2)
        house.settle("the kitchen cleaned one")

        assert kitchen.types == ["milk", "salt"]
        assert study.types == ["milk", "bread", "salt"]
        assert durability_faults([kitchen]) == duplicate_faults([kitchen]) == []


def test_a_relay_that_cleaned_an_event_need_not_pass_it_on() -> None:
    with Cluster(8) as house:
        kitchen, hall, attic = house.start("kitchen", "hall", "attic", links=[("kitchen", "hall"), ("hall", "attic")])
        house.settle("met")
        house.crash(attic)
        write(kitchen, "milk")
        house.settle("at the hall")
        assert hall.kept is not None
        NodeLog(hall.kept).remove_reason("log")

        house.restart(attic)
        house.settle("as far as can be")

        assert (kitchen.types, hall.types, attic.types) == (["milk"], [], [])


def test_an_event_that_is_confirmed_before_it_is_on_the_disk_is_a_violation() -> None:
    with (
        pytest.raises(Violation, match=r"kitchen acknowledged \(.*\) before it was on its disk \(at 0\.\d+ s\)"),
        Cluster(9) as house,
    ):
        (kitchen,) = house.start("kitchen")
        write(kitchen, "milk")
        store, kitchen.store = kitchen.store, MemoryRunStore()  # what is committed goes to another disk
        kitchen.store.open()
        write(kitchen, "bread")
        house.run(1)
        kitchen.store = store


def test_events_of_one_node_that_come_out_of_order_are_a_violation() -> None:
    with pytest.raises(Violation, match=r"gave its event 2 .* they are out of order"), Cluster(10) as house:
        (kitchen,) = house.start("kitchen")
        write(kitchen, "milk")
        house.run(1)
        (entry,) = kitchen.entries
        house.checker.ledger.note(kitchen, 2, entry.created, entry.body, is_timed=True)


@pytest.mark.parametrize("seed", range(5))
def test_a_clock_that_goes_back_far_gives_no_violation(seed: int) -> None:
    with Cluster(seed) as house:
        kitchen, _ = house.start("kitchen", "study")
        write(kitchen, "milk")
        house.settle("one")

        house.skew(kitchen, -3_600_000)
        write(kitchen, "bread")
        house.settle("two")

        assert sorted(kitchen.types) == ["bread", "milk"]


def full_mailbox(room: Room) -> None:
    for _ in range(2_000):
        room.node.status()


def wide_window(room: Room) -> None:
    for ref in living_actors(room.runtime):
        actor = actor_behind(ref)
        if isinstance(actor, PeerSession) and actor.role is not None:
            actor.role._progress.in_flight += [None] * 5  # type: ignore[list-item]  # the role never passes the limit


@pytest.mark.parametrize(
    ("fill", "sentence"),
    [
        (full_mailbox, "kitchen: the mailbox of NodeSupervisor has 2000, and MAX_MAILBOX allows 1000"),
        (wide_window, "what it sent and is not acknowledged has 5, and WINDOW allows 4"),
    ],
)
def test_a_limit_that_is_passed_is_named(fill: Callable[[Room], Any], sentence: str) -> None:
    with pytest.raises(ZeroDivisionError), Cluster(11) as house:
        kitchen, _ = house.start("kitchen", "study")
        house.settle("met")
        assert broken_limits(kitchen) == []

        fill(kitchen)

        assert any(sentence in found for found in broken_limits(kitchen))
        raise ZeroDivisionError  # leave without the judgement of the checker


def test_every_kind_of_limit_is_looked_at() -> None:
    with Cluster(12) as house:
        kitchen, _ = house.start("kitchen", "study")
        write(kitchen, "milk")
        house.settle("met")

        names = {measure.name for measure in measures(kitchen)}

    assert names == {"MAX_MAILBOX", "MAX_WAITING", "SPARE_SESSIONS", "members", "TAIL_CHANGES", "WINDOW"}


def test_a_violation_names_the_seed_and_the_beat() -> None:
    with pytest.raises(Violation, match=r"\(seed 13, at \d+\.\d+ s, after the beat 'met'\)"), Cluster(13) as house:
        kitchen, study = house.start("kitchen", "study")
        write(kitchen, "milk")
        house.settle("met")
        house.crash(kitchen, study)
        for room in (kitchen, study):
            room.store = MemoryRunStore()
            room.store.open()


def test_rooms_on_both_sides_of_a_wall_are_judged_by_themselves() -> None:
    with pytest.raises(Violation, match="study shows"), Cluster(14) as house:
        kitchen, study, attic = house.start("kitchen", "study", "attic")
        write(kitchen, "milk")
        house.settle("met")
        house.partition([kitchen, study], [attic])
        write(attic, "lamp")  # which the others cannot have
        house.settle("two sides")
        (entry,) = study.entries
        study.store._unlink(entry)  # type: ignore[union-attr]  # no store loses an event by a public method
