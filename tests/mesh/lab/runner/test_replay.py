"""The replay of a failed scenario is a command that can be typed as it is."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.lab import Cluster
from mesh.lab.live.runner import play_live
from mesh.lab.recording.failure_report import explain
from mesh.lab.runner.replay import replay_of_script
from tests.support.root import ROOT
from tests.support.story_scripts import HEAD, run, write


def replay_of(failed: subprocess.CompletedProcess[str]) -> str:
    return failed.stderr.splitlines()[-1].removeprefix("replay: ")


def test_the_replay_of_a_script_works_from_another_folder_and_with_a_space_in_its_path(tmp_path: Path) -> None:
    (tmp_path / "my stories").mkdir()
    write(tmp_path / "my stories" / "bare one.py", "assert house.seed != 5")

    failed = run("bare one.py", "--seed", "5", cwd=tmp_path / "my stories")

    again = shlex.split(replay_of(failed))
    assert again == [sys.executable, str((tmp_path / "my stories" / "bare one.py").resolve()), "--seed", "5", "--trace"]
    assert run(*again[1:], cwd=ROOT).returncode == 1


def test_the_replay_has_the_options_of_python_and_the_arguments_of_the_script(tmp_path: Path) -> None:
    head = "import sys\n\n" + HEAD + "which = sys.argv.pop(1)\n\n\n"
    script = write(tmp_path / "example.py", "assert which == 'other'", "assert house.seed != 5", head=head)

    failed = run("-X", "dev", script, "other", "--seed", "5", "--plot", tmp_path / "x.svg")

    assert shlex.split(replay_of(failed))[1:] == ["-X", "dev", str(script), "other", "--seed", "5", "--trace"]


def test_a_module_is_replayed_as_a_module(tmp_path: Path) -> None:
    write(tmp_path / "example.py", "assert house.seed != 5")

    failed = run("-m", "example", "--seed", "5", cwd=tmp_path)

    assert shlex.split(replay_of(failed)) == [sys.executable, "-m", "example", "--seed", "5", "--trace"]


def test_without_a_script_the_replay_is_the_seed_alone(tmp_path: Path) -> None:
    source = write(tmp_path / "example.py", "assert house.seed != 5").read_text()

    failed = run("-c", source, "--seed", "5")

    assert failed.stderr.splitlines()[-2].startswith("example failed with seed 5: ")
    assert replay_of(failed) == "with --seed 5 --trace"


def test_a_scenario_of_the_library_is_called_by_its_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["scenarios/partition.py", "--seed", "3"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "scenarios/partition.py", "--seed", "3"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)

    assert replay_of_script() == "python scenarios/partition.py"


class Simulated(Cluster):
    """Stands for real hosts, which not every machine can have."""

    saw = ()


@pytest.fixture
def simulated_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is played live is played by simulated nodes."""
    monkeypatch.setattr("mesh.lab.live.runner.find_flags", lambda: ((), ""))
    monkeypatch.setattr("mesh.lab.live.runner.LiveCluster", lambda *_, **__: Simulated())


def hopeless(house: Cluster) -> None:
    house.start("kitchen")
    raise AssertionError("no bread")


def quitter(house: Cluster) -> None:
    sys.exit(0)


@pytest.mark.usefixtures("simulated_hosts")
@pytest.mark.parametrize(
    ("story", "said"), [(hopeless, "no bread (test_"), (quitter, "the story called sys.exit(0), ")]
)
def test_a_live_failure_ends_with_its_replay(
    story: Callable[[Cluster], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = play_live(story, explain, replay=f"mesh scenario {story.__name__}")

    report = capsys.readouterr().err
    assert code == 1
    assert f"{story.__name__} failed live: {said}" in report
    assert report.endswith(f"\nreplay: mesh scenario {story.__name__} --live\n")
