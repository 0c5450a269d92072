"""Who may import what: the table of the architecture, read from the sources themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("peers", "mesh", "scenarios", "tests")

PURE = (
    "mesh/membership.py",
    "mesh/topology.py",
    "mesh/restart_policy.py",
    "mesh/status.py",
    "mesh/neighbourhood.py",
    "mesh/doors.py",
    "peers/created.py",
    "peers/version_vector.py",
    "peers/entry.py",
    "peers/sync_error.py",
    "peers/tail.py",
    "peers/sieve.py",
    "peers/wire/*.py",
)

RULES: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    # what is imported, by which files of mesh and peers it may be, and which files it is about (all of them if empty)
    ("mesh", ("mesh/*",), ("peers/*", "mesh/*")),
    ("tests", (), ("peers/*", "mesh/*")),
    ("scenarios", (), ("peers/*", "mesh/*")),
    ("pykka", ("mesh/actors/*",), ("peers/*", "mesh/*")),
    ("zeroconf", ("mesh/discovery/mdns.py", "mesh/discovery/mdns_hearing.py"), ("peers/*", "mesh/*")),
    ("websockets", ("peers/connections/web_socket.py", "peers/connections/web_socket_wire.py"), ("peers/*", "mesh/*")),
    ("mesh.lab", ("mesh/lab/*", "mesh/scenario_commands.py", "mesh/bench/lab.py"), ("peers/*", "mesh/*")),
    ("threading", (), PURE),
    ("asyncio", (), PURE),
    ("time", (), PURE),
    ("random", (), PURE),
]


def imports_of(source: str, package: str) -> Iterator[str]:
    """Dotted names of everything that a module of `package` imports, wherever it does, names of `from` included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"import_module", "__import__"}:
                yield str(node.args[0].value)


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def is_one_of(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def breaches(path: str, source: str) -> list[str]:
    """A sentence for each import in the file at `path` (from the root) that the table forbids."""
    package = ".".join(Path(path).parent.parts)
    names = sorted(set(imports_of(source, package)))
    return [
        f"{path} imports {name}, which only {' and '.join(allowed) or 'no such file'} may"
        for imported, allowed, about in RULES
        if is_one_of(path, about) and not is_one_of(path, allowed)
        for name in names
        if is_in(name, imported)
    ]


def sources() -> list[str]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def test_every_file_keeps_to_the_table() -> None:
    found = [sentence for path in sources() for sentence in breaches(path, (ROOT / path).read_text())]

    assert found == []


def test_the_check_sees_the_files() -> None:
    seen = sources()

    assert {"peers/log.py", "mesh/node.py", "peers/wire/messages.py"} <= set(seen)
    assert all(any(fnmatch(path, pattern) for path in seen) for pattern in PURE)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("peers/log.py", "from mesh.node import Node"),
        ("peers/log.py", "import mesh"),
        ("peers/log.py", "from mesh import node"),
        ("peers/wire/messages.py", "def f():\n    import mesh.config"),
        ("peers/log.py", "if TYPE_CHECKING:\n    from mesh.node import Node"),
        ("peers/log.py", "importlib.import_module('mesh.node')"),
        ("mesh/node.py", "import pykka"),
        ("peers/later.py", "from pykka import Future"),
        ("mesh/node.py", "import pykka.messages as messages"),
        ("mesh/discovery/instances.py", "from zeroconf import Zeroconf"),
        ("mesh/discovery/instances.py", "from zeroconf.asyncio import AsyncZeroconf"),
        ("mesh/actors/listener.py", "from websockets.asyncio.server import serve"),
        ("peers/connections/racing.py", "import websockets"),
        ("mesh/membership.py", "import time"),
        ("mesh/topology.py", "from random import Random"),
        ("mesh/status.py", "import asyncio"),
        ("peers/wire/peer_protocol.py", "import threading"),
        ("peers/tail.py", "import asyncio.events"),
        ("mesh/node.py", "from mesh.lab.cluster import Cluster"),
        ("mesh/node.py", "from mesh import lab"),
        ("mesh/cli.py", "import mesh.lab"),
        ("mesh/lab/gallery.py", "from scenarios.partition import partition"),
        ("mesh/actors/disk.py", "from ..lab import disk"),
        ("mesh/discovery/mdns.py", "from .. import lab"),
        ("peers/log.py", "from tests.peers.pair import Pair"),
    ],
)
def test_the_check_finds_what_is_forbidden(path: str, source: str) -> None:
    assert len(breaches(path, source)) >= 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("mesh/node.py", "from peers.log import Log\nimport asyncio, random, time"),
        ("mesh/actors/session.py", "import pykka"),
        ("mesh/discovery/mdns.py", "from zeroconf import Zeroconf"),
        ("peers/connections/web_socket.py", "import websockets"),
        ("mesh/scenario_commands.py", "from mesh.lab.scenario import run"),
        ("mesh/lab/cluster.py", "from mesh.lab import disk\nfrom . import network"),
        ("mesh/membership.py", "import timeit\nfrom dataclasses import dataclass"),
        ("mesh/discovery/mdns.py", "from .discovery import Sighting"),
        ("tests/mesh/test_lab_disk.py", "from mesh.lab.disk import SimDisk\nimport pykka"),
        ("scenarios/partition.py", "from mesh.lab import Cluster"),
    ],
)
def test_the_check_lets_the_rest_be(path: str, source: str) -> None:
    assert breaches(path, source) == []
