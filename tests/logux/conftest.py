"""The fixtures of the tests that talk to real Logux packages."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from js_peer import SCRIPTS, JsPeer, StartJs
from npm_packages import PackagesError, bundled, installed_packages, scripts_beside

# JavaScript against JavaScript proves the harness itself: `HARNESS=1 pytest tests/logux` when it changes.
collect_ignore = [] if os.environ.get("HARNESS") else ["test_harness.py"]


@pytest.fixture(scope="session")
def logux_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our scripts in bundles; skips with the reason without the packages (LOGUX=require: fails instead)."""
    try:
        folder = scripts_beside(installed_packages(), tmp_path_factory.mktemp("logux"))
        return bundled(folder, set(SCRIPTS.values()))
    except PackagesError as error:
        if os.environ.get("LOGUX") == "require":
            pytest.fail(f"logux: {error}", pytrace=False)
        pytest.skip(f"logux: {error}")


@pytest.fixture
def start_js(logux_packages: Path, request: pytest.FixtureRequest) -> Iterator[StartJs]:
    """Starts JS peers; ends them all with the test, which fails if one of them crashed and the test did not wait for that."""
    peers: list[JsPeer] = []
    request.node.js_peers = peers

    def start(kind: str, role: str | None = None, **options: Any) -> JsPeer:
        peers.append(JsPeer.start(logux_packages, kind, role, **options))
        return peers[-1]

    yield start
    complaints = [complaint for peer in peers if (complaint := peer.kill()) is not None]
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    peers: list[JsPeer] = getattr(item, "js_peers", [])
    if report.when == "call" and report.failed and peers:
        report.sections.append(("JS peers", "\n".join(peer.report() for peer in peers)))
    return report
