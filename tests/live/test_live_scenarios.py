"""Scenarios on real hosts: the same scripts, run by real nodes in network namespaces, with real mDNS and kill -9.

Three of them run each time; `pytest -m "long or not long" tests/live/test_live_scenarios.py` runs all that this file names,
and the other tests that start nodes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from mesh_process import MESH, ROOT

from mesh.lab import Cluster
from mesh.lab.live.checks import group_faults, log_faults
from mesh.lab.live.cluster import LiveCluster
from mesh.lab.live.namespaces import find_flags
from mesh.lab.live.not_live import NotLive, why_not_live
from mesh.lab.live.room import LiveEntry, LiveLog
from mesh.lab.live.runner import play_live
from mesh.lab.runner.library import load, titles
from mesh.settings.paths import LOG_FILE

PLAYED = ["crash_and_return", "late_joiner", "two_lans_one_bridge"]
TAKE_LONG = [
    "partition",
    "one_way_wall",
    "lost_disk",
    "ring_of_seven",
    "restored_backup",
    "frozen_laptop",
    "flapping_link",
    "full_disk",
    "slow_link",
]
PLAY_SECONDS = 400

MILK, BREAD = {"type": "milk"}, {"type": "bread"}
ONE = LiveEntry((1, "kitchen~aaaaaaaa", 0), 1, 1, MILK)
TWO = LiveEntry((2, "kitchen~aaaaaaaa", 0), 2, 2, BREAD)
GIVEN = {ONE.created: MILK, TWO.created: BREAD}


def spawn(name: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*MESH, "scenario", name, "--live"], env=environment, text=True, **pipes)


def processes_of(folder: Path) -> Iterator[str]:
    """The command lines that name the folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has just ended
        if str(folder) in line:
            yield line


def run_until(cluster: LiveCluster, is_true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = cluster.seconds + seconds
    while not is_true():
        assert cluster.seconds < deadline, f"still not so after {seconds} s"
        cluster.run(0.05)


def check_it_passes(name: str, folder: Path) -> None:
    with spawn(name, folder) as player:
        beats, complaints = player.communicate(timeout=PLAY_SECONDS)

    assert (player.returncode, complaints) == (0, "")
    assert len(beats.splitlines()) >= 2
    assert list(folder.iterdir()) == []
    assert list(processes_of(folder)) == []


@pytest.mark.netlab
@pytest.mark.usefixtures("netlab_flags")
@pytest.mark.timeout(PLAY_SECONDS + 20)
@pytest.mark.parametrize("name", [*PLAYED, *[pytest.param(name, marks=pytest.mark.long) for name in TAKE_LONG]])
def test_the_scenario_passes_on_real_hosts_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    check_it_passes(name, tmp_path)


@pytest.mark.netlab
@pytest.mark.usefixtures("netlab_flags")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130)])
def test_an_interrupted_scenario_leaves_nothing(number: signal.Signals, code: int, tmp_path: Path) -> None:
    with spawn("late_joiner", tmp_path) as player:
        assert player.stdout is not None
        assert "monday is written down" in player.stdout.readline()
        assert list(processes_of(tmp_path)) != []

        player.send_signal(number)
        player.communicate(timeout=20)

    assert player.returncode == code
    assert list(tmp_path.iterdir()) == []
    assert list(processes_of(tmp_path)) == []


@pytest.mark.netlab
@pytest.mark.long
@pytest.mark.usefixtures("netlab_flags")
def test_a_failed_assertion_shows_what_each_room_has(capsys: pytest.CaptureFixture[str]) -> None:
    def hopes(cluster: Cluster) -> None:
        kitchen, _study = cluster.start("kitchen", "study")
        kitchen.log.add({"type": "milk"})
        cluster.settle("both have the milk")
        cluster.assert_converged(["bread"])

    code = play_live(hopes, str)

    shown = capsys.readouterr()
    assert code == 1
    assert shown.out.endswith("both have the milk  kitchen 1  study 1\n")
    assert "hopes failed live: expected ['bread']: kitchen saw ['milk']; study saw ['milk']" in shown.err


