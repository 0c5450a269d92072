"""Pool: many runs of scenarios on all cores."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def spread(work: Callable[[T], R], items: Sequence[T], *, processes: int | None = None) -> Iterator[R]:
    """Yields the result of `work` for each item, in order; both are pickled if there is more than one process.

    By default there are as many processes as cores that this one may use. An interruption ends all with KeyboardInterrupt.
    """
    count = min(processes or usable_cores(), max(1, len(items)))
    if count == 1:
        yield from map(work, items)
        return
    # New interpreters, not forks: what this one has imported or patched makes no difference. When the pool is left they are
    # killed and do not clean up, so all their files are in a folder that is removed here.
    with (
        tempfile.TemporaryDirectory(prefix="peermesh-", ignore_cleanup_errors=True) as folder,
        get_context("spawn").Pool(count, initializer=_begin, initargs=(folder,)) as pool,
    ):
        yield from pool.imap(work, items)


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(folder: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the process that holds the pool is interrupted
    tempfile.tempdir = folder
