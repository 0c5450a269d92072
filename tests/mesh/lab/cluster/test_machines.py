"""Machines that go on from a snapshot, copies of homes, and nodes that break the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from mesh.actors.peer_session import MakeRole
from mesh.lab import Cluster, Room
from mesh.lab.simulation.storage import StoreKind
from peers.codec.run_messages import Pieces, RunConnect, RunConnected
from peers.limits import Limits
from peers.roles.run_peer import RunPeerSync
from tests.support.lab_house import start_two, two_histories

KINDS: tuple[StoreKind, ...] = ("memory", "sqlite")
ROUNDS = 20


def forks(room: Room) -> int:
    """Of how many epochs a room has the proof that they forked."""
    return sum(bool(end.mark) for end in room.store.ends().values())


@pytest.mark.parametrize("store", KINDS)
def test_a_machine_that_goes_on_from_a_snapshot_forks_its_epoch_and_nothing_is_lost(store: StoreKind) -> None:
    with Cluster(1) as house:
        kitchen, study = two_histories(house, store)

        house.assert_converged(["monday", "tuesday", "wednesday"])
        assert forks(kitchen) == forks(study) == 1


@pytest.mark.parametrize("store", KINDS)
def test_a_restored_backup_begins_an_epoch_of_its_own_and_is_no_fork(store: StoreKind) -> None:
    with Cluster(2) as house:
        kitchen, study = house.start("kitchen", "study", store=store)
        kitchen.log.add({"type": "monday"})
        house.settle("monday")
        backup = house.snapshot(kitchen)
        kitchen.log.add({"type": "tuesday"})
        house.settle("tuesday")
        house.crash(kitchen)
        house.restore(kitchen, backup)
        house.partition([kitchen], [study])
        house.restart(kitchen)
        kitchen.log.add({"type": "wednesday"})
        house.settle("wednesday")
        house.heal()
        house.settle("all of it")

        house.assert_converged(["monday", "tuesday", "wednesday"])
        assert forks(kitchen) == forks(study) == 0


def test_a_machine_that_went_on_from_its_last_moment_is_no_fork() -> None:
    with Cluster(3) as house:
        kitchen, study = start_two(house)
        kitchen.log.add({"type": "monday"})
        house.settle("monday")
        snapshot = house.snapshot(kitchen)
        house.crash(kitchen)

        house.resume(kitchen, snapshot)
        kitchen.log.add({"type": "tuesday"})
        house.settle("tuesday")

        house.assert_converged(["monday", "tuesday"])
        assert forks(study) == 0
        assert len(study.store.ends()) == 1


def test_a_node_takes_no_further_epochs_of_a_key_that_forked_too_often() -> None:
    with Cluster(6) as house:
        kitchen, study = start_two(house)
        house.stop(study)
        study.limits = Limits(forks_of_key=2)
        house.start("study")
        house.settle("met again")
        for day in range(2):
            kitchen.log.add({"type": f"morning{day}"})
            house.settle("morning")
            snapshot = house.snapshot(kitchen)
            kitchen.log.add({"type": f"noon{day}"})
            house.settle("noon")
            house.crash(kitchen)
            house.partition([kitchen], [study])
            house.resume(kitchen, snapshot)
            kitchen.log.add({"type": f"evening{day}"})
            house.run(1)
            house.heal()
            house.run(30)

        kitchen.log.add({"type": "later"})
        study.log.add({"type": "tea"})
        house.run(30)

        assert forks(study) == 2
        assert "later" not in study.types and "evening0" in study.types
        assert "tea" in kitchen.types
        assert {row["limit"] for row in house.status("study")["limits"]} == {"forks_of_key"}
        house.stop(study)
        study.limits = Limits()
        house.start("study")
        house.settle("with a higher limit it comes")


def test_a_newcomer_learns_of_a_fork_and_holds_both_histories() -> None:
    with Cluster(4) as house:
        two_histories(house)

        (attic,) = house.start("attic")
        house.settle("a newcomer")

        house.assert_converged(["monday", "tuesday", "wednesday"])
        assert forks(attic) == 1


def test_a_copy_of_a_home_writes_in_an_epoch_of_its_own() -> None:
    with Cluster(5) as house:
        kitchen, study = start_two(house)
        kitchen.log.add({"type": "monday"})
        house.settle("monday")
        copy = house.copy_home(kitchen, "copy")
        house.stop(kitchen)

        house.start("copy")
        copy.log.add({"type": "tuesday"})
        house.settle("the copy is in its place")

        assert copy.node_id == kitchen.node_id
        assert copy.types == study.types == ["monday", "tuesday"]
        assert kitchen.types == ["monday"]
        assert forks(study) == 0


def test_two_machines_that_go_on_from_one_snapshot_fork() -> None:
    with Cluster(6) as house:
        kitchen, study = start_two(house)
        kitchen.log.add({"type": "monday"})
        house.settle("monday")
        snapshot = house.snapshot(kitchen)
        copy = house.copy_home(kitchen, "copy")
        house.partition([kitchen], [study, copy])
        house.resume(copy, snapshot)
        kitchen.log.add({"type": "tea"})
        house.run(1)
        copy.log.add({"type": "soup"})
        house.settle("two kitchens")
        house.stop(copy)
        house.heal()
        house.settle("one kitchen")

        house.assert_converged(["monday", "tea", "soup"])
        assert forks(study) == 1


def running(house: Cluster, room: Room) -> None:
    house.resume(room, house.snapshot(room))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (running, "kitchen runs: crash it before it goes on from a snapshot"),
        (lambda house, room: house.copy_home(room, "study"), "there is a study already: choose another name"),
        (lambda house, room: house.make_hostile(room), "kitchen runs: stop it before it becomes hostile"),
    ],
)
def test_a_verb_for_machines_that_makes_no_sense_is_refused(
    call: Callable[[Cluster, Room], object], sentence: str
) -> None:
    with Cluster(7) as house:
        kitchen, _ = start_two(house)

        with pytest.raises(ValueError, match=sentence):
            call(house, kitchen)


def hostile(house: Cluster, role: MakeRole | None = None) -> tuple[Room, Room, Room]:
    """A kitchen and a study, and an attic that breaks the rules; all write, and the links of the attic break now and then.

    `role` is that of the study, if it has one of its own.
    """
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    house.settle("met")
    house.stop(attic, study)
    study.role = role or study.role
    house.make_hostile(attic)
    house.start("attic", "study")
    for number in range(ROUNDS):
        for room in (kitchen, study, attic):
            room.log.add({"type": f"{room} {number}"})
        house.run(2)
        house.reset(attic, kitchen if number % 2 else study)
    house.run(20)
    house.settle("the honest ones agree")
    return kitchen, study, attic


@pytest.mark.parametrize("seed", range(5))
def test_logs_beside_a_hostile_neighbour_end_equal(seed: int) -> None:
    with Cluster(seed, traces=False) as house:
        kitchen, study, _ = hostile(house)

        house.assert_converged()
        assert {f"{room} {number}" for room in (kitchen, study) for number in range(ROUNDS)} <= set(kitchen.types)
        assert forks(kitchen) == forks(study) == 0


class Listening(RunPeerSync):
    """Counts what a hostile node does."""

    heard: ClassVar[Counter[str]] = Counter()

    def dispatch(self, message: Any) -> None:
        if isinstance(message, Pieces) and (self.other_node_id or "").startswith("attic"):
            for piece in message.pieces:
                held = self.ends.get(piece.epoch)
                self.heard["withheld"] += sum(isinstance(item, bytes) for item in piece.items)
                self.heard["known"] += held is not None and piece.last <= held.seq
        if isinstance(message, RunConnect | RunConnected) and message.node_id.startswith("attic"):
            newest = message.options.runs.newest if message.options.runs is not None else {}
            ours = [(self.ends.get(epoch), end) for epoch, end in newest.items()]
            self.heard["claimed"] += sum(held is not None and end.seq > held.seq for held, end in ours)
        super().dispatch(message)


def test_a_hostile_node_withholds_events_repeats_itself_and_claims_what_it_has_not() -> None:
    Listening.heard.clear()
    with Cluster(1, traces=False) as house:
        hostile(house, Listening)

    assert Listening.heard.keys() == {"withheld", "known", "claimed"}
    assert min(Listening.heard.values()) > 0


@pytest.mark.parametrize("story", [two_histories, hostile])
def test_one_seed_gives_one_trace_of_forks_and_lies(story: Callable[[Cluster], object]) -> None:
    hashes = set()
    for seed in (8, 8, 9):
        with Cluster(seed) as house:
            story(house)
        hashes.add(house.trace_hash)

    assert len(hashes) == 2
