"""The verbs that break something: each does what its sentence says, and can be undone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.lab import Cluster, Room, line
from mesh.lab.simulation.clock import EPOCH_MS
from mesh.lab.simulation.storage import StoreKind
from peers import ServerSync
from peers.stores.store import StoreError
from tests.support.lab_house import sentences, start_two


def write(room: Room, *types: str) -> None:
    for name in types:
        room.log.add({"type": name})


# Ways


def test_a_cut_stops_one_direction_only() -> None:
    with Cluster(1) as house:
        kitchen, study = start_two(house)

        house.cut(kitchen, study)
        write(kitchen, "milk")
        write(study, "ink")
        house.run(3)

        assert study.types == ["ink"]
        assert kitchen.types == ["ink", "milk"] or kitchen.types == ["milk", "ink"]
        house.heal()
        house.settle("healed")
        assert len(study.types) == 2


def test_two_rooms_that_are_cut_in_one_direction_lose_their_link() -> None:
    with Cluster(2) as house:
        kitchen, study = start_two(house)

        house.cut("kitchen", "study")
        house.run(30)

        assert kitchen.node_id not in study.peers
        assert study.node_id not in kitchen.peers
        house.heal()
        house.settle("healed")


def test_what_is_held_comes_late_and_in_order() -> None:
    with Cluster(3) as house:
        kitchen, study = start_two(house)

        house.hold(kitchen, study)
        write(kitchen, "one", "two", "three")
        house.run(3)
        held = study.types
        house.release(kitchen, study)
        house.settle("released", limit_seconds=3)

        assert held == []
        assert study.types == ["one", "two", "three"]
        assert sentences(house, study, "disconnected") == []


def test_a_slow_link_has_its_latency_until_it_is_good_again() -> None:
    with Cluster(4) as house:
        kitchen, study = start_two(house)

        house.slow(kitchen, study, latency_ms=(500, 500))
        write(kitchen, "late")
        house.run(0.4)
        early = study.types
        house.settle("it came")
        house.slow(kitchen, study)
        write(kitchen, "prompt")
        house.run(0.1)

        assert early == []
        assert study.types == ["late", "prompt"]


def test_a_limited_rate_takes_as_long_as_the_bytes_need() -> None:
    with Cluster(5) as house:
        kitchen, study = start_two(house)

        house.slow(kitchen, study, bytes_per_second=10_000)
        kitchen.log.add({"type": "picture", "text": "x" * 50_000})
        house.run(4)
        early = study.types
        house.run(2)

        assert early == []
        assert study.types == ["picture"]


def test_a_reset_is_noticed_by_both_ends_at_once_and_they_meet_again() -> None:
    with Cluster(6) as house:
        kitchen, study = start_two(house)

        house.reset(kitchen, study)
        house.run(0.01)

        assert len(sentences(house, kitchen, "disconnected")) == len(sentences(house, study, "disconnected")) == 1
        house.settle("met again")


def test_a_flaky_link_breaks_now_and_then_and_is_good_afterwards() -> None:
    with Cluster(7) as house:
        kitchen, study = start_two(house)

        house.flaky(kitchen, study, seconds=120)
        house.run(130)
        house.settle("good again")
        broken = len(sentences(house, kitchen, "disconnected"))
        house.run(120)

        assert 2 <= broken <= 20
        assert len(sentences(house, kitchen, "disconnected")) == broken


def test_verbs_take_clients_and_names_of_rooms_that_come_later() -> None:
    with Cluster(8) as house:
        house.cut("kitchen", "study")
        house.cut("study", "kitchen")
        (kitchen,) = house.start("kitchen", serve={5_000: ServerSync})
        phone = house.client("phone", to="kitchen:5000", protocol=5)
        house.start("study")
        house.settle("the phone is in")

        house.partition([kitchen], [phone])
        phone.log.add({"type": "milk"})
        house.run(30)

        assert kitchen.types == []
        assert kitchen.peers == {}
        house.heal()
        house.settle("all are in")
        assert kitchen.types == ["milk"]


# Processes


def test_a_frozen_room_hears_and_does_nothing_until_it_is_thawed() -> None:
    with Cluster(9) as house:
        kitchen, study = start_two(house)

        house.freeze(study)
        write(kitchen, "milk")
        write(study, "ink")
        before = len(house.trace)
        house.run(600)
        said = [line for line in house.trace[before:] if " study > " in line or " study: " in line]
        asleep = list(study.types)
        house.thaw(study)
        house.settle("awake")

        assert said == []
        assert asleep == []
        assert sorted(kitchen.types) == ["ink", "milk"]


def test_a_short_freeze_breaks_nothing() -> None:
    with Cluster(10) as house:
        kitchen, study = start_two(house)

        house.freeze(study)
        write(kitchen, "milk")
        house.run(2)
        house.thaw(study)
        house.settle("awake")

        assert study.types == ["milk"]
        assert sentences(house, kitchen, "disconnected") == []


def test_a_room_that_crashes_while_frozen_returns_awake() -> None:
    with Cluster(11) as house:
        kitchen, study = start_two(house)

        house.freeze(study)
        house.crash(study)
        house.restart(study)
        write(kitchen, "milk")
        house.settle("back")

        assert study.types == ["milk"]


def test_a_story_may_end_while_a_room_is_frozen() -> None:
    with Cluster(24) as house:
        _, study = start_two(house)

        house.freeze(study)

    assert house.verbs["thaw"] == 1


# Clocks


def test_a_clock_jumps_and_only_the_wall_clock_of_that_room() -> None:
    with Cluster(12) as house:
        kitchen, study = start_two(house)

        house.skew(kitchen, -30_000)

        assert kitchen.clock.now_ms() == study.clock.now_ms() - 30_000
        assert kitchen.clock.elapsed_ms() == study.clock.elapsed_ms()


def test_a_clock_drifts_from_now_on() -> None:
    with Cluster(13) as house:
        kitchen, study = start_two(house)

        house.drift(kitchen, 0.001)
        house.run(3600)

        assert abs(kitchen.clock.now_ms() - study.clock.now_ms() - 3_600) <= 1


def test_a_wrong_clock_is_as_wrong_after_the_power_was_cut() -> None:
    with Cluster(14) as house:
        kitchen, study = start_two(house)
        house.skew(kitchen, 40_000)
        house.drift(kitchen, 0.01)
        house.run(100)

        house.restart(kitchen)
        house.run(100)

        assert abs(kitchen.clock.now_ms() - study.clock.now_ms() - 42_000) <= 30
        assert study.clock.now_ms() > EPOCH_MS + 200_000


# Disks


def test_a_full_disk_refuses_writes_and_takes_them_again() -> None:
    with Cluster(15) as house:
        kitchen, _ = start_two(house)

        house.disk_full(kitchen)
        refused = kitchen.log.add({"type": "milk"})
        house.run(1)
        house.disk_full(kitchen, is_full=False)
        taken = kitchen.log.add({"type": "bread"})
        house.run(1)

        assert isinstance(refused.exception, StoreError)
        assert taken.exception is None
        assert kitchen.types == ["bread"]


def test_a_disk_stays_full_over_a_restart() -> None:
    with Cluster(16) as house:
        kitchen, study = start_two(house)

        house.disk_full(kitchen)
        house.restart(kitchen)
        write(study, "ink")
        house.run(10)

        assert kitchen.types == []
        house.disk_full(kitchen, is_full=False)
        house.settle("there is room")


@pytest.mark.parametrize(("store", "writer"), [("memory", "study"), ("sqlite", "kitchen")])
def test_a_snapshot_is_a_copy_that_can_be_put_back_more_than_once(store: StoreKind, writer: str) -> None:
    with Cluster(17) as house:
        kitchen, study = house.start("kitchen", "study", store=store)
        write(kitchen, "monday")
        house.settle("monday")
        backup = house.snapshot(kitchen)

        for day in ("tuesday", "wednesday"):
            write(house.rooms[writer], day)
            house.settle(day)
            house.crash(kitchen)
            house.restore(kitchen, backup)
            assert kitchen.types == ["monday"]
            house.restart(kitchen)
            house.settle("restored")

        assert kitchen.types == study.types == ["monday", "tuesday", "wednesday"]


def test_the_disk_of_a_running_room_is_not_replaced() -> None:
    with Cluster(18) as house:
        kitchen, _ = start_two(house)
        backup = house.snapshot(kitchen)

        with pytest.raises(ValueError, match="kitchen runs: stop it before its disk is restored"):
            house.restore(kitchen, backup)


def test_a_wiped_room_returns_as_another_node() -> None:
    with Cluster(19) as house:
        kitchen, study = start_two(house)
        before = kitchen.node_id
        house.crash(kitchen)

        house.wipe(kitchen)
        house.restart(kitchen)
        house.settle("back")

        assert kitchen.node_id != before
        assert kitchen.node_id in study.peers


# What a story may look at


def test_dials_are_recorded_with_both_rooms_and_the_time() -> None:
    with Cluster(21) as house:
        house.start("kitchen", "study", "attic", links=line)
        house.settle("met")

        pairs = {frozenset({dial.source, dial.target}) for dial in house.dials}
        assert pairs == {frozenset({"kitchen", "study"}), frozenset({"study", "attic"})}
        assert all(0 <= dial.seconds <= house.seconds for dial in house.dials)


@pytest.mark.parametrize(
    ("do", "verb"),
    [
        (lambda house: house.cut("kitchen", "study"), "cut"),
        (lambda house: house.hold("kitchen", "study"), "hold"),
        (lambda house: house.slow("kitchen", "study"), "slow"),
        (lambda house: house.reset("kitchen", "study"), "reset"),
        (lambda house: house.flaky("kitchen", "study", seconds=1), "flaky"),
        (lambda house: house.skew("kitchen", 1), "skew"),
        (lambda house: house.drift("kitchen", 0.1), "drift"),
        (lambda house: house.disk_full("kitchen", is_full=False), "disk"),
        (lambda house: house.failing_commits("kitchen"), "failing"),
        (lambda house: house.bad_air(loss=0.1), "bad"),
        (lambda house: house.repeat_sighting("kitchen", about="study"), "repeat"),
        (lambda house: house.snapshot("kitchen"), "snapshot"),
        (lambda house: house.partition(["kitchen"], ["study"]), "partition"),
        (lambda house: house.crash("kitchen"), "crash"),
        (lambda house: house.crash("kitchen") or house.wipe("kitchen"), "wipe"),
    ],
)
def test_every_fault_is_a_line_of_the_trace_and_counted(do: Callable[[Cluster], None], verb: str) -> None:
    with Cluster(22) as house:
        house.start("kitchen", "study")

        do(house)

        assert house.verbs[verb] == 1
        assert any(f" * {verb} " in line for line in house.trace)


def test_a_client_needs_a_name_of_its_own() -> None:
    with Cluster(23) as house:
        house.start("kitchen", "study", serve={5_000: ServerSync})
        house.client("phone", to="kitchen:5000", protocol=7)

        with pytest.raises(ValueError, match="there is a phone already: choose another name"):
            house.client("phone", to="study:5000")
