"""DiscoveryOptions: whether and how a node looks for others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from mesh.discovery.port import Discovery
from mesh.discovery.static import StaticDiscovery
from peers.clock import Clock
from peers.limits import LimitHits, Limits


class DiscoveryOptions(NamedTuple):
    """The options of a node; see Node."""

    mdns: bool
    interfaces: Sequence[str] | None
    requery_seconds: float

    def make(self, random: Random, limits: Limits, clock: Clock, hits: LimitHits) -> Discovery:
        """What finds the others, for a node on the running loop."""
        if not self.mdns:
            return StaticDiscovery()
        from mesh.discovery.mdns.mdns import MdnsDiscovery  # imported here: zeroconf takes 4 MB

        return MdnsDiscovery(
            asyncio.get_running_loop(),
            clock,
            random,
            interfaces=self.interfaces,
            requery_seconds=self.requery_seconds,
            limits=limits,
            hits=hits,
        )
