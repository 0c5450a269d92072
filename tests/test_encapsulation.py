"""A module uses no private attribute of another, calls nothing by a computed name, and shares no name with another."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.root import ROOT

LIBRARY = {
    # Attributes of libraries that have no public name for what is needed: where, which, and why.
    (
        "mesh/forking.py",
        "_selector",
    ): "asyncio: a forked child has to close the loop of its parent without touching its files",
    ("mesh/forking.py", "_ssock"): "asyncio: the same",
    ("mesh/forking.py", "_csock"): "asyncio: the same",
    ("peers/transport/tls/gate.py", "_ssl_buffer"): "asyncio: connections over TLS share a buffer to read into",
    ("peers/transport/tls/gate.py", "_ssl_buffer_view"): "asyncio: the same",
    ("peers/transport/tls/gate.py", "_write_backlog"): "asyncio: what it makes takes 0.7 KiB while it is empty",
    ("mesh/lab/simulation/virtual_loop.py", "_run"): "asyncio: how a loop runs a handle",
}
BY_NAME = {
    "peers/stores/sqlite/counters.py": "the columns of the counters are the fields of the store's state",
    "mesh/__init__.py": "the public names, imported when they are first used",
    "mesh/lab/__init__.py": "the same",
    "peers/protocol/session.py": "the dispatch of a message to `x_message`, which is Logux's own idea",
}
"""Files that may use `getattr` with a computed name."""


def sources() -> dict[str, str]:
    paths = [path for package in ("mesh", "peers") for path in sorted((ROOT / package).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def is_own(value: ast.expr) -> bool:
    if isinstance(value, ast.Name):
        return value.id in {"self", "cls"}
    return isinstance(value, ast.Call) and getattr(value.func, "id", "") == "super"


def is_private(name: str) -> bool:
    """`_replace` is public: the names of a NamedTuple's methods begin so because its fields may have any other name."""
    return name.startswith("_") and not name.startswith("__") and name != "_replace"


def defined_in(tree: ast.AST) -> set[str]:
    """Private attributes that the classes of a module define themselves."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            found.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def intrusions(path: str, source: str) -> Iterator[str]:
    """A sentence for each private attribute of another module's class."""
    tree = ast.parse(source)
    own = defined_in(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not is_private(node.attr) or is_own(node.value):
            continue
        if node.attr not in own and (path, node.attr) not in LIBRARY:
            yield f"{path}, line {node.lineno}: {ast.unparse(node)} is private to another module"


def calls_by_name(path: str, source: str) -> Iterator[str]:
    """A sentence for each `getattr` whose name is not written there."""
    for node in ast.walk(ast.parse(source)):
        is_lookup = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr"
        if is_lookup and path not in BY_NAME and not isinstance(node.args[1], ast.Constant):
            yield f"{path}, line {node.lineno}: {ast.unparse(node)} cannot be followed by an editor"


def test_no_module_uses_a_private_attribute_of_another_one() -> None:
    assert [sentence for path, source in sources().items() for sentence in intrusions(path, source)] == []


def test_no_attribute_is_looked_up_by_a_computed_name() -> None:
    assert [sentence for path, source in sources().items() for sentence in calls_by_name(path, source)] == []


def owners(kind: type[ast.stmt]) -> dict[str, list[str]]:
    """Which files define each public class or constant, by its name."""
    found: dict[str, list[str]] = {}
    for path, source in sources().items():
        for node in ast.parse(source).body:
            if isinstance(node, kind):
                target = node.targets[0] if isinstance(node, ast.Assign) else node
                name = getattr(target, "name", None) or getattr(target, "id", "")
                if not is_private(name) and len(name) > 1 and (kind is ast.ClassDef or name.isupper()):
                    found.setdefault(name, []).append(path)
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def test_no_two_classes_have_one_name() -> None:
    assert owners(ast.ClassDef) == {}


def test_no_two_constants_have_one_name() -> None:
    assert {
        name: paths for name, paths in owners(ast.Assign).items() if name != "LOG"
    } == {}  # the logger of each module


def test_every_exception_is_still_needed() -> None:
    files = sources()

    assert [(path, name) for path, name in LIBRARY if f".{name}" not in files[path]] == []
    assert [path for path in BY_NAME if "getattr(" not in files[path]] == []


@pytest.mark.parametrize(
    "source", ["log._tail", "def f(role):\n    return role._in_flight.count", "self.log._tail = 1"]
)
def test_the_check_finds_a_private_attribute(source: str) -> None:
    assert len(list(intrusions("mesh/x.py", source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "self._tail",
        "super()._end()",
        "cls._made",
        "class A:\n    def __init__(self, a):\n        self._b = a._b",
        "a.__class__",
    ],
)
def test_the_check_accepts_what_a_module_defines_itself(source: str) -> None:
    assert list(intrusions("mesh/x.py", source)) == []


def test_the_check_finds_a_computed_name() -> None:
    assert list(calls_by_name("mesh/x.py", "getattr(role, name)()")) == [
        "mesh/x.py, line 1: getattr(role, name) cannot be followed by an editor"
    ]
    assert list(calls_by_name("mesh/x.py", "getattr(role, 'log', None)")) == []
