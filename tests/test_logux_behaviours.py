"""The table of Logux's behaviours is whole, and the tests that it names exist."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
FILES = ("greeting", "events", "ends")
TABLE: dict[str, dict[str, Any]] = {
    number: row
    for name in FILES
    for number, row in tomllib.loads((TESTS / "logux_behaviours" / f"{name}.toml").read_text()).items()
}
LAST = 109
KEYS = {"says", "tests", "ours", "left_out"}


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of the tests in a file below `tests`."""
    tree = ast.parse((TESTS / path).read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    )


def missing(test: str) -> str | None:
    """What is wrong with `file::name`, None if there is such a test."""
    path, _, name = test.partition("::")
    if not (TESTS / path).is_file():
        return f"there is no file tests/{path}"
    return None if name in names_in(path) else f"there is no test {name} in tests/{path}"


def test_every_behaviour_has_its_row() -> None:
    assert list(TABLE) == [str(number) for number in range(1, LAST + 1)]


@pytest.mark.parametrize("number", TABLE)
def test_a_behaviour_is_shown_by_tests_or_left_out_for_a_reason(number: str) -> None:
    row = TABLE[number]

    assert row.keys() <= KEYS
    assert all(row[key] for key in row)
    assert "says" in row
    assert "tests" in row or "left_out" in row
    assert [missing(test) for test in row.get("tests", []) if missing(test)] == []


def test_a_test_that_does_not_exist_is_found() -> None:
    assert missing("peers/protocol/test_logux_sync.py::test_nothing") is not None
    assert missing("peers/test_nothing.py::test_nothing") is not None
    assert missing("test_logux_behaviours.py::test_every_behaviour_has_its_row") is None
