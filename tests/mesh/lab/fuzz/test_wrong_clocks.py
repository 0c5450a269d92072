"""What wrong clocks do to the order of events: it never differs between nodes, and later events come later again."""

from __future__ import annotations

from mesh.lab import Cluster
from mesh.lab.fuzz.script import Script, step
from mesh.lab.fuzz.storm import play
from peers.events.created import MAX_DRIFT_MS

HOUR_MS = 3_600_000
TEN_YEARS_MS = 87_600 * HOUR_MS


def test_after_a_clock_is_set_right_new_events_are_timed_by_it_again() -> None:
    # Else one evening in the year 2099 would put a machine's events behind all others for ever. The price: what is written
    # after the correction comes before what was written in that future, on every node.
    with Cluster(1) as house:
        kitchen, study = house.start("kitchen", "study")
        house.skew(kitchen, HOUR_MS)
        kitchen.log.add({"type": "in the future"})
        house.settle("one")

        house.skew(kitchen, -HOUR_MS)
        kitchen.log.add({"type": "now"})
        house.run(MAX_DRIFT_MS / 1000 + 1)
        study.log.add({"type": "a minute later"})
        house.settle("all")

        house.assert_converged(["now", "a minute later", "in the future"])


def test_a_small_step_back_reorders_nothing() -> None:
    with Cluster(1) as house:
        kitchen, _ = house.start("kitchen", "study")
        kitchen.log.add({"type": "first"})
        house.settle("one")

        house.skew(kitchen, -MAX_DRIFT_MS + 1_000)
        kitchen.log.add({"type": "second"})
        house.settle("two")

        house.assert_converged(["first", "second"])


def test_one_event_from_ten_years_ahead_makes_no_later_one_late_after_a_restart_too() -> None:
    with Cluster(1) as house:
        kitchen, study = house.start("kitchen", "study")
        house.skew(kitchen, TEN_YEARS_MS)
        kitchen.log.add({"type": "in ten years"})
        house.settle("one")
        house.skew(kitchen, -TEN_YEARS_MS)

        kitchen.log.add({"type": "1"})
        house.run(5)
        study.log.add({"type": "2"})
        house.run(5)
        house.stop(kitchen)
        house.start("kitchen")
        house.settle("it is back")
        kitchen.log.add({"type": "3"})
        house.run(5)
        study.log.add({"type": "4"})
        house.settle("all")

        house.assert_converged(["1", "2", "3", "4", "in ten years"])


def test_what_a_node_answers_to_one_whose_log_is_ten_years_ahead_comes_after_it() -> None:
    with Cluster(1) as house:
        kitchen, study = house.start("kitchen", "study")
        house.skew(study, -30_000)
        house.skew(kitchen, TEN_YEARS_MS)
        kitchen.log.add({"type": "in ten years"})
        house.settle("one")
        house.skew(kitchen, -TEN_YEARS_MS)

        kitchen.log.add({"type": "question"})
        house.settle("asked")
        study.log.add({"type": "answer"})
        house.settle("answered")

        house.assert_converged(["question", "answer", "in ten years"])
        assert house.status(study)["ahead"] == 1


def test_a_client_shows_what_a_fast_node_wrote_in_the_order_of_the_nodes() -> None:
    script = Script(
        rooms=("attic", "den", "entry"),
        shape="star",
        steps=(
            step("skew", "entry", 90_000),
            step("write", "entry", 1),
            step("wait", 1.0),
            step("skew", "attic", 75_000),
            step("write", "attic", 1),
        ),
        clients=(("phone", "den", 5),),
    )

    assert play(script, 26).failure is None
