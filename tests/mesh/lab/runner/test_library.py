"""The library: every scenario passes with every seed, and `mesh scenario` plays it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import mesh.cli.commands
from mesh.lab.runner.library import load, titles
from mesh.lab.runner.outcome import Tally
from tests.support.root import ROOT
from tests.support.story_scripts import run

STORIES = sorted(path.stem for path in (ROOT / "scenarios").glob("*.py"))
MANY_SEEDS = 22


def command(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """`mesh scenario` in a process of its own."""
    return run("-m", "mesh", "scenario", *arguments, timeout=100, hash_seed=hash_seed)


@pytest.mark.parametrize("name", STORIES)
def test_the_scenario_passes(name: str) -> None:
    assert load(name).run(0).failure is None


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", STORIES)
def test_the_scenario_passes_with_many_seeds(name: str) -> None:
    outcomes = [load(name).run(seed) for seed in range(MANY_SEEDS)]

    assert [outcome.failure for outcome in outcomes] == [None] * MANY_SEEDS
    assert len({outcome.trace_hash for outcome in outcomes}) == MANY_SEEDS


@pytest.mark.parametrize("name", ["partition", "crash_and_return", "flapping_link", "mixed_clients", "ring_of_seven"])
def test_the_same_seed_gives_the_same_trace_in_every_process(name: str) -> None:
    one = command(name, "--seed", "7", "--trace", hash_seed="1")
    other = command(name, "--seed", "7", "--trace", hash_seed="77")

    assert one.returncode == 0
    assert len(one.stdout.splitlines()) > 50
    assert one.stdout == other.stdout


def test_the_readme_names_every_scenario_and_no_other() -> None:
    readme = (ROOT / "scenarios" / "README.md").read_text()

    assert sorted(re.findall(r"^\| \[(\w+)\]\(\1\.py\) \|", readme, re.MULTILINE)) == STORIES


@pytest.mark.parametrize("name", STORIES)
def test_a_script_has_one_sentence_and_a_scenario_of_its_name(name: str) -> None:
    assert 20 < len(titles()[name]) <= 90
    assert load(name).name == name
    assert (ROOT / "scenarios" / f"{name}.py").read_text().endswith(f"    {name}.main()  # --seed 7 --trace\n")


def test_the_list_names_every_scenario_and_what_happens() -> None:
    done = CliRunner().invoke(mesh.cli.commands.app, ["scenario", "--list"])

    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["scenario", "what", "happens"]
    assert [re.split("  +", row.rstrip())[:2] for row in rows] == [[name, title] for name, title in titles().items()]


def test_a_scenario_is_played_by_its_name_with_a_line_per_beat() -> None:
    done = CliRunner().invoke(mesh.cli.commands.app, ["scenario", "partition", "--seed", "3"])

    assert done.exit_code == 0
    assert [line.split("  ")[1] for line in done.stdout.splitlines()] == [
        "the three have met",
        "each side agrees with itself",
        "the wall is down",
    ]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("partitoin", "there is no scenario 'partitoin': did you mean partition? `mesh scenario --list` shows all"),
        ("latejoiner", "there is no scenario 'latejoiner': did you mean late_joiner? `mesh scenario --list` shows all"),
        ("xyzzy", "there is no scenario 'xyzzy': `mesh scenario --list` shows all"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_one(name: str, sentence: str) -> None:
    done = CliRunner().invoke(mesh.cli.commands.app, ["scenario", name])

    assert done.exit_code == 2
    assert done.stderr.endswith(f"Error: {sentence}\n")


@pytest.fixture
def two_stories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library of one scenario that passes and one that does not."""
    head = "from mesh.lab import Cluster, scenario\n\n\n@scenario\n"
    body = "def {}(house: Cluster) -> None:\n    (kitchen,) = house.start('kitchen')\n    assert kitchen.types == {}\n"
    (tmp_path / "fine.py").write_text(f'"""All is well."""\n\n{head}{body.format("fine", "[]")}')
    (tmp_path / "hopeless.py").write_text(f'"""It fails."""\n\n{head}{body.format("hopeless", ["milk"])}')
    monkeypatch.setattr("mesh.lab.runner.folder.FOLDERS", (tmp_path,))


@pytest.mark.usefixtures("two_stories")
def test_all_of_them_are_summed_up_in_a_table() -> None:
    done = CliRunner().invoke(mesh.cli.commands.app, ["scenario", "all", "--seeds", "3", "--processes", "1"])

    heading, *rows = done.stdout.splitlines()
    assert done.exit_code == 1
    assert heading.split()[:4] == ["scenario", "runs", "passed", "events"]
    assert [row.split()[:4] for row in rows[:3]] == [
        ["fine", "3", "3", "0"],
        ["hopeless", "3", "0", "0"],
        ["all", "6", "3", "0"],
    ]


@pytest.mark.usefixtures("two_stories")
def test_a_scenario_that_fails_ends_with_what_each_room_saw_and_how_to_replay_it() -> None:
    done = CliRunner().invoke(mesh.cli.commands.app, ["scenario", "hopeless", "--seed", "5"])

    assert done.exit_code == 1
    assert done.stderr.splitlines()[-3:] == [
        "hopeless failed with seed 5: `kitchen.types == ['milk']` is not so "
        "(seed 5, at 0.003 s, before the first beat) (hopeless.py, line 9)",
        "  kitchen saw []",
        "replay: mesh scenario hopeless --seed 5 --trace",
    ]


def test_a_missing_library_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.lab.runner.folder.FOLDERS", (tmp_path / "none",))

    done = CliRunner().invoke(mesh.cli.commands.app, ["scenario", "--list"])

    assert done.exit_code == 1
    assert done.stderr == f"there are no scenarios at {tmp_path / 'none'}: install peermesh again\n"


def test_a_storm_can_be_played_from_the_command_line() -> None:
    done = command("storm", "--nodes", "3", "--minutes", "0.5", "--processes", "1")

    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_a_wrong_number_of_nodes_is_explained() -> None:
    done = CliRunner().invoke(mesh.cli.commands.app, ["scenario", "storm", "--nodes", "9..3"])

    assert done.exit_code == 2
    assert "'9..3' is not a number of nodes" in done.stderr


def test_a_slow_link_is_not_a_dead_one() -> None:
    # Found with seed 0: the sender of a page that takes minutes hears nothing from its reader, and took it for dead.
    trace = load("slow_link").run(0).trace

    assert [line for line in trace if "timeout" in line] == []


def test_a_tally_adds_up_what_its_runs_did() -> None:
    tally = Tally("partition")

    for seed in range(2):
        tally.add(replace(load("partition").run(seed), real_seconds=3.0))

    assert (tally.runs, tally.failures, tally.events, tally.real_seconds) == (2, 0, 4, 6.0)
    assert tally.row().split()[-1] == "20"  # runs a minute
    assert (tally.verbs["heal"], tally.verbs["partition"]) == (2, 2)
