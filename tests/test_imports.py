"""Who may import what: the layers of the architecture, read from the sources themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.support.root import ROOT

PACKAGES = ("peers", "mesh", "scenarios", "tests")
MAX_FILES = 14
"""Python files of a folder of `mesh` or `peers`, besides its `__init__.py`."""

LAYERS = (
    # Lowest first. A name stands for a module, or for a package with all that has no layer of its own. Each may import from
    # its own layer and from those above it in this table.
    ("peers.errors", "peers.failures", "peers.later", "peers.clock", "peers.emitter"),
    ("peers.limits",),
    ("peers.budgets",),
    ("peers.events",),
    ("peers.facts",),
    ("peers.stores",),
    ("peers.log",),
    ("peers.transport",),
    ("peers.codec",),
    ("peers.protocol",),
    ("peers.roles",),
    ("peers",),
    ("mesh.errors", "mesh.version", "mesh.forking", "mesh.process"),
    ("mesh.terminal",),
    ("mesh.settings",),
    ("mesh.trust",),
    ("mesh.discovery",),
    ("mesh.joining",),
    ("mesh.membership",),
    ("mesh.gateway",),
    ("mesh.actors.runtime",),
    ("mesh.actors",),
    ("mesh.log_walks",),
    ("mesh.views",),
    ("mesh.node_log",),
    ("mesh.app_node",),
    ("mesh.control",),
    ("mesh.notices", "mesh.listening"),
    ("mesh.node_measuring",),
    ("mesh.node_resources",),
    ("mesh.node",),
    ("mesh",),
    ("mesh.lab.simulation",),
    ("mesh.lab.checks", "mesh.lab.recording", "mesh.lab.roles"),
    ("mesh.lab.apps",),
    ("mesh.lab.cluster",),
    ("mesh.lab.live", "mesh.lab.plot"),
    ("mesh.lab.runner",),
    ("mesh.lab.fuzz",),
    ("mesh.lab",),
    ("mesh.bench",),
    ("mesh.cli",),
    ("mesh.__main__",),
)

PURE = (
    "mesh/membership/*.py",
    "peers/errors.py",
    "peers/limits.py",
    "peers/budgets.py",
    "peers/events/*.py",
    "peers/facts/*.py",
    "peers/codec/*.py",
    "peers/protocol/*.py",
    "peers/roles/*.py",
    "peers/log/*_tail.py",
    "mesh/gateway/clients/access.py",
    "mesh/trust/*.py",
)
"""They get their time, their chance and their turns passed in."""

RULES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    # what is imported, by which files of mesh and peers it may be, and which files it is about
    ("tests", (), ("peers/*", "mesh/*")),
    ("scenarios", (), ("peers/*", "mesh/*")),
    ("pykka", ("mesh/actors/*", "mesh/bench/actors.py"), ("peers/*", "mesh/*")),
    ("zeroconf", ("mesh/discovery/mdns/mdns.py", "mesh/discovery/mdns/hearing.py"), ("peers/*", "mesh/*")),
    (
        "websockets",
        (
            "peers/transport/web_socket.py",
            "peers/transport/web_socket_wire.py",
            "peers/transport/accepting/accepted_wire.py",
        ),
        ("peers/*", "mesh/*"),
    ),
    ("threading", (), PURE),
    ("asyncio", (), PURE),
    ("time", (), PURE),
    ("random", (), PURE),
)


@cache
def imports_of(source: str, package: str) -> frozenset[str]:
    """Dotted names of everything that a module of `package` imports, wherever it does, names of `from` included."""
    return frozenset(_imports_of(source, package))


def _imports_of(source: str, package: str) -> Iterator[str]:
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


def module_of(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def package_of(path: str) -> str:
    return path.rpartition("/")[0].replace("/", ".")


def layer_of(module: str) -> tuple[int, str]:
    """The number of a module's layer and the name in the table that it comes under."""
    rows = [(number, name) for number, names in enumerate(LAYERS) for name in names if is_in(module, name)]
    return max(rows, key=lambda row: len(row[1]))


def modules_among(names: Set[str], modules: set[str]) -> set[str]:
    """The modules that are meant by dotted names of imports: `a.b.Class` is in the module `a.b`."""
    found = set()
    for name in names:
        owner = name.rpartition(".")[0]
        if name in modules:
            # `from package import module` names the package too, of which nothing else may be used
            is_only_a_folder = any(is_in(other, name) and other != name for other in names & modules)
            found |= set() if is_only_a_folder else {name}
        elif owner in modules:
            found.add(owner)
    return found


def breaches(path: str, source: str, modules: set[str] | None = None) -> list[str]:
    """A sentence for each import in the file at `path` (from the root) that the tables forbid."""
    names = imports_of(source, package_of(path))
    found = [
        f"{path} imports {name}, which only {' and '.join(allowed) or 'no such file'} may"
        for imported, allowed, about in RULES
        if is_one_of(path, about) and not is_one_of(path, allowed)
        for name in sorted(names)
        if is_in(name, imported)
    ]
    if path.startswith(("peers/", "mesh/")):
        number, own = layer_of(module_of(path))
        for name in sorted(modules_among(names, MODULES if modules is None else modules)):
            above, other = layer_of(name)
            if above > number:
                found.append(f"{path} ({own}) imports {name}, which is of a higher layer ({other})")
    return found


def sources() -> list[str]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


