"""The README and the pages of the guide, and their blocks."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.root import ROOT

README = ROOT / "README.md"
PAGES = sorted((ROOT / "mesh" / "docs").glob("*.md"))


def page(name: str) -> Path:
    """The page of a topic."""
    return ROOT / "mesh" / "docs" / f"{name}.md"


def blocks(path: Path, *languages: str) -> list[str]:
    """The blocks of these languages."""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def example(path: Path, part: str) -> str:
    """The one Python block that has this text."""
    (found,) = [block for block in blocks(path, "python") if part in block]
    return found


def table(path: Path, heading: str) -> list[list[str]]:
    """The rows of the one table whose first column has this heading, without that one: the texts of their cells."""
    rows = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", path.read_text(), re.MULTILINE)
    assert rows is not None, f"{path.name} has no table of {heading}"
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in rows[1].splitlines()]


def quoted(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", text)
