"""The plugin for pytest: the fixture `cluster` and the mark `seeds`. It loads the lab when a test first uses them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mesh.lab.cluster.cluster import Cluster
    from mesh.lab.runner.run import Run

SEED_OPTION = "--cluster-seed"
RUN: pytest.StashKey[Run] = pytest.StashKey()
"""Of a test: the run of its cluster."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Called by pytest."""
    words = "Play the tests that use the fixture `cluster` with this seed alone."
    parser.getgroup("peermesh").addoption(SEED_OPTION, type=int, metavar="N", help=words)


def pytest_configure(config: pytest.Config) -> None:
    """Called by pytest."""
    words = "play the test, which uses the fixture `cluster`, once with each of the seeds 0 to count - 1"
    config.addinivalue_line("markers", f"seeds(count): {words}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each seed."""
    mark, seed = metafunc.definition.get_closest_marker("seeds"), metafunc.config.getoption(SEED_OPTION)
    is_used = "cluster" in metafunc.fixturenames
    if mark is not None and (len(mark.args) != 1 or mark.kwargs or not _is_count(mark.args[0]) or not is_used):
        name = metafunc.definition.nodeid
        raise pytest.UsageError(f"{name}: write @pytest.mark.seeds(50), and take the fixture `cluster` in the test")
    if is_used and (seed is not None or mark is not None):
        seeds = range(mark.args[0]) if seed is None and mark is not None else [seed]
        metafunc.parametrize("cluster", seeds, indirect=True, ids=[f"seed{number}" for number in seeds])


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A mesh.lab.Cluster: whole nodes in virtual time. It ends after the test function, and the checker judges the run.

    It has the seed of `--cluster-seed` or of the mark `seeds`, else 0.
    """
    from unittest import TestCase

    from mesh.lab.runner.run import Run

    if request.cls is not None and issubclass(request.cls, TestCase):  # pytest does not call its functions
        raise pytest.UsageError(
            f"{request.node.nodeid}: take the fixture `cluster` in a function, or a class of no base"
        )

    run = request.node.stash[RUN] = Run(getattr(request, "param", 0))
    yield run.cluster
    run.abandon()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Let the checker judge before the test has passed."""
    run = pyfuncitem.stash.get(RUN, None)
    if run is None:
        return (yield)
    with run.watched():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failure what `@scenario` prints."""
    report = yield
    run = item.stash.get(RUN, None)
    if run is not None and call.when == "call" and report.failed:
        outcome = run.outcome()
        if outcome.is_finding:
            report.sections.append(("the end of the trace", "\n".join(outcome.trace_end())))
        lines = [*outcome.beats, *outcome.sentences(item.name.partition("[")[0], _replay(item, outcome.seed))]
        report.sections.append((f"the cluster with seed {outcome.seed}", "\n".join(lines)))
    return report


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _replay(item: pytest.Item, seed: int) -> str:
    """The command that runs this test with this seed alone, from the folder where pytest was started."""
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    test = "::".join([path, *item.nodeid.split("::")[1:]])
    chosen = item.config.getoption("markexpr")  # also that of `addopts`
    return shlex.join(["pytest", test, SEED_OPTION, str(seed), *(["-m", chosen] if chosen else [])])
