"""NotifySocket: tells systemd how a service does, see sd_notify(3)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Self

REPORTS = 2
"""So many in the time after which the watchdog ends the process."""


class NotifySocket:
    """The socket that the variable NOTIFY_SOCKET names; without one all methods do nothing. It belongs to one loop."""

    def __init__(self, path: str, watchdog_seconds: float = 0.0) -> None:
        """`watchdog_seconds`: the service has to report within so many seconds; 0: it need not."""
        self._path = f"\0{path[1:]}" if path.startswith("@") else path
        self._watchdog_seconds = watchdog_seconds
        self._watching: asyncio.TimerHandle | None = None

    @classmethod
    def of_process(cls) -> Self:
        """That of this process; its children do not inherit it."""
        path, usec = os.environ.pop("NOTIFY_SOCKET", ""), os.environ.pop("WATCHDOG_USEC", "")
        is_ours = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(path, int(usec) / 1e6 if usec.isdecimal() and is_ours else 0.0)

    def ready(self, status: str) -> None:
        """The service runs; from now on the loop reports that it does, as long as it turns."""
        self._send(f"READY=1\nSTATUS={status}")
        if self._watching is None and self._path and self._watchdog_seconds:
            self._watch()

    def stopping(self) -> None:
        """It ends."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Report no more."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def _watch(self) -> None:
        self._send("WATCHDOG=1")
        self._watching = asyncio.get_running_loop().call_later(self._watchdog_seconds / REPORTS, self._watch)

    def _send(self, text: str) -> None:
        if not self._path:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as one,
        ):
            one.sendto(text.encode(), self._path)
