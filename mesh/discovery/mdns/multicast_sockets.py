"""Keeps the multicast sockets on the addresses that the network has now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mesh.discovery.mdns.interfaces import ChosenInterfaces

OPEN_TRIES = 8
"""How often a start tries addresses that are not ready yet."""
OPEN_PAUSE_SECONDS = 0.5

LOG = logging.getLogger(__name__)


class MulticastSockets:
    """Opens and closes sockets as the network changes; each call has to end before the next begins."""

    def __init__(self, use: Callable[[list[str]], Awaitable[None]], count: Callable[[], int]) -> None:
        """`use` has to open sockets on these addresses and close all others; `count` tells how many are open."""
        self._use = use
        self._count = count

    async def wait(self, network: ChosenInterfaces) -> None:
        """Until one of them is open; raises OSError after 4 s.

        A link-local IPv6 address cannot be used in its first two seconds, and may be all there is.
        """
        for _ in range(OPEN_TRIES):
            if self._count():
                return
            await asyncio.sleep(OPEN_PAUSE_SECONDS)
            await self._try(list(network.sockets))
        raise OSError(f"mDNS cannot multicast on {', '.join(network.sockets)}: no group could be joined there")

    async def move(self, before: ChosenInterfaces, after: ChosenInterfaces) -> None:
        """To another network. An address that is on another interface now needs a new socket."""
        places = before.places()
        moved = [ip for ip, index in after.places().items() if places.get(ip, index) != index]
        if moved:
            await self._try([ip for ip in after.sockets if ip not in moved])
        await self._try(list(after.sockets))

    def is_whole(self, network: ChosenInterfaces) -> bool:
        """Whether each address has its socket."""
        return self._count() >= len(network.sockets)

    async def repair(self, network: ChosenInterfaces) -> bool:
        """Try again what could not be opened; whether something could."""
        before = self._count()
        await self._try(list(network.sockets))
        return self._count() > before

    async def _try(self, addresses: list[str]) -> None:
        try:
            await self._use(addresses)
        except (OSError, RuntimeError) as error:  # one of them is gone again: the next look at the network tells
            LOG.info("mdns: cannot use %s: %s", ", ".join(addresses), error)
