"""The notices of a node: the lines of `mesh up`, and what is logged."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import tomllib
from datetime import datetime
from pathlib import Path

import pytest

import mesh
from mesh import MeshError, Node, Notice
from mesh.cli.node.up import LineWriter, TextReport
from tests.support.root import ROOT


def test_an_embedded_node_logs_what_mesh_up_prints(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    deadline = time.monotonic() + 10

    with Node("kitchen", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False, peers=["127.0.0.1:1"]) as node:
        node_id = node.node_id
        while "cannot reach 127.0.0.1:1" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(TimeoutError):
            node.synchronized(timeout=0.001).get()

    assert [record for record in caplog.records if record.name == "pykka"] == []
    said = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "mesh"]
    levels = [level for level, _ in said]
    texts = [text for _, text in said]
    assert texts[0] == f"made a new home in {tmp_path}: a new node, {node_id}"
    assert texts[1].startswith(f"{node_id} is up in mesh home: it listens on port ")
    assert texts[-1] == f"{node_id} stopped"
    assert levels == ["INFO", "INFO", "WARNING", "WARNING", "INFO"]


def test_a_node_that_must_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=f"there is no home of a node in {tmp_path}/disk: join a mesh with") as failed:
        Node("kitchen", home=tmp_path / "disk", listen="127.0.0.1:0", open=True, mdns=False, existing=True).start()

    assert f"`mesh --home {tmp_path}/disk join --name kitchen CODE` first" in str(failed.value)
    assert str(failed.value).endswith(
        "or correct home=; without existing=True a start there makes a new node, which founds another mesh unless it is open"
    )
    assert list(tmp_path.iterdir()) == []


def test_lines_of_later_days_have_the_date_too(tmp_path: Path) -> None:
    times = iter([datetime(2026, 11, 23, 23, 59), datetime(2026, 11, 23, 23, 59, 7), datetime(2026, 11, 24, 0, 1)])
    printed = tmp_path / "printed"
    with printed.open("wb") as file:
        writer = LineWriter(file.fileno())
        report = TextReport(writer, now=lambda: next(times))

        for text in ("up", "found", "lost"):
            report.notice(Notice("note", None, text))
        writer.close()

    assert printed.read_text().splitlines() == [
        "2026-11-23 23:59:00  up",
        "23:59:07  found",
        "2026-11-24 00:01:00  lost",
    ]


def test_says_its_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    done = subprocess.run(
        [sys.executable, "-m", "mesh", "--version"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )

    assert done.stdout == f"peermesh {version}\n"
    assert mesh.__version__ == version


def test_a_copy_without_its_project_says_the_version_that_is_installed(tmp_path: Path) -> None:
    (tmp_path / "mesh").mkdir()
    for name in ("__init__.py", "version.py"):
        (tmp_path / "mesh" / name).write_bytes((ROOT / "mesh" / name).read_bytes())
    installed = tmp_path / "peermesh-9.8.7.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: peermesh\nVersion: 9.8.7\n")

    done = subprocess.run(
        [sys.executable, "-c", "import mesh; print(mesh.__version__)"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )

    assert done.stdout == "9.8.7\n"


def test_the_package_lists_its_names() -> None:
    assert {"MeshError", "Node", "NodeLog", "Notice", "__version__"} <= set(dir(mesh))
