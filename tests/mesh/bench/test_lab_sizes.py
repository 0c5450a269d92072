"""Large clusters: all nodes agree, and the number of messages grows with the number of links.

The documented sizes (100 and 300 nodes) take minutes: `pytest -m long tests/mesh/bench/test_lab_sizes.py` runs them.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from mesh.bench.lab import SIZES, LabRun, Size, play, show
from mesh.lab import Cluster
from mesh.lab.cluster.topology import chords, ring


def test_twenty_four_connected_nodes_agree_after_a_partition() -> None:
    run = play(Size("twenty-four", 24, "all", 1, 1))

    assert (run.links, run.events) == (24 * 23 // 2, 48)
    assert run.virtual_seconds < 30


def test_forty_nodes_with_four_links_each_agree_after_a_partition() -> None:
    run = play(Size("forty", 40, "some", 1, 1))

    assert (run.links, run.events) == (80, 80)
    assert run.virtual_seconds < 30


def test_a_line_of_thirty_nodes_agrees_after_a_partition_in_its_middle() -> None:
    run = play(Size("thirty", 30, "line", 1, 1))

    assert (run.links, run.events) == (29, 60)
    assert run.virtual_seconds < 60


@pytest.mark.parametrize("size", [Size("full", 12, "all", 2, 2), Size("partial", 20, "some", 2, 2)])
def test_the_same_size_and_seed_give_the_same_run(size: Size) -> None:
    first, second, other = play(size, 3), play(size, 3), play(size, 4)

    assert (first.trace_hash, first.callbacks) == (second.trace_hash, second.callbacks)
    assert first.trace_hash != other.trace_hash


def frames(cluster: Cluster) -> Counter[str]:
    """How many frames of each kind were read so far, by the name of the message."""
    return Counter(line.split('"')[1] for line in cluster.trace if ' ["' in line)


def test_among_thirty_nodes_an_event_is_sent_to_each_about_once_and_a_burst_is_announced_a_few_times_only() -> None:
    with Cluster(1) as cluster:
        rooms = cluster.start(*[f"room{number}" for number in range(30)])
        cluster.settle("met")

        for room in rooms[:6]:
            room.log.add({"type": "a"})
            cluster.run(0.3)

        single = frames(cluster)
        assert 6 * 29 <= single["pieces"] <= 1.1 * 6 * 29

        for room in rooms:
            room.log.add({"type": "a"})
        cluster.run(1)

        burst = frames(cluster) - single
        assert burst["have"] <= 3 * 30 * 29  # 15 for each direction, if each commit was announced alone
        assert burst["pieces"] <= 1.1 * 30 * 29


def test_chords_are_a_ring_and_further_links() -> None:
    names = [f"room{number}" for number in range(50)]

    links = chords(names, random=Random(1), links_each=4)

    pairs = [frozenset(link) for link in links]
    assert len(pairs) == len(dict.fromkeys(pairs)) == 100
    assert not {frozenset(link) for link in ring(names)} - {*pairs}


def test_chords_of_a_few_nodes_are_all_links() -> None:
    assert len(chords("abcd", random=Random(1), links_each=9)) == 6


def test_the_table_has_a_line_for_each_size() -> None:
    run = LabRun("few", 5, 10, 5_000, 6.7, 1.9, 23_000, 76.0, "")

    assert show([run]).splitlines()[1].split() == ["few", "5", "10", "5000", "6.7", "1.9", "23000", "76"]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", SIZES, ids=[size.name for size in SIZES])
def test_the_documented_sizes_agree_after_a_partition(size: Size) -> None:
    run = play(size)

    assert run.events == size.nodes * (size.before + size.apart)
    assert run.virtual_seconds < 60
