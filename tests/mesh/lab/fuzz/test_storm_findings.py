"""What storms found: the shortest script of each finding, with its seed."""

from __future__ import annotations

from mesh.lab.fuzz.script import Script, step
from mesh.lab.fuzz.storm import play

# The checker asked for more than was promised


def test_a_client_may_have_another_time_than_a_node_whose_clock_is_behind_gave_its_event() -> None:
    script = Script(
        rooms=("bath",),
        shape="air",
        steps=(step("write", "bath", 1), step("wait", 0.0), step("skew", "bath", -3600000), step("say", "radio", 1)),
        clients=(("radio", "bath", 7),),
    )

    assert play(script, 142).failure is None


def test_a_client_may_have_the_time_that_an_event_had_before_all_disks_lost_it() -> None:
    script = Script(
        rooms=("attic", "bath"),
        shape="star",
        steps=(
            step("say", "phone", 30),
            step("wait", 0.005),
            step("skew", "bath", -3600000),
            step("crash", "bath"),
            step("wait", 0.1),
            step("crash", "attic"),
            step("wipe", "attic"),
            step("wipe", "bath"),
        ),
        clients=(("phone", "bath", (0, 1)), ("tablet", "attic", 7)),
    )

    assert play(script, 1189).failure is None


def test_a_client_that_moves_may_have_what_its_old_room_cleaned_before_the_new_one_had_it() -> None:
    script = Script(
        rooms=("attic", "bath"),
        shape="air",
        steps=(
            step("write", "bath", 5),
            step("wait", 0.02),
            step("clean", "bath", 0.3),
            step("move", "phone", "attic"),
        ),
        clients=(("phone", "bath", (0, 1)),),
    )

    assert play(script, 76).failure is None


def test_what_a_client_wrote_may_be_cleaned_elsewhere_when_its_room_loses_its_disk() -> None:
    script = Script(
        rooms=("den", "foyer"),
        shape="line",
        steps=(
            step("say", "radio", 1),
            step("wait", 0.1),
            step("crash", "den"),
            step("lose", "den"),
            step("clean", "foyer", 1.0),
        ),
        clients=(("radio", "den", 7),),
    )

    assert play(script, 345).failure is None


def test_a_proof_that_comes_before_a_room_greets_takes_entries_from_what_it_has() -> None:
    # A link opens; foyer proves that the epoch of bath forked; then bath greets den, which has the other branch.
    script = Script(
        rooms=("den", "bath", "foyer"),
        shape="line",
        steps=(
            step("write", "bath", 1),
            step("wait", 0.1),
            step("backup", "bath"),
            step("write", "bath", 1),
            step("wait", 2.0),
            step("wall", "bath"),
            step("resume", "bath"),
            step("write", "bath", 2),
            step("slow", "bath", "den", 20, None, 0.0),
            step("heal"),
            step("wait", 0.1),
        ),
    )

    assert play(script, 2).failure is None


# The lab was wrong


def test_a_cluster_does_not_settle_while_a_client_commits() -> None:
    script = Script(
        rooms=("bath",),
        shape="air",
        steps=(step("wait", 0.005), step("say", "radio", 1)),
        clients=(("radio", "bath", 7),),
    )

    assert play(script, 142).failure is None


def test_a_node_that_stops_may_close_its_file_before_its_last_results_show() -> None:
    for seed in range(144, 154):
        script = Script(
            rooms=("attic", "bath"),
            shape="air",
            steps=(
                *[each for _ in range(20) for each in (step("write", "attic", 1), step("wait", 0.0005))],
                step("stop", "attic"),
            ),
            store="sqlite",
        )

        assert play(script, seed).failure is None
