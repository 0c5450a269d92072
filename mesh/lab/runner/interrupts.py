"""Interrupts: Ctrl-C ends a run wherever it arrives, also where Python would drop the exception."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def watch_interrupts(record: Callable[[BaseException], None]) -> Iterator[None]:
    """Let an interrupted run end with KeyboardInterrupt, and with nothing else.

    Python drops an exception that is raised while an object is finalized, and a callback that is interrupted leaves its work
    undone, which may then fail in other ways. `record` gets the KeyboardInterrupt too, and has to raise it out of the event
    loop if that still runs. Does nothing in other threads than the main one, or where SIGINT has a handler.
    """
    was_interrupted = False

    def interrupt(_number: int, frame: FrameType | None) -> None:
        nonlocal was_interrupted
        was_interrupted = True
        interruption = KeyboardInterrupt()
        record(interruption)
        if not _is_finalizing(frame):  # Python would print it, and go on
            raise interruption

    is_main = threading.current_thread() is threading.main_thread()
    is_watching = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_watching:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if is_watching:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if was_interrupted:
            raise KeyboardInterrupt from None


def _is_finalizing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
