"""Scripts of stories, written for a test and played in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.root import ROOT

HEAD = "from mesh.lab import Cluster, scenario\n\n\n"


def write(path: Path, *lines: str, head: str = HEAD) -> Path:
    """A script of the story `told` with these lines."""
    body = "".join(f"    {line}\n" for line in lines)
    path.write_text(f"{head}@scenario\ndef told(house: Cluster) -> None:\n{body}\n\ntold.main()\n")
    return path


def run(
    *command: str | Path, cwd: Path = ROOT, stdin: str | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    called = [sys.executable, *map(str, command)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    return subprocess.run(
        called, cwd=cwd, env=environment, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
