"""Discovery that finds no nodes: for a node that dials only static addresses."""

from __future__ import annotations

from collections.abc import Callable

from mesh.discovery.port import Announcement, DiscoveryState, Sighting, ignore_state
from peers.later import Later


class StaticDiscovery:
    """Announces nothing and reports nothing; it sends no packet."""

    def start(
        self,
        announcement: Announcement,
        on_sighting: Callable[[Sighting], None],
        on_state: Callable[[DiscoveryState], None] = ignore_state,
    ) -> Later[None]:
        """Do nothing: the result is set at once, and `on_state` is never called."""
        return Later.done(None)

    def requery(self) -> None:
        """Do nothing."""

    def stop(self) -> Later[None]:
        """Do nothing: the result is set at once."""
        return Later.done(None)
