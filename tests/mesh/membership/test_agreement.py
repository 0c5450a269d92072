"""Everything is here: a node that waits until it and the others hold what each of them held at the call."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from mesh.errors import MeshError
from mesh.lab import Cluster, Room
from mesh.membership.agreement import Agreement
from mesh.membership.dialling.link_selection import Link
from mesh.membership.member import Member
from mesh.membership.session_record import Session, Sessions
from tests.support.lab_house import start_two


def sessions(**node_ids: str) -> Sessions:
    """Met sessions by key; the connection is called as the key."""
    return Sessions(
        {
            key: Session(key, False, other_node_id=node_id, connection_id=key, link=Link(key, key, False, "run1", 0.0))
            for key, node_id in node_ids.items()
        }
    )


def asked(agreement: Agreement, around: Sessions) -> list[str]:
    return [session.key for session in agreement.to_ask(around)]


def test_is_not_reached_before_each_link_agreed() -> None:
    agreement, around = Agreement(1, 0), sessions(k1="a", k2="b")
    assert asked(agreement, around) == ["k1", "k2"]
    agreement.on_agreed("k1")
    assert not agreement.is_reached(around)

    agreement.on_agreed("k2")

    assert agreement.is_reached(around)


def test_is_not_reached_with_fewer_nodes_than_are_wanted() -> None:
    agreement, around = Agreement(2, 0), sessions(k1="a", k2="a")
    for key in asked(agreement, around):
        agreement.on_agreed(key)

    assert not agreement.is_reached(around)


def test_one_of_two_links_with_a_node_is_enough() -> None:
    agreement = Agreement(1, 0)
    agreement.on_agreed("k2")

    assert agreement.is_reached(sessions(k1="a", k2="a"))


def test_each_connection_is_asked_once_and_a_new_one_anew() -> None:
    agreement = Agreement(1, 0)

    assert asked(agreement, sessions(k1="a")) == ["k1"]
    assert asked(agreement, sessions(k1="a", k2="a")) == ["k2"]


def test_says_who_is_missing_and_who_is_behind_and_by_how_much() -> None:
    agreement, around = Agreement(5, 10), sessions(k1="a", k2="b", k3="c", k4="d")
    agreement.on_agreed("k3")
    members = [Member("a"), Member("e", "lost", reason="no answer for 5 s"), Member("f")]
    described = {"k1": {"lag": 7, "awaited": 4}, "k2": None, "k4": {"lag": 1, "awaited": 2}}

    why = agreement.why_not(around, members, described, 12)

    assert why == (
        "only 4 of 5 nodes are connected; e is lost (no answer for 5 s); f is found; "
        "a has not confirmed up to 5 of our events and up to 4 of its events are not here; b has not answered; "
        "up to 2 of d's events are not here"
    )


def write(room: Room, count: int, size: int = 10) -> None:
    for number in range(count):
        room.log.add({"type": f"{room} {number}", "text": "x" * size})


def test_two_that_hold_the_same_are_synchronized_after_one_answer() -> None:
    with Cluster(1) as house:
        kitchen, _ = start_two(house)

        waited = kitchen.ask_synchronized()
        house.run(0.1)

        assert waited.is_done and waited.exception is None


def test_what_both_wrote_over_a_slow_link_is_on_both_once_it_is_synchronized() -> None:
    with Cluster(2) as house:
        kitchen, study = start_two(house)
        house.slow(kitchen, study, bytes_per_second=20_000)
        house.slow(study, kitchen, bytes_per_second=20_000)
        write(kitchen, 100, 2_000)
        write(study, 150, 2_000)
        house.run(1)
        assert len(kitchen.types) < 250 > len(study.types)

        waited = kitchen.ask_synchronized()
        house.loop.run_until(lambda: waited.is_done, 60)

        waited.result()
        assert len(kitchen.types) == len(study.types) == 250


def test_a_node_that_writes_all_the_time_is_waited_for_only_as_far_as_it_had_come() -> None:
    with Cluster(3) as house:
        kitchen, study, attic = house.start("kitchen", "study", "attic")
        house.settle("met")
        is_over = False

        def write_on() -> None:
            if not is_over:
                attic.log.add({"type": "tick"})
                house.loop.call_later(0.005, write_on)

        write_on()
        house.run(1)
        waits = [room.ask_synchronized(2, 2.0) for room in (kitchen, study, attic)]
        house.loop.run_until(lambda: all(wait.is_done for wait in waits), 3)
        is_over = True

        assert [wait.exception for wait in waits] == [None] * 3


def test_is_not_reached_before_a_third_node_comes() -> None:
    with Cluster(4) as house:
        kitchen, _ = start_two(house)
        write(kitchen, 3)
        house.settle("written")
        waited = kitchen.ask_synchronized(2)
        house.run(10)
        assert not waited.is_done

        (attic,) = house.start("attic")
        house.loop.run_until(lambda: waited.is_done, 30)

        waited.result()
        assert len(attic.types) == 3


def test_behind_a_wall_it_is_told_that_nobody_is_connected() -> None:
    with Cluster(5) as house:
        kitchen, study = start_two(house)
        house.partition([kitchen], [study])
        kitchen.log.add({"type": "milk"}).get()
        early = kitchen.ask_synchronized(1, 2.0)
        late = kitchen.ask_synchronized(1, 20.0)
        house.run(21)
        house.heal()

        assert str(early.exception) == (
            f"not synchronized within 2 s: {study.node_id} has not confirmed up to 1 of our events"
        )
        assert str(late.exception) == (
            f"not synchronized within 20 s: no node is connected; "
            f"{study.node_id} is suspect (study:4000: timed out after 3 s)"
        )
        assert isinstance(late.exception, TimeoutError)


def test_goes_on_waiting_over_a_new_connection() -> None:
    with Cluster(6) as house:
        kitchen, study = start_two(house)
        house.partition([kitchen], [study])
        study.log.add({"type": "bread"})
        waited = kitchen.ask_synchronized()
        house.run(30)
        assert not waited.is_done

        house.heal()
        house.loop.run_until(lambda: waited.is_done, 30)

        waited.result()
        assert kitchen.types == ["bread"]


def test_a_node_whose_disk_was_lost_gets_all_of_it_first() -> None:
    with Cluster(7) as house:
        kitchen, study = start_two(house)
        write(kitchen, 200, 1_000)
        house.settle("both have it")
        house.crash(study)
        study.lose_log()
        house.slow(kitchen, study, bytes_per_second=50_000)
        waited = kitchen.ask_synchronized()

        house.restart(study)
        house.loop.run_until(lambda: waited.is_done, 60)

        waited.result()
        assert len(study.types) == 200


def test_a_node_is_shown_behind_since_it_last_had_everything_also_after_it_came_back() -> None:
    with Cluster(10) as house:
        kitchen, study = start_two(house)
        house.run(5)
        house.partition([kitchen], [study])
        walled_ms = kitchen.clock.now_ms()
        write(kitchen, 40, 2_000)
        house.run(30)
        (away,) = kitchen.status()["peers"]
        house.slow(kitchen, study, bytes_per_second=2_000)
        house.heal()
        house.loop.run_until(lambda: study.node_id in kitchen.peers, 60)
        house.run(1)
        (back,) = kitchen.status()["peers"]
        house.settle("both have it")
        house.run(5)
        (level,) = kitchen.status()["peers"]

    assert (away["session"], away["behind"], level["behind"], level["behind_since_ms"]) == (None, 40, 0, None)
    assert 0 <= away["behind_since_ms"] - walled_ms < 100 < away["since_ms"] - walled_ms
    assert (back["session"], back["behind_since_ms"]) == ("sending", away["behind_since_ms"])


def test_a_wait_ends_when_the_node_stops() -> None:
    with Cluster(8) as house:
        (kitchen,) = house.start("kitchen")
        waited = kitchen.ask_synchronized()
        house.run(1)

        house.stop(kitchen)

        with pytest.raises(MeshError, match="this node stopped"):
            waited.result()


@pytest.mark.parametrize("seed", range(3))
def test_whenever_it_is_reached_it_is_true(seed: int) -> None:
    random = Random(seed)
    with Cluster(seed) as house:
        rooms = house.start("kitchen", "study", "attic", "hall")
        house.settle("met")
        for one, other in combinations(rooms, 2):
            for way in ((one, other), (other, one)):
                house.slow(*way, latency_ms=(1, random.choice([2, 300])), bytes_per_second=random.choice([3_000, 1e6]))
        reached = 0
        for round_number in range(8):
            for room in rooms:
                write(room, random.randint(0, 12), random.choice([10, 3_000]))
            house.run(random.random())
            asker = random.choice(rooms)
            before = {room.node_id: room.store._numbers.vector for room in rooms}
            waited = asker.ask_synchronized(random.randint(1, 3), 25.0)
            if round_number == 4:
                house.partition(rooms[:2], rooms[2:])
            house.loop.run_until(lambda done=waited: done.is_done, 30)
            if waited.exception is not None:
                house.heal()
                continue
            reached += 1
            for other in [room for room in rooms if room.node_id in asker.peers]:
                assert other.store._numbers.vector.covers_all(before[asker.node_id])
                assert asker.store._numbers.vector.covers_all(before[other.node_id])
        house.heal()
    assert reached >= 3


def test_the_same_seed_gives_the_same_waits() -> None:
    def play() -> str:
        with Cluster(9) as house:
            kitchen, study = start_two(house)
            house.slow(study, kitchen, bytes_per_second=20_000)
            write(study, 50, 1_000)
            kitchen.ask_synchronized()
            house.settle("done")
        return house.trace_hash

    assert play() == play()
