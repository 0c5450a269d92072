"""Where the scenarios of this package are."""

from __future__ import annotations

from pathlib import Path

from mesh.errors import MeshError
from mesh.lab.recording.failure_report import LAB, PACKAGED_SCENARIOS

FOLDERS = (PACKAGED_SCENARIOS, LAB.parents[1] / "scenarios")
"""Where the wheel puts them, and where they are in a checkout."""


def folder() -> Path:
    """The folder of the scenarios. Raises MeshError if there is none."""
    found = next((place for place in FOLDERS if place.is_dir()), None)
    if found is None:
        raise MeshError(f"there are no scenarios at {FOLDERS[0]}: install peermesh again")
    return found