OURS = [path for path in sources() if path.startswith(("peers/", "mesh/"))]
MODULES = {module_of(path) for path in OURS}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, [] if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def graph_of(files: Mapping[str, str]) -> dict[str, set[str]]:
    """Which modules each module imports, of files by their paths. A package is no part of a circle: nothing is run in it."""
    modules = {module_of(path) for path in files}
    return {
        module_of(path): modules_among(imports_of(source, package_of(path)), modules) - {module_of(path)}
        for path, source in files.items()
    }


def test_every_file_keeps_to_the_tables() -> None:
    found = [sentence for path in sources() for sentence in breaches(path, (ROOT / path).read_text())]

    assert found == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(graph_of({path: (ROOT / path).read_text() for path in OURS})) == []


def test_no_folder_has_more_files_than_a_reader_can_survey() -> None:
    folders = {path.rpartition("/")[0] for path in OURS}
    counts = {folder: sum(path.rpartition("/")[0] == folder for path in OURS) - 1 for folder in folders}

    assert {folder: count for folder, count in counts.items() if count > MAX_FILES} == {}


def test_every_row_of_the_tables_is_about_something() -> None:
    names = [name for names in LAYERS for name in names]

    assert {"peers/log/run_log.py", "mesh/node.py", "peers/codec/messages.py"} <= set(OURS)
    assert [name for name in names if name not in MODULES] == []
    assert all(any(fnmatch(path, pattern) for path in OURS) for pattern in PURE)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("peers/log/run_log.py", "from mesh.node import Node"),
        ("peers/log/run_log.py", "import mesh.node"),
        ("peers/log/run_log.py", "from mesh import node"),
        ("peers/codec/messages.py", "def f():\n    import mesh.settings.config"),
        ("peers/log/run_log.py", "if TYPE_CHECKING:\n    from mesh.node import Node"),
        ("peers/log/run_log.py", "importlib.import_module('mesh.node')"),
        ("mesh/node.py", "import pykka"),
        ("peers/later.py", "from pykka import Future"),
        ("mesh/node.py", "import pykka.messages as messages"),
        ("mesh/discovery/mdns/instances.py", "from zeroconf import Zeroconf"),
        ("mesh/discovery/mdns/instances.py", "from zeroconf.asyncio import AsyncZeroconf"),
        ("mesh/actors/listener.py", "from websockets.asyncio.server import serve"),
        ("peers/transport/racing.py", "import websockets"),
        ("mesh/membership/member.py", "import time"),
        ("mesh/membership/dialling/link_selection.py", "from random import Random"),
        ("mesh/membership/status.py", "import asyncio"),
        ("peers/codec/peer.py", "import threading"),
        ("peers/roles/base.py", "from random import Random"),
        ("peers/log/shown_tail.py", "import asyncio.events"),
        ("mesh/node.py", "from mesh.lab.cluster.cluster import Cluster"),
        ("mesh/node.py", "from mesh.lab import Cluster"),
        ("mesh/node.py", "from mesh import lab"),
        ("mesh/lab/checks/checker.py", "if TYPE_CHECKING:\n    from mesh.lab.cluster.room import Room"),
        ("mesh/lab/runner/library.py", "from scenarios.partition import partition"),
        ("mesh/actors/thread_disk.py", "from ..lab.simulation import disk"),
        ("mesh/discovery/mdns/mdns.py", "from ... import lab"),
        ("peers/log/run_log.py", "from tests.support.pair import Pair"),
        ("peers/stores/memory.py", "from peers.log.log import Log"),
        ("mesh/membership/member.py", "from mesh.actors.reports import Report"),
        ("mesh/control/server.py", "from mesh.node import Node"),
    ],
)
def test_the_check_finds_what_is_forbidden(path: str, source: str) -> None:
    assert len(breaches(path, source)) >= 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("mesh/node.py", "from peers.log.log import Log\nimport asyncio, random, time"),
        ("mesh/actors/peer_session.py", "import pykka"),
        ("mesh/discovery/mdns/mdns.py", "from zeroconf import Zeroconf"),
        ("peers/transport/web_socket.py", "import websockets"),
        ("mesh/cli/scenario.py", "from mesh.lab.runner.library import load"),
        ("mesh/lab/cluster/cluster.py", "from mesh.lab.simulation import disk\nfrom ..simulation import network"),
        ("mesh/membership/member.py", "import timeit\nfrom dataclasses import dataclass"),
        ("mesh/discovery/mdns/mdns.py", "from ..port import Sighting"),
        ("mesh/cli/node/up.py", "from mesh import Node"),
        ("tests/mesh/lab/simulation/test_sim_disk.py", "from mesh.lab.simulation.disk import SimDisk\nimport pykka"),
        ("scenarios/partition.py", "from mesh.lab import Cluster"),
    ],
)
def test_the_check_accepts_the_rest(path: str, source: str) -> None:
    assert breaches(path, source) == []


@pytest.mark.parametrize(
    "files",
    [
        {"mesh/a.py": "from mesh.b import B", "mesh/b.py": "from mesh.a import A"},
        {"mesh/a.py": "import mesh.b", "mesh/b.py": "def f():\n    from mesh import c", "mesh/c.py": "from . import a"},
        {"mesh/a.py": "if TYPE_CHECKING:\n    from mesh.b import B", "mesh/b.py": "from mesh.a import A"},
    ],
)
def test_the_check_finds_a_circle(files: dict[str, str]) -> None:
    assert set(circle(graph_of(files))) == {module_of(path) for path in files}
