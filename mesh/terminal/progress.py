"""Progress: a progress line for long commands, on a terminal."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

AFTER_SECONDS = 1.0
"""Commands that end earlier show no progress."""
EVERY_SECONDS = 0.1
"""Between two updates."""


class Progress:
    """A line on standard error after AFTER_SECONDS, if that is a terminal; else nothing. Use it in a `with`."""

    def __init__(
        self,
        what: str,
        *,
        unit: str = "events",
        is_wanted: bool = True,
        total: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`unit` and `what` follow the count, as in "1000 events printed"."""
        self.is_shown = is_wanted and sys.stderr is not None and sys.stderr.isatty()
        self.total = total
        """The amount of work, if it is known; it may be set later."""
        self._what = f"{unit} {what}"
        self._now = now
        self._next = now() + AFTER_SECONDS
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hide()

    def at(self, count: int, done: int | None = None) -> None:
        """So many are done. `done` is the same in the unit of `total`, if that is another."""
        if not self.is_shown or self._now() < self._next:
            return
        self._next = self._now() + EVERY_SECONDS
        if self._bar is None:
            self._bar = _make_bar(self.total)
        self._bar.start()
        text = f"{count} {self._what}"
        self._bar.update(self._bar.task_ids[0], completed=count if done is None else done, text=text, refresh=True)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the line while the caller prints to the same terminal."""
        self._hide()
        yield

    def _hide(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def file_size(descriptor: int | None) -> int | None:
    """The bytes of an open file; None for other descriptors and empty files."""
    status = None if descriptor is None else os.fstat(descriptor)
    return status.st_size or None if status is not None and stat.S_ISREG(status.st_mode) else None


def file_position(descriptor: int | None) -> int | None:
    """The bytes of an open file that were read; None for other descriptors."""
    return None if file_size(descriptor) is None else os.lseek(descriptor or 0, 0, os.SEEK_CUR)


def _make_bar(total: int | None) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    share: list[ProgressColumn] = [] if total is None else [BarColumn(), TaskProgressColumn()]
    bar = Bar(
        TextColumn("{task.fields[text]}"),
        *share,
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("", total=total, text="")
    return bar
