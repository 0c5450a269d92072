"""Where the scenarios of this package are."""

from __future__ import annotations

from pathlib import Path

from mesh.errors import MeshError

LAB = Path(__file__).parents[1]
FOLDERS = (LAB / "stories", LAB.parents[1] / "scenarios")
"""Where the wheel puts them, and where they are in a checkout."""


def folder() -> Path:
    """Where the stories are. Raises MeshError."""
    found = next((place for place in FOLDERS if place.is_dir()), None)
    if found is None:
        raise MeshError(f"there are no scenarios at {FOLDERS[0]}: install peermesh again")
    return found
