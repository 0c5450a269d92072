"""Scenarios that go wrong: the report of what their authors did wrong, and of what the product did wrong."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mesh.lab import Cluster, Room, Scenario, scenario
from mesh.lab.recording import trace
from mesh.lab.runner.library import load
from mesh.lab.simulation.wire import WireQuality
from tests.support.story_scripts import HEAD, run, write


def shown(story: Scenario, capsys: pytest.CaptureFixture[str], seed: int = 0) -> list[str]:
    """What a failing story prints."""
    story.show_failure(story.run(seed), replay="again")
    return capsys.readouterr().err.splitlines()


# What cannot be a scenario, and what does not end one


async def awaited(house: Cluster) -> None:
    raise AssertionError


def generated(house: Cluster) -> Iterator[int]:
    yield 5


async def both(house: Cluster) -> Any:
    yield 5


@pytest.mark.parametrize(
    ("story", "sentence"), [(awaited, "is `async def`"), (both, "is `async def`"), (generated, "has a `yield`")]
)
def test_a_function_that_a_call_would_not_run_is_no_scenario(story: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        scenario(story)


@pytest.mark.parametrize(("code", "said"), [(None, ""), (0, "0"), ("no more", "'no more'")])
def test_a_scenario_that_exits_has_failed_with_its_seed(code: object, said: str) -> None:
    @scenario
    def left(house: Cluster) -> None:
        house.start("kitchen")
        sys.exit(code)  # type: ignore[arg-type]

    outcome = left.run(3)

    assert outcome.failure is not None
    assert outcome.failure.startswith(f"the story called sys.exit({said}), and a story ends by its return (seed 3, at ")


# Interruptions


def test_an_interruption_while_the_cluster_ends_is_not_replaced_by_another_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[Room] = []
    close_disk = Room.close_disk

    def interrupted(room: Room) -> None:
        closed.append(room)
        if len(closed) == 1:
            raise KeyboardInterrupt
        close_disk(room)

    monkeypatch.setattr(Room, "close_disk", interrupted)

    with pytest.raises(KeyboardInterrupt), Cluster(1) as house:
        (kitchen,) = house.start("kitchen", store="sqlite")

    assert closed == [kitchen, kitchen]


def test_an_error_of_the_clean_up_does_not_hide_why_the_scenario_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(_: Room) -> None:
        raise RuntimeError("stuck")

    monkeypatch.setattr(Room, "crash", stuck)

    with pytest.raises(AssertionError, match="no bread"), Cluster(1) as house:
        (kitchen,) = house.start("kitchen")
        raise AssertionError("no bread")

    assert kitchen.actors == []


SIGNALS = "import signal\n\nfrom mesh.lab.cluster.room import Room\nfrom mesh.lab.simulation.virtual_loop import VirtualLoop\n"
SWALLOWED = {
    "in a finalizer": (
        "class Last:\n    def __del__(self):\n        signal.raise_signal(signal.SIGINT)\n\n\n",
        ["house.start('kitchen')", "Last()", "house.settle('met')"],
    ),
    "in a callback of a task": (  # a private one: no public callback runs when a task ends
        "forget, times = VirtualLoop._forget_task, iter([1])\n\n\ndef interrupted(loop, task):\n"
        "    if next(times, 0): signal.raise_signal(signal.SIGINT)\n    forget(loop, task)\n\n\n"
        "VirtualLoop._forget_task = interrupted\n\n\n",
        ["house.start('kitchen', 'study')", "house.settle('met')"],
    ),
    "while the disks are freed": (
        "close = Room.close_disk\n\n\ndef interrupted(room):\n    Room.close_disk = close\n"
        "    signal.raise_signal(signal.SIGINT)\n\n\nRoom.close_disk = interrupted\n\n\n",
        ["house.start('kitchen')"],
    ),
    "where the story catches it": (
        "",
        ["house.start('kitchen')", "try: signal.raise_signal(signal.SIGINT)", "except KeyboardInterrupt: pass"],
    ),
}


@pytest.mark.parametrize("place", SWALLOWED)
def test_an_interrupted_run_exits_with_130_wherever_the_interruption_comes(place: str, tmp_path: Path) -> None:
    head, lines = SWALLOWED[place]
    script = write(tmp_path / "example.py", *lines, head=SIGNALS + HEAD + head)

    ended = run(script)

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_the_handler_of_interruptions_is_as_before_after_a_run() -> None:
    before = signal.getsignal(signal.SIGINT)

    load("partition").run(1)

    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_run_of_many_seeds_says_how_many_were_played(tmp_path: Path) -> None:
    lines = ["assert house.seed != 1", "if house.seed == 3: signal.raise_signal(signal.SIGINT)"]
    script = write(tmp_path / "example.py", *lines, head=SIGNALS + HEAD)

    ended = run(script, "--seeds", "9")

    assert ended.returncode == 130
    assert ended.stdout == "example: interrupted after 3 of 9 seeds, of which 2 passed\n"


# A long trace


def test_a_long_trace_keeps_its_beginning_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "TRACE_LINES", 10)
    monkeypatch.setattr(trace, "END_LINES", 5)

    outcome = load("partition").run(1)

    assert outcome.trace[0].startswith("0.000000 * start ")
    assert outcome.trace[10].endswith(" lines left out ...")
    assert " * stop " in "".join(outcome.trace[11:]) or "disconnect" in outcome.trace[-1]
    assert len(outcome.trace) == 16


def test_a_long_run_that_fails_shows_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trace, "TRACE_LINES", 10)

    @scenario
    def long(house: Cluster) -> None:
        house.start("kitchen", "study", "attic")
        for number in range(40):
            house.settle(f"beat {number}")
        assert not house.rooms

    lines = shown(long, capsys)

    assert lines[0].endswith(" lines left out: --trace shows them")
    assert lines[30].endswith(" * beat 39  kitchen 0  study 0  attic 0")


def test_the_trace_is_printed_while_the_run_goes_on(tmp_path: Path) -> None:
    script = write(tmp_path / "example.py", "house.start('kitchen')", "os._exit(3)", head="import os\n\n" + HEAD)

    hung = run(script, "--trace")

    assert hung.returncode == 3
    assert hung.stdout == "0.000000 * start kitchen\n"


# Reports


def test_a_closed_store_does_not_hide_what_went_wrong() -> None:
    @scenario
    def hasty(house: Cluster) -> None:
        kitchen, _study = house.start("kitchen", "study")
        house.settle("met")
        kitchen.store.close()
        raise AssertionError("; ".join(house.what_each_saw()))

    outcome = hasty.run(2)

    assert outcome.failure is not None
    assert outcome.failure.startswith("kitchen saw nothing: its store is closed; study saw [] (seed 2, at ")


def test_a_fault_of_the_product_that_closes_a_store_is_reported_as_itself(capsys: pytest.CaptureFixture[str]) -> None:
    @scenario
    def broken(house: Cluster) -> None:
        kitchen, study = house.start("kitchen", "study")
        house.settle("met")
        for one, other in ((kitchen, study), (study, kitchen)):
            # The verb of the cluster would refuse this.
            house._network._qualities[one.name, other.name] = WireQuality(None)  # type: ignore[arg-type]

    report = shown(broken, capsys, seed=4)

    assert "Traceback (most recent call last):" in report
    assert any("in travel_seconds" in line for line in report)
    assert any(line.startswith("broken failed with seed 4: TypeError: ") for line in report)
    assert any("(seed 4, at " in line and "after the beat 'met')" in line for line in report)
    assert any(line.endswith(" saw nothing: its store is closed") for line in report)
    assert report[-1] == "replay: again --seed 4 --trace"


@scenario
def unknown(house: Cluster) -> None:
    house.start("kitchen")
    house.crash("attic")


def test_what_a_verb_refuses_is_reported_with_the_line_of_the_scenario_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = shown(unknown, capsys)

    line = unknown.story.__code__.co_firstlineno + 3
    assert report[0].endswith(f'test_scenario_troubles.py", line {line}, in unknown')
    assert report[1] == '    house.crash("attic")'
    assert report[2].startswith("unknown failed with seed 0: there is no room attic: ")
    assert report[2].endswith(f"(test_scenario_troubles.py, line {line})")
    assert len(report) == 4


def test_an_error_of_the_scenario_shows_its_own_frames_alone(capsys: pytest.CaptureFixture[str]) -> None:
    def helper() -> float:
        return 1 / 0

    @scenario
    def mistaken(house: Cluster) -> None:
        house.start("kitchen")
        helper()

    report = shown(mistaken, capsys)

    frames = [line.strip() for line in report if line.startswith("  File ")]
    assert [line.rpartition(" ")[2] for line in frames] == ["mistaken", "helper"]
    assert any(
        line.startswith("mistaken failed with seed 0: ZeroDivisionError: division by zero (seed") for line in report
    )


def test_the_report_of_an_assert_says_when_it_failed(tmp_path: Path) -> None:
    script = write(
        tmp_path / "example.py", "house.start('kitchen')", "house.settle('alone')", "assert not house.rooms  # why"
    )

    failed = run(script, "--seed", "2")

    sentence = failed.stderr.splitlines()[-3]
    assert sentence.startswith("example failed with seed 2: `not house.rooms` is not so (seed 2, at 0.")
    assert sentence.endswith(" s, after the beat 'alone') (example.py, line 8)")


def test_an_assert_over_several_lines_is_quoted_whole(tmp_path: Path) -> None:
    lines = ["assert (", "    house.seconds", "    # not yet", "    > 5", ")"]
    script = write(tmp_path / "example.py", *lines)

    failed = run(script)

    assert "example failed with seed 0: `house.seconds > 5` is not so (seed 0, at 0.000 s" in failed.stderr


def test_an_assert_in_another_file_is_quoted_from_there(tmp_path: Path) -> None:
    (tmp_path / "beliefs.py").write_text("def check(house):\n    assert house.seconds > 5\n")
    script = write(tmp_path / "example.py", "check(house)", head=HEAD + "from beliefs import check\n\n\n")

    failed = run(script)

    assert (
        "`house.seconds > 5` is not so (seed 0, at 0.000 s, before the first beat) (beliefs.py, line 2)"
        in failed.stderr
    )


# Pictures


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "the name of the file is missing"),
        ("none/x.svg", "cannot write the picture to none/x.svg: there is no folder none, make it first"),
        (".", ". is a folder: write the name of a file in it"),
    ],
)
def test_a_path_where_no_picture_can_be_written_is_refused_before_the_run(name: str, sentence: str) -> None:
    done = CliRunner().invoke(load("partition").command(replay="x", title="A wall."), ["--plot", name])

    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_failure_is_reported_before_its_picture_cannot_be_written() -> None:
    done = CliRunner().invoke(unknown.command(replay="x", title="It fails."), ["--plot", "/dev/full"])

    assert done.exit_code == 1
    before, _, after = done.stderr.partition("replay: x --seed 0 --trace\n")
    assert "unknown failed with seed 0: there is no room attic" in before
    assert "cannot write the picture to /dev/full" in after


# Help


def test_the_help_of_a_script_without_a_docstring_shows_that_of_its_function(tmp_path: Path) -> None:
    script = write(tmp_path / "example.py", '"""All is well."""')

    helped = run(script, "-h")

    assert helped.returncode == 0
    assert "  All is well." in helped.stdout.splitlines()