@pytest.mark.netlab
@pytest.mark.long
def test_a_lost_acknowledged_event_is_noticed_even_in_a_room_that_is_off(netlab_flags: tuple[str, ...]) -> None:
    with (
        pytest.raises(AssertionError, match="kitchen acknowledged 1 events that it does not hold"),
        LiveCluster(netlab_flags, now_seconds=time.monotonic) as cluster,
    ):
        (kitchen,) = cluster.start("kitchen")
        kitchen.log.add(MILK)
        cluster.settle("it is written")
        cluster.crash(kitchen)
        for file in kitchen.home.glob(f"{LOG_FILE}*"):
            file.unlink()


@pytest.mark.netlab
@pytest.mark.long
def test_a_frozen_room_is_not_waited_for_and_catches_up_and_a_reset_is_noticed(netlab_flags: tuple[str, ...]) -> None:
    with LiveCluster(netlab_flags, now_seconds=time.monotonic) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        cluster.settle("they have met")
        cluster.freeze(study)
        kitchen.log.add(MILK)
        cluster.settle("the kitchen goes on")
        assert (kitchen.types, study.types) == (["milk"], [])
        with pytest.raises(ValueError, match="study is frozen: thaw it first"):
            cluster.status(study)

        cluster.thaw(study)
        cluster.settle("both have the milk")
        cluster.reset(kitchen, study)
        run_until(cluster, lambda: len([line for line in cluster.trace if ": disconnected: " in line]) >= 2)
        cluster.settle("they have met again")
        cluster.freeze(study)  # the cluster thaws it at the end

    assert f"thaw {study}" in cluster.trace[-1]


@pytest.mark.netlab
@pytest.mark.long
def test_a_room_that_is_frozen_when_the_scenario_fails_is_killed(netlab_flags: tuple[str, ...]) -> None:
    with pytest.raises(ZeroDivisionError), LiveCluster(netlab_flags, now_seconds=time.monotonic) as cluster:
        (study,) = cluster.start("study")
        process = study.process
        cluster.freeze(study)
        raise ZeroDivisionError

    assert process is not None
    assert process.returncode == -signal.SIGKILL


@pytest.mark.netlab
@pytest.mark.long
def test_held_frames_arrive_after_the_release_and_a_slow_room_gets_all_events(netlab_flags: tuple[str, ...]) -> None:
    with LiveCluster(netlab_flags, now_seconds=time.monotonic) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        cluster.settle("they have met")
        cluster.hold(kitchen, study)
        kitchen.log.add(MILK)
        cluster.settle("the kitchen has it")
        assert study.types == []
        cluster.release(kitchen, study)
        cluster.settle("it was late")

        cluster.slow(kitchen, study, latency_ms=(100, 300), bytes_per_second=20_000, loss=0.02)
        for number in range(100):
            kitchen.log.add({"type": f"page {number}", "text": "x" * 500})
        began = cluster.seconds
        cluster.settle("it comes slowly")

        assert len(study.types) == 101
        assert cluster.seconds - began > 100 * 500 / 20_000


@pytest.mark.netlab
@pytest.mark.long
def test_a_full_disk_refuses_events_until_there_is_room(netlab_flags: tuple[str, ...]) -> None:
    with LiveCluster(netlab_flags, now_seconds=time.monotonic, has_small_disks=True) as cluster:
        (attic,) = cluster.start("attic")
        attic.log.add(MILK)
        cluster.settle("it is written")
        cluster.disk_full(attic)
        refused = attic.log.add(BREAD)
        run_until(cluster, lambda: refused.is_done)
        assert "database or disk is full" in str(refused.exception)

        cluster.disk_full(attic, is_full=False)
        attic.log.add(BREAD)
        cluster.settle("there is room again")
        assert attic.types == ["milk", "bread"]
        cluster.crash(attic)
        cluster.wipe(attic)
        assert attic.types == []


@pytest.mark.netlab
@pytest.mark.long
def test_the_disk_of_this_machine_is_never_filled(netlab_flags: tuple[str, ...]) -> None:
    with LiveCluster(netlab_flags, now_seconds=time.monotonic) as cluster:
        (attic,) = cluster.start("attic")

        with pytest.raises(ValueError, match="has no disk of its own"):
            cluster.disk_full(attic)


