"""MulticastSockets: keeps the sockets of mDNS on the present addresses of the machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mesh.discovery.mdns.interfaces import ChosenInterfaces

OPEN_TRIES = 8
"""Attempts to open a socket at a start, while the addresses are not ready yet."""
OPEN_PAUSE_SECONDS = 0.5

LOG = logging.getLogger(__name__)


class MulticastSockets:
    """Opens and closes sockets as the network changes. Each call must end before the next begins."""

    def __init__(self, use: Callable[[list[str]], Awaitable[None]], count: Callable[[], int]) -> None:
        """`use` must open sockets on the given addresses and close all others; `count` returns how many are open."""
        self._use = use
        self._count = count

    async def wait(self, network: ChosenInterfaces) -> None:
        """Wait until a socket of `network` is open. Raises OSError after 4 s.

        A link-local IPv6 address cannot be used in its first two seconds, and may be the only address.
        """
        for _ in range(OPEN_TRIES):
            if self._count():
                return
            await asyncio.sleep(OPEN_PAUSE_SECONDS)
            await self._try(list(network.sockets))
        raise OSError(f"mDNS cannot multicast on {', '.join(network.sockets)}: no group could be joined there")

    async def move(self, before: ChosenInterfaces, after: ChosenInterfaces) -> None:
        """Move the sockets to other addresses. An address that is on another interface now gets a new socket."""
        places = before.places()
        moved = [ip for ip, index in after.places().items() if places.get(ip, index) != index]
        if moved:
            await self._try([ip for ip in after.sockets if ip not in moved])
        await self._try(list(after.sockets))

    def is_whole(self, network: ChosenInterfaces) -> bool:
        """Whether each address of `network` has its socket."""
        return self._count() >= len(network.sockets)

    async def repair(self, network: ChosenInterfaces) -> bool:
        """Try again to open missing sockets. Returns whether one was opened."""
        before = self._count()
        await self._try(list(network.sockets))
        return self._count() > before

    async def _try(self, addresses: list[str]) -> None:
        try:
            await self._use(addresses)
        except (OSError, RuntimeError) as error:  # an address is gone again: the network watch will notice
            LOG.info("mdns: cannot use %s: %s", ", ".join(addresses), error)
