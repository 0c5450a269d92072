"""Many runs at once: in order, and ended together."""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
import time
from pathlib import Path

import pytest

from mesh.lab.fuzz.storm import main, run_storms
from mesh.lab.runner.process_pool import spread, usable_cores


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(spread(abs, [-3, 2, -1], processes=2)) == [3, 2, 1]
    assert list(spread(abs, [-3, 2, -1], processes=1)) == [3, 2, 1]
    assert list(spread(abs, [], processes=2)) == []


def test_an_interruption_ends_every_process_at_once() -> None:
    def play_until_interrupted() -> None:
        for _ in run_storms(range(500), nodes=(3, 3), minutes=0.5, processes=2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play_until_interrupted()

    assert multiprocessing.active_children() == []


def make_file_and_wait(number: int) -> int:
    """As a story on files that is interrupted."""
    tempfile.mkdtemp(prefix="peermesh-lab-")
    if number:
        time.sleep(60)
    return number


def test_an_interruption_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with contextlib.closing(spread(make_file_and_wait, [0, 1, 1], processes=2)) as results:
        assert next(results) == 0
        assert list(tmp_path.glob("*/peermesh-lab-*"))

    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_storm_sums_up_what_was_played(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mesh.lab.fuzz.storm.show_progress", interrupt)
    with pytest.raises(KeyboardInterrupt):
        main(seeds=9, nodes=(3, 3), minutes=0.2, processes=1)

    rows = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (rows["runs"], rows["violations"]) == ("1", "0")


def test_there_is_at_least_one_core() -> None:
    assert usable_cores() >= 1
