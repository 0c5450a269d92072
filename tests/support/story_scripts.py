"""Scripts of scenarios, written for a test and played in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.root import ROOT

HEAD = "from mesh.lab import Cluster, scenario\n\n\n"


def write(path: Path, *lines: str, head: str = HEAD) -> Path:
    """A script of the scenario `example` with these lines; its function begins at line 5 if it has no other head."""
    body = "".join(f"    {line}\n" for line in lines)
    path.write_text(f"{head}@scenario\ndef example(house: Cluster) -> None:\n{body}\n\nexample.main()\n")
    return path


def run(
    *command: str | Path, cwd: Path = ROOT, stdin: str | None = None, timeout: float = 60, hash_seed: str = "0"
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, 120 columns wide."""
    called = [sys.executable, *map(str, command)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        called, cwd=cwd, env=environment, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
