"""What tests of commands about a mesh share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.commands import run


def as_json(home: Path, *args: str) -> Any:
    """What a command prints for programs."""
    done = run(home, *args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def states(home: Path) -> dict[str, str]:
    """The states of all members that a home knows, by their names."""
    return {row["node_id"].partition("~")[0]: row["state"] for row in as_json(home, "members")}
