"""Agreement: a node waits until it and the others hold all events that each of them held at the call."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from mesh.errors import MeshError
from mesh.lab import Cluster, Room
from mesh.membership.agreement import Agreement
from mesh.membership.dialling.link_selection import Link
from mesh.membership.dialling.refusals import ANOTHER_MESH
from mesh.membership.member import Member
from mesh.membership.session_record import Session, Sessions
from peers.events.dot import Epoch
from peers.events.epoch import EpochEnd
from tests.support.lab_house import start_two


def sessions(**node_ids: str) -> Sessions:
    """Connected sessions by key; the connection id is the key."""
    return Sessions(
        {
            key: Session(key, False, other_node_id=node_id, connection_id=key, link=Link(key, key, False, "run1", 0.0))
            for key, node_id in node_ids.items()
        }
    )


def asked(agreement: Agreement, around: Sessions) -> list[str]:
    return [session.key for session in agreement.to_ask(around)]


def test_waits_until_each_link_agreed() -> None:
    agreement, around = Agreement(1, 0), sessions(k1="a", k2="b")
    assert asked(agreement, around) == ["k1", "k2"]
    agreement.on_agreed("k1")
    assert not agreement.is_reached(around)

    agreement.on_agreed("k2")

    assert agreement.is_reached(around)


def test_waits_for_the_number_of_nodes_that_was_asked_for() -> None:
    agreement, around = Agreement(2, 0), sessions(k1="a", k2="a")
    for key in asked(agreement, around):
        agreement.on_agreed(key)

    assert not agreement.is_reached(around)


def test_one_of_two_links_with_a_node_is_enough() -> None:
    agreement = Agreement(1, 0)
    agreement.on_agreed("k2")

    assert agreement.is_reached(sessions(k1="a", k2="a"))


def test_each_connection_is_asked_once() -> None:
    agreement = Agreement(1, 0)

    assert asked(agreement, sessions(k1="a")) == ["k1"]
    assert asked(agreement, sessions(k1="a", k2="a")) == ["k2"]


def test_names_the_nodes_that_are_missing_or_behind_and_by_how_many_events() -> None:
    agreement, around = Agreement(5, 10), sessions(k1="a", k2="b", k3="c", k4="d")
    agreement.on_agreed("k3")
    members = [Member("a"), Member("e", "lost", reason="no answer for 5 s"), Member("f")]
    described = {"k1": {"lag": 7, "awaited": 4}, "k2": None, "k4": {"lag": 1, "awaited": 2}}

    around["static:x:1"] = Session("static:x:1", True, "x:1", reason="x:1: its certificate is not of this mesh")
    around["static:y:1"] = Session("static:y:1", True, "y:1")

    why = agreement.why_not(around, members, described, 12, {"z:1": ANOTHER_MESH})

    assert why == (
        "only 4 of 5 nodes are connected; e is lost (no answer for 5 s); f is found; "
        f"x:1 is not connected (its certificate is not of this mesh); z:1 {ANOTHER_MESH}; "
        "a has not confirmed up to 5 of our events and up to 4 of its events are not here; b has not answered; "
        "up to 2 of d's events are not here"
    )


def write(room: Room, count: int, size: int = 10) -> None:
    for number in range(count):
        room.log.add({"type": f"{room} {number}", "text": "x" * size})


def test_two_nodes_with_the_same_events_are_synchronized_after_one_answer() -> None:
    with Cluster(1) as cluster:
        kitchen, _ = start_two(cluster)

        waited = kitchen.node.synchronized()
        cluster.run(0.1)

        assert waited.is_done and waited.exception is None


def test_when_a_wait_over_a_slow_link_ends_both_nodes_hold_what_both_wrote() -> None:
    with Cluster(2) as cluster:
        kitchen, study = start_two(cluster)
        cluster.slow(kitchen, study, bytes_per_second=20_000)
        cluster.slow(study, kitchen, bytes_per_second=20_000)
        write(kitchen, 100, 2_000)
        write(study, 150, 2_000)
        cluster.run(1)
        assert len(kitchen.types) < 250 > len(study.types)

        waited = kitchen.node.synchronized()
        cluster.loop.run_until(lambda: waited.is_done, 60)

        waited.result()
        assert len(kitchen.types) == len(study.types) == 250


def test_a_node_that_writes_all_the_time_is_waited_for_up_to_its_position_at_the_start() -> None:
    with Cluster(3) as cluster:
        kitchen, study, attic = cluster.start("kitchen", "study", "attic")
        cluster.settle("met")
        is_over = False

        def write_on() -> None:
            if not is_over:
                attic.log.add({"type": "tick"})
                cluster.loop.call_later(0.005, write_on)

        write_on()
        cluster.run(1)
        waits = [room.node.synchronized(peers=2, timeout=2.0) for room in (kitchen, study, attic)]
        cluster.loop.run_until(lambda: all(wait.is_done for wait in waits), 3)
        is_over = True

        assert [wait.exception for wait in waits] == [None] * 3


def test_a_wait_for_three_nodes_ends_when_the_third_connects() -> None:
    with Cluster(4) as cluster:
        kitchen, _ = start_two(cluster)
        write(kitchen, 3)
        cluster.settle("written")
        waited = kitchen.node.synchronized(peers=2)
        cluster.run(10)
        assert not waited.is_done

        (attic,) = cluster.start("attic")
        cluster.loop.run_until(lambda: waited.is_done, 30)

        waited.result()
        assert len(attic.types) == 3


def test_a_wait_behind_a_partition_says_that_no_node_is_connected() -> None:
    with Cluster(5) as cluster:
        kitchen, study = start_two(cluster)
        cluster.partition([kitchen], [study])
        kitchen.log.add({"type": "milk"}).get()
        early = kitchen.node.synchronized(peers=1, timeout=2.0)
        late = kitchen.node.synchronized(peers=1, timeout=20.0)
        cluster.run(21)
        cluster.heal()

        assert str(early.exception) == (
            f"not synchronized within 2 s: {study.node_id} has not confirmed up to 1 of our events"
        )
        assert str(late.exception) == (
            f"not synchronized within 20 s: no node is connected; "
            f"{study.node_id} is suspect (study:4000: timed out after 3 s)"
        )
        assert isinstance(late.exception, TimeoutError)


def test_a_wait_goes_on_over_a_new_connection() -> None:
    with Cluster(6) as cluster:
        kitchen, study = start_two(cluster)
        cluster.partition([kitchen], [study])
        study.log.add({"type": "bread"})
        waited = kitchen.node.synchronized()
        cluster.run(30)
        assert not waited.is_done

        cluster.heal()
        cluster.loop.run_until(lambda: waited.is_done, 30)

        waited.result()
        assert kitchen.types == ["bread"]


def test_a_node_that_lost_its_disk_is_synchronized_when_it_has_all_events_again() -> None:
    with Cluster(7) as cluster:
        kitchen, study = start_two(cluster)
        write(kitchen, 200, 1_000)
        cluster.settle("both have it")
        cluster.crash(study)
        study.lose_log()
        cluster.slow(kitchen, study, bytes_per_second=50_000)
        waited = kitchen.node.synchronized()

        cluster.restart(study)
        cluster.loop.run_until(lambda: waited.is_done, 60)

        waited.result()
        assert len(study.types) == 200


def test_status_shows_since_when_a_node_is_behind_also_after_it_returned() -> None:
    with Cluster(10) as cluster:
        kitchen, study = start_two(cluster)
        cluster.run(5)
        cluster.partition([kitchen], [study])
        walled_ms = kitchen.clock.now_ms()
        write(kitchen, 40, 2_000)
        cluster.run(30)
        (away,) = kitchen.status()["peers"]
        cluster.slow(kitchen, study, bytes_per_second=2_000)
        cluster.heal()
        cluster.loop.run_until(lambda: study.node_id in kitchen.peers, 60)
        cluster.run(1)
        (back,) = kitchen.status()["peers"]
        cluster.settle("both have it")
        cluster.run(5)
        (level,) = kitchen.status()["peers"]

    assert (away["session"], away["behind"], level["behind"], level["behind_since_ms"]) == (None, 40, 0, None)
    assert 0 <= away["behind_since_ms"] - walled_ms < 100 < away["since_ms"] - walled_ms
    assert (back["session"], back["behind_since_ms"]) == ("sending", away["behind_since_ms"])


def test_a_wait_ends_when_the_node_stops() -> None:
    with Cluster(8) as cluster:
        (kitchen,) = cluster.start("kitchen")
        waited = kitchen.node.synchronized()
        cluster.run(1)

        cluster.stop(kitchen)

        with pytest.raises(MeshError, match="this node stopped"):
            waited.result()


def covers(ends: dict[Epoch, EpochEnd], others: dict[Epoch, EpochEnd]) -> bool:
    return all(epoch in ends and ends[epoch].seq >= end.seq for epoch, end in others.items())


@pytest.mark.parametrize("seed", range(3))
def test_a_wait_that_ended_was_right(seed: int) -> None:
    random = Random(seed)
    with Cluster(seed) as cluster:
        rooms = cluster.start("kitchen", "study", "attic", "hall")
        cluster.settle("met")
        for one, other in combinations(rooms, 2):
            for way in ((one, other), (other, one)):
                cluster.slow(
                    *way, latency_ms=(1, random.choice([2, 300])), bytes_per_second=random.choice([3_000, 1e6])
                )
        reached = 0
        for round_number in range(8):
            for room in rooms:
                write(room, random.randint(0, 12), random.choice([10, 3_000]))
            cluster.run(random.random())
            asker = random.choice(rooms)
            before = {room.node_id: room.store.ends() for room in rooms}
            waited = asker.node.synchronized(peers=random.randint(1, 3), timeout=25.0)
            if round_number == 4:
                cluster.partition(rooms[:2], rooms[2:])
            cluster.loop.run_until(lambda done=waited: done.is_done, 30)
            if waited.exception is not None:
                cluster.heal()
                continue
            reached += 1
            for other in [room for room in rooms if room.node_id in asker.peers]:
                assert covers(other.store.ends(), before[asker.node_id])
                assert covers(asker.store.ends(), before[other.node_id])
        cluster.heal()
    assert reached >= 3


def test_the_same_seed_gives_the_same_waits() -> None:
    def play() -> str:
        with Cluster(9) as cluster:
            kitchen, study = start_two(cluster)
            cluster.slow(study, kitchen, bytes_per_second=20_000)
            write(study, 50, 1_000)
            kitchen.node.synchronized()
            cluster.settle("done")
        return cluster.trace_hash

    assert play() == play()
