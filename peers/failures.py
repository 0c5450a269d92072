"""What is caught of code of an application: more in a thread of ours than on a loop of its own."""

from __future__ import annotations

import os
import threading
from asyncio import CancelledError


class _Here(threading.local):
    """Of each thread."""

    pid = 0
    """The process in which this thread is ours; 0: it belongs to the application."""


_here = _Here()


def own_this_thread() -> None:
    """From now on this thread is ours: nothing that an application raises in it may end it."""
    _here.pid = os.getpid()


def failures(*more: type[BaseException]) -> tuple[type[BaseException], ...]:
    """What a callback of an application may raise without harm to others, and `more`: `except failures():`, around no `await`.

    On a loop of the application `sys.exit` and Ctrl-C end the program, as everywhere else in it. In a thread of ours they would
    end nothing but this thread, and say nothing; in a process that was forked there, they end that.
    """
    return (BaseException,) if _here.pid == os.getpid() else (Exception, CancelledError, *more)
