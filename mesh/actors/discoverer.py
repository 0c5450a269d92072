"""Discoverer: one Discovery in one mailbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.actors.mailbox import Runtime
from mesh.actors.reports import Failed, Report, Sighted
from mesh.actors.request import RequestActor
from mesh.discovery.discovery import Announcement, Discovery
from peers.later import Later


class Discoverer(RequestActor):
    """Ask it to `open`; sightings are told up."""

    def __init__(self, runtime: Runtime, discovery: Discovery, tell: Callable[[Report], None]) -> None:
        super().__init__(runtime)
        self._discovery = discovery
        self._tell = tell

    def open(self, announcement: Announcement) -> Later[None]:
        """Announce us and look for others. Fails with OSError or RuntimeError where discovery cannot work."""
        return self._discovery.start(announcement, lambda sighting: self._tell(Sighted(sighting)))

    def requery(self) -> None:
        self._discovery.requery()

    def close(self) -> Later[None]:
        """Say goodbye to the LAN."""
        return self._discovery.stop()

    def on_stop(self) -> None:
        self._discovery.stop()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self._discovery.stop()
        self._tell(Failed("discovery", f"{exception_type.__name__}: {exception_value}"))
