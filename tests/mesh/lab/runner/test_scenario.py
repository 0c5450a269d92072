"""Scenarios run by themselves, and again from their seed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.lab import Cluster, scenario
from mesh.lab.runner.scenario import SHOWN_FAILURES
from scenarios.partition import partition
from tests.support.seeds import seeds
from tests.support.story_scripts import run, write


def play(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("scenarios/partition.py", *arguments)


def test_the_partition_scenario_passes_with_every_seed() -> None:
    outcomes = [partition.run(seed) for seed in range(20)]

    assert [(outcome.seed, outcome.failure) for outcome in outcomes if outcome.failure is not None] == []
    assert len({outcome.trace_hash for outcome in outcomes}) == 20  # each is another run


def test_a_script_prints_one_line_per_beat() -> None:
    played = play()

    lines = played.stdout.splitlines()
    assert played.returncode == 0
    assert [line.split("s  ")[1].split("  ")[0] for line in lines] == [
        "the three have met",
        "each side agrees with itself",
        "the wall is down",
    ]
    assert lines[1].endswith("kitchen 1  study 1  attic 1")


@pytest.mark.parametrize("seed", seeds(10, always=3))
def test_the_wall_stands_until_every_connection_through_it_has_broken(seed: int) -> None:
    story = "\n".join(partition.run(seed).trace)

    behind_the_wall = story.partition(" * partition ")[2].partition(" * heal")[0]

    broken = re.findall(r" (\w+): disconnected: lost the connection to (\w+)~", behind_the_wall)
    assert {*broken} == {("kitchen", "study"), ("kitchen", "attic"), ("study", "kitchen"), ("attic", "kitchen")}


def test_many_seeds_are_summed_up() -> None:
    assert play("--seed", "3", "--seeds", "5").stdout == "partition: 5 of 5 seeds passed\n"


@scenario
def hopeless(house: Cluster) -> None:
    kitchen, _study = house.start("kitchen", "study")
    house.settle("met")
    kitchen.log.add({"type": "milk"})
    house.settle("agreed")
    house.assert_converged(["bread"])


def test_a_scenario_that_fails_reports_what_each_room_saw() -> None:
    outcome = hopeless.run(5)

    assert outcome.failure is not None
    assert outcome.failure.startswith("expected ['bread']: kitchen saw ['milk']; study saw ['milk'] (seed 5, at ")
    assert outcome.saw == ("kitchen saw ['milk']", "study saw ['milk']")
    assert any("agreed" in line for line in outcome.trace)


def test_a_failing_script_names_the_seed_and_how_to_replay_it(tmp_path: Path) -> None:
    script = write(tmp_path / "hopeless.py", "(kitchen,) = house.start('kitchen')", "assert kitchen.types == ['milk']")

    failed = run(script, "--seed", "9")

    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-3:] == [
        "example failed with seed 9: `kitchen.types == ['milk']` is not so "
        "(seed 9, at 0.003 s, before the first beat) (hopeless.py, line 7)",
        "  kitchen saw []",
        f"replay: {sys.executable} {script} --seed 9 --trace",
    ]


@scenario
def mistaken(house: Cluster) -> None:
    house.start("kitchen")
    house.heal("kitchen")  # type: ignore[call-arg]


def test_a_scenario_that_raises_any_other_error_has_failed_with_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = mistaken.run(3)
    mistaken.show_failure(outcome, replay="mesh scenario mistaken")

    shown = capsys.readouterr().err
    assert "Traceback (most recent call last):" in shown
    assert "mistaken failed with seed 3: TypeError: " in shown
    assert shown.endswith("  kitchen saw []\nreplay: mesh scenario mistaken --seed 3 --trace\n")


def test_many_failures_are_shown_briefly_and_only_the_first_few(tmp_path: Path) -> None:
    script = write(tmp_path / "hopeless.py", "assert house.rooms")

    failed = run(script, "--seeds", "9")

    assert failed.stdout == "example: 0 of 9 seeds passed\n"
    shown = failed.stderr.splitlines()
    assert sum(line.startswith("replay: ") for line in shown[: 2 * SHOWN_FAILURES]) == SHOWN_FAILURES
    assert shown[2 * SHOWN_FAILURES] == "the shortest of those that failed ended so:"
    assert shown[-1] == f"replay: {sys.executable} {script} --seed 0 --trace"


def test_an_interrupted_script_shows_it_by_its_exit_code_alone(tmp_path: Path) -> None:
    ended = run(write(tmp_path / "impatient.py", "raise KeyboardInterrupt"))

    assert (ended.returncode, ended.stderr) == (130, "")
