"""Wrong clocks: steps of a node's own clock, a log that is ahead of it, and differences with connected nodes."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.lab import Cluster
from mesh.membership.actions import Action, Notice
from mesh.membership.diagnosis.clocks import Clocks, length
from mesh.membership.dialling.link_selection import Link
from mesh.membership.membership import Membership
from tests.support.one_node import membership as new_membership

SECOND, HOUR, YEAR = 1_000, 3_600_000, 31_557_600_000
NOW = 60 * YEAR


def connected_to(*names: str) -> Membership:
    membership = new_membership("m", "run1")
    for name in names:
        membership.on_accepted(name, "10.0.0.1:5000")
        membership.on_greeted(name, name, Link(name, name, False, "run1", 0.0), (), "10.0.0.1:5000", 0.0)
    return membership


def clocks_of(membership: Membership) -> Clocks:
    """The clocks of a node, with a first reading of its own one."""
    clocks = Clocks(membership)
    clocks.on_reading(NOW, 0.0, NOW)
    return clocks


def clocks_among(*names: str) -> Clocks:
    return clocks_of(connected_to(*names))


def sentences(actions: list[Action]) -> list[str]:
    return [action.sentence for action in actions if isinstance(action, Notice)]


def shown(clocks: Clocks) -> list[tuple[str, int]]:
    return [(row["kind"], row["ms"]) for row in clocks.rows()]


@pytest.mark.parametrize(
    ("ms", "words"),
    [(-61_000, "61 s"), (HOUR, "3600 s"), (10 * HOUR, "10 hours"), (YEAR, "365 days"), (-56 * YEAR, "56 years")],
)
def test_a_length_of_time_is_shown_in_the_largest_unit_that_fits(ms: int, words: str) -> None:
    assert length(ms) == words


def test_a_step_is_reported_once_and_shown_for_a_day() -> None:
    clocks = clocks_among()

    reported = [sentences(clocks.on_reading(NOW - HOUR + s * SECOND, s * SECOND, NOW - HOUR)) for s in (10, 20)]

    assert reported == [["this machine's clock stepped back by 3600 s"], []]
    assert shown(clocks) == [("step", -HOUR)]
    clocks.on_reading(NOW + 24 * HOUR, 25 * HOUR, NOW)
    assert shown(clocks) == []


def test_a_clock_that_is_adjusted_by_a_minute_or_slowly_is_not_reported() -> None:
    clocks = clocks_among()

    reported = [sentences(clocks.on_reading(NOW - n * 60_000, 0.0, NOW - n * 60_000)) for n in range(5)]

    assert reported == [[]] * 5
    assert shown(clocks) == []


def test_a_log_that_is_ahead_is_reported_once_while_it_is() -> None:
    clocks = clocks_among()

    reported = [sentences(clocks.on_reading(NOW, 0.0, NOW + 10 * YEAR)) for _ in range(2)]

    assert "our log's clock is 10 years ahead of this machine's" in reported[0][0]
    assert reported[1] == []
    assert shown(clocks) == [("lead", 10 * YEAR)]


def test_with_one_neighbour_either_clock_may_be_the_wrong_one() -> None:
    clocks = clocks_among("study")

    reported = sentences(clocks.on_compared("study", (56 * YEAR, 56 * YEAR)))

    assert reported == ["this machine's clock is 56 years behind study's"]
    assert shown(clocks) == [("neighbour", 56 * YEAR)]
    assert sentences(clocks.on_compared("study", (56 * YEAR + HOUR, 56 * YEAR + HOUR))) == []


def test_a_difference_that_was_corrected_is_reported_again_when_it_comes_back() -> None:
    clocks = clocks_among("study")
    clocks.on_compared("study", (HOUR, HOUR))

    clocks.on_compared("study", (-1, 1))

    assert shown(clocks) == []
    assert sentences(clocks.on_compared("study", (HOUR, HOUR))) == ["this machine's clock is 3600 s behind study's"]


def test_one_wrong_neighbour_does_not_make_our_clock_wrong() -> None:
    clocks = clocks_among("attic", "hall", "study")
    clocks.on_compared("attic", (-5, 5))
    clocks.on_compared("hall", (-5, 5))

    reported = sentences(clocks.on_compared("study", (-YEAR, -YEAR)))

    assert reported == ["study's clock is 365 days behind this machine's"]
    assert shown(clocks) == [("neighbour", -YEAR)]


def test_when_most_neighbours_disagree_our_clock_is_the_wrong_one() -> None:
    clocks = clocks_among("attic", "hall", "study")
    clocks.on_compared("attic", (-5, 5))
    clocks.on_compared("hall", (YEAR, YEAR))

    reported = sentences(clocks.on_compared("study", (YEAR, YEAR)))

    assert reported == [
        "this machine's clock is wrong: it is 365 days behind the clocks of 2 of 3 neighbours; "
        "set it, or let a time service (NTP) do so"
    ]
    assert shown(clocks) == [("own", -YEAR)]


def test_neighbours_that_differ_in_both_directions_do_not_show_that_our_clock_is_wrong() -> None:
    clocks = clocks_among("attic", "hall", "study")
    clocks.on_compared("attic", (-5, 5))
    clocks.on_compared("hall", (YEAR, YEAR))

    clocks.on_compared("study", (-YEAR, -YEAR))

    assert shown(clocks) == [("neighbour", YEAR), ("neighbour", -YEAR)]


def test_our_own_step_explains_the_differences_that_come_with_it() -> None:
    clocks = clocks_among("hall", "study")
    clocks.on_compared("hall", (-5, 5))
    clocks.on_compared("study", (-5, 5))

    reported = sentences(clocks.on_reading(NOW - HOUR, 0.0, NOW))

    assert reported == [
        "this machine's clock stepped back by 3600 s: what is written now comes before what was written in the last 3600 s"
    ]
    assert sentences(clocks.on_compared("hall", (HOUR, HOUR))) == []
    assert [kind for kind, _ in shown(clocks)] == ["step", "lead", "own"]


def test_only_connected_nodes_count() -> None:
    membership = connected_to("study")
    clocks = clocks_of(membership)
    clocks.on_compared("study", (HOUR, HOUR))

    membership.on_closed("study", "gone", 1.0)

    assert shown(clocks) == []


@pytest.mark.parametrize(("ms", "way"), [(30 * YEAR, "ahead"), (-30 * YEAR, "behind")])
def test_a_wrong_clock_is_reported_at_both_ends_of_a_link(ms: int, way: str) -> None:
    with Cluster(3) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        cluster.stop(kitchen)
        cluster.skew(kitchen, ms)
        cluster.start("kitchen")
        cluster.settle("met again")

        for room in (kitchen, study):
            room.log.add({"type": f"from {room.name}"})
        cluster.settle("all")

        (here,), (there,) = cluster.status(kitchen)["clocks"], cluster.status(study)["clocks"]
        other = "ahead of" if way == "behind" else "behind"
        assert here["sentence"].startswith(f"this machine's clock is 30 years {way}")
        assert there["sentence"].startswith(f"this machine's clock is 30 years {other}")
        assert sum(": clock: " in line for line in cluster.trace) == 2


def test_a_step_back_on_an_old_link_is_reported_by_the_node_and_by_its_neighbours() -> None:
    with Cluster(3) as cluster:
        kitchen, study, attic = cluster.start("kitchen", "study", "attic")
        cluster.settle("met")
        cluster.run(2 * 3_600)
        cluster.skew(kitchen, -HOUR)

        cluster.run(10)
        kitchen.log.add({"type": "a"})
        cluster.settle("one")

        rows: dict[str, Any] = {room.name: cluster.status(room)["clocks"] for room in (kitchen, study, attic)}
        assert rows["kitchen"][0]["sentence"] == "this machine's clock stepped back by 3600 s"
        for name in ("study", "attic"):
            (row,) = rows[name]
            assert row["node_id"] == kitchen.node_id
            assert -HOUR <= row["ms"] < -HOUR + 60 * SECOND
        assert sum(": clock: " in line for line in cluster.trace) == 3


def test_a_clock_that_is_right_again_is_no_longer_shown_as_wrong() -> None:
    with Cluster(3) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        cluster.settle("met")
        cluster.skew(kitchen, 20 * HOUR)
        kitchen.log.add({"type": "a"})
        cluster.run(15)
        assert [row["kind"] for row in cluster.status(study)["clocks"]] == ["neighbour"]

        cluster.skew(kitchen, -20 * HOUR)
        kitchen.log.add({"type": "b"})
        cluster.settle("two")

        assert cluster.status(study)["clocks"] == []
        assert [row["kind"] for row in cluster.status(kitchen)["clocks"]] == ["step", "lead"]
