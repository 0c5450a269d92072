"""Stories on real hosts: the same scripts, played by real nodes in network namespaces, with real mDNS and kill -9.

One of them is played each time; `LIVE=all pytest tests/live/test_live_scenarios.py` plays all that this file names.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from mesh_process import MESH, ROOT
from netlab import find_flags

from mesh.identity import LOG_FILE
from mesh.lab import Cluster
from mesh.lab.gallery import load, titles
from mesh.lab.live import LiveHouse, why_not_live
from mesh.lab.live_judge import group_faults, log_faults
from mesh.lab.live_play import play_live
from mesh.lab.live_room import LiveEntry, LiveLog, NotLive

PLAYABLE = [
    "crash_and_return",
    "partition",
    "late_joiner",
    "one_way_wall",
    "two_lans_one_bridge",
    "lost_disk",
    "ring_of_seven",
]
PLAYED = PLAYABLE if os.environ.get("LIVE") == "all" else PLAYABLE[:1]  # all take minutes
PLAY_SECONDS = 110

MILK, BREAD = {"type": "milk"}, {"type": "bread"}
ONE = LiveEntry((1, "kitchen~aaaaaaaa", 0), 1, 1, MILK)
TWO = LiveEntry((2, "kitchen~aaaaaaaa", 0), 2, 2, BREAD)
GIVEN = {ONE.created: MILK, TWO.created: BREAD}


def spawn(name: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*MESH, "scenario", name, "--live"], env=environment, text=True, **pipes)


def processes_of(folder: Path) -> Iterator[str]:
    """Command lines that name the folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has just ended
        if str(folder) in line:
            yield line


def check_it_passes(name: str, folder: Path) -> None:
    with spawn(name, folder) as player:
        beats, complaints = player.communicate(timeout=PLAY_SECONDS)

    assert (player.returncode, complaints) == (0, "")
    assert len(beats.splitlines()) >= 3
    assert list(folder.iterdir()) == []
    assert list(processes_of(folder)) == []


@pytest.mark.netlab
@pytest.mark.usefixtures("netlab_flags")
@pytest.mark.parametrize("name", PLAYED)
def test_the_story_passes_on_real_hosts_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    check_it_passes(name, tmp_path)


@pytest.mark.netlab
@pytest.mark.usefixtures("netlab_flags")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130)])
def test_a_story_that_is_interrupted_leaves_nothing(number: signal.Signals, code: int, tmp_path: Path) -> None:
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
@pytest.mark.usefixtures("netlab_flags")
def test_a_wrong_belief_fails_with_what_each_room_saw(capsys: pytest.CaptureFixture[str]) -> None:
    def hopes(house: Cluster) -> None:
        kitchen, _study = house.start("kitchen", "study")
        kitchen.log.add({"type": "milk"})
        house.settle("both have the milk")
        house.assert_converged(["bread"])

    code = play_live(hopes, str)

    shown = capsys.readouterr()
    assert code == 1
    assert shown.out.endswith("both have the milk  kitchen 1  study 1\n")
    assert "hopes failed live: expected ['bread']: kitchen saw ['milk']; study saw ['milk']" in shown.err


@pytest.mark.netlab
def test_what_was_acknowledged_and_is_lost_is_noticed_even_in_a_room_that_is_off(netlab_flags: tuple[str, ...]) -> None:
    with (
        pytest.raises(AssertionError, match="kitchen acknowledged 1 events that it does not hold"),
        LiveHouse(netlab_flags, now_seconds=time.monotonic) as house,
    ):
        (kitchen,) = house.start("kitchen")
        kitchen.log.add(MILK)
        house.settle("it is written")
        house.crash(kitchen)
        for file in kitchen.home.glob(f"{LOG_FILE}*"):
            file.unlink()


def test_the_stories_that_need_the_lab_say_why() -> None:
    reasons = {name: why_not_live(load(name).story) for name in titles()}

    assert [name for name in PLAYABLE if reasons[name] is not None] == []
    assert reasons["wrong_clock"] == "skews clocks"
    assert reasons["full_disk"] == "fills a disk"
    assert reasons["slow_link"] == "makes links slow"


def test_the_command_says_what_cannot_be_played_live() -> None:
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


def test_a_machine_without_the_tools_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
def test_a_log_is_judged(log: list[LiveEntry], fault: str | None) -> None:
    faults = log_faults("kitchen", log, GIVEN)

    assert faults == [] if fault is None else fault in "; ".join(faults)


@pytest.mark.parametrize(
    ("log", "fault"), [([ONE, TWO], None), ([TWO, ONE], "study shows"), ([ONE], "study lacks 1 acknowledged events")]
)
def test_the_logs_of_those_who_can_talk_are_compared(log: list[LiveEntry], fault: str | None) -> None:
    faults = group_faults({"kitchen": [ONE, TWO], "study": log}, {"kitchen": GIVEN, "study": {}})

    assert faults == [] if fault is None else fault in "; ".join(faults)


def test_a_meta_of_ones_own_cannot_be_written_live() -> None:
    with pytest.raises(NotLive, match="meta of its own"):
        LiveLog(None).add(MILK, {"created": (1, "kitchen~aaaaaaaa", 0)})
