"""Interrupts: Ctrl-C ends a run wherever it arrives, also where Python would drop the exception."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType


class Interrupts:
    """A context manager in which an interrupted run ends with KeyboardInterrupt, and with nothing else.

    Python drops an exception that is raised while an object is finalized, and a callback that is interrupted leaves its work
    undone, which may then fail in other ways. Does nothing in other threads, or where SIGINT has another handler.
    """

    def __init__(self, record: Callable[[BaseException], None]) -> None:
        """`record` gets the KeyboardInterrupt too, and has to raise it out of the event loop if that still runs."""
        self._record = record
        self._is_watching = False
        self._was_interrupted = False

    def __enter__(self) -> Interrupts:
        is_main = threading.current_thread() is threading.main_thread()
        self._is_watching = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._is_watching:
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if self._is_watching:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._was_interrupted:
            raise KeyboardInterrupt from None

    def _interrupt(self, _number: int, frame: FrameType | None) -> None:
        self._was_interrupted = True
        interruption = KeyboardInterrupt()
        self._record(interruption)
        if not _is_finalizing(frame):  # Python would print it, and go on
            raise interruption


def _is_finalizing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
