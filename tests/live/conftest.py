"""The fixture of all live tests: a lab of hosts in network namespaces."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from mesh.lab.live.namespaces import NetLab, find_flags
from tests.support.forked_process import HostProcess


@pytest.fixture(scope="session")
def netlab_flags() -> tuple[str, ...]:
    """The flags with which namespaces can be made here. Where they cannot, it skips, or fails with NETLAB=require."""
    flags, reason = find_flags()
    if flags is not None:
        return flags
    if os.environ.get("NETLAB") == "require":
        pytest.fail(f"netlab: {reason}", pytrace=False)
    pytest.skip(f"netlab: {reason}")


@pytest.fixture
def netlab(netlab_flags: tuple[str, ...]) -> Iterator[NetLab]:
    """A lab without hosts; `netlab.hosts(n)` adds some. The report of a failed test has the stderr of its processes."""
    lab = NetLab(netlab_flags, process=HostProcess)
    yield lab
    lab.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    lab = getattr(item, "funcargs", {}).get("netlab")
    if report.when == "call" and report.failed and isinstance(lab, NetLab):
        report.sections.append(("stderr of the lab's processes", lab.stderr_report()))
    return report
