"""The version of this package: of the source tree that runs, else of the installed distribution."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_NAME = "peermesh"
_PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def _find() -> str:
    try:
        project = tomllib.loads(_PROJECT.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == _NAME:  # a source tree; another version may be installed beside it
            return str(project["version"])
    except (OSError, ValueError, KeyError):
        pass
    try:
        return version(_NAME)
    except PackageNotFoundError:
        return "unknown"


__version__ = _find()