@pytest.mark.netlab
def test_a_flaky_link_breaks_from_time_to_time_and_works_at_the_end(
    netlab_flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.lab.cluster.fault_verbs.RESET_SECONDS", 0.2)

    with LiveCluster(netlab_flags, now_seconds=time.monotonic) as cluster:
        cluster.start("kitchen", "study")
        cluster.flaky("kitchen", "study", seconds=1)
        run_until(cluster, lambda: len([line for line in cluster.trace if line.endswith("slow kitchen - study")]) == 2)

    assert len([line for line in cluster.trace if line.endswith("reset kitchen - study")]) > 0


@pytest.mark.netlab
@pytest.mark.long
def test_a_room_that_a_verb_names_must_start(netlab_flags: tuple[str, ...]) -> None:
    sentence = "partition was about kitchn, which was never started: there is no room kitchn: did you mean kitchen?"

    with (
        pytest.raises(ValueError, match=re.escape(sentence)),
        LiveCluster(netlab_flags, now_seconds=time.monotonic) as cluster,
    ):
        cluster.start("kitchen", "study")
        cluster.partition(["kitchn"], ["study"])


@pytest.mark.netlab
def test_long_waits_are_shortened(netlab_flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.lab.live.cluster.RUN_SECONDS", 0.1)
    lines: list[str] = []

    with LiveCluster(netlab_flags, now_seconds=time.monotonic, on_line=lines.append) as cluster:
        cluster.run(3600)

    assert [line.partition("  ")[2] for line in lines] == ["3600 s are too long to wait for: 0.1 s stand for them"]


def test_scenarios_that_need_the_simulation_say_why() -> None:
    reasons = {name: why_not_live(load(name).story) for name in titles()}

    assert [name for name in [*PLAYED, *TAKE_LONG] if reasons[name] is not None] == []
    assert reasons["wrong_clock"] == "skews clocks"
    assert reasons["crossing_dials"] == "counts attempts to dial"
    assert reasons["mixed_clients"] == "has Logux clients"


def test_the_command_names_what_cannot_run_live() -> None:
    done = subprocess.run(
        [sys.executable, "scenarios/wrong_clock.py", "--live"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "wrong_clock: this story cannot be played live: it skews clocks\n"


def test_a_seed_has_no_meaning_live() -> None:
    asked = CliRunner().invoke(load("partition").command(replay="x", title="A wall."), ["--live", "--seeds", "3"])

    assert asked.exit_code == 2
    assert "no seed decides there" in asked.output


def test_without_the_tools_the_error_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    flags, reason = find_flags()

    assert flags is None
    assert "ip (iproute2), nft (nftables)" in reason


@pytest.mark.parametrize(
    ("log", "fault"),
    [
        ([ONE, TWO], None),
        ([TWO], "acknowledged 1 events that it does not hold"),
        ([ONE, ONE, TWO], "shows 1 events twice"),
        ([TWO, ONE], "in another order"),
        ([ONE, LiveEntry(TWO.created, 1, 2, BREAD)], "counts two events with one number"),
        ([ONE, LiveEntry(TWO.created, 2, 2, MILK)], "differ from what it was given"),
    ],
)
def test_a_log_is_checked(log: list[LiveEntry], fault: str | None) -> None:
    faults = log_faults("kitchen", log, GIVEN)

    assert faults == [] if fault is None else fault in "; ".join(faults)


@pytest.mark.parametrize(
    ("log", "fault"), [([ONE, TWO], None), ([TWO, ONE], "study shows"), ([ONE], "study lacks 1 acknowledged events")]
)
def test_the_logs_of_connected_rooms_are_compared(log: list[LiveEntry], fault: str | None) -> None:
    faults = group_faults({"kitchen": [ONE, TWO], "study": log}, {"kitchen": GIVEN, "study": {}})

    assert faults == [] if fault is None else fault in "; ".join(faults)


def test_an_own_meta_cannot_be_written_live() -> None:
    with pytest.raises(NotLive, match="meta of its own"):
        LiveLog(None).add(MILK, {"created": (1, "kitchen~aaaaaaaa", 0)})
