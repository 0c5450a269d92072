"""Discovery that finds nobody: for nodes that are told whom to dial."""

from __future__ import annotations

from collections.abc import Callable

from mesh.discovery.port import Announcement, DiscoveryState, Sighting, ignore_state
from peers.later import Later


class StaticDiscovery:
    """Announces nothing and sights nobody; no packet is ever sent."""

    def start(
        self,
        announcement: Announcement,
        on_sighting: Callable[[Sighting], None],
        on_state: Callable[[DiscoveryState], None] = ignore_state,
    ) -> Later[None]:
        """Nothing to do: resolved at once. It has no state to tell of: the node was started without discovery."""
        return Later.done(None)

    def requery(self) -> None:
        """Nobody to ask."""

    def stop(self) -> Later[None]:
        """Nothing to free: resolved at once."""
        return Later.done(None)
