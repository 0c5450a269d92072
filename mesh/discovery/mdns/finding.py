"""Finding nodes of any mesh by mDNS, without a node: where `mesh join` may ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import SystemRandom

from mesh.discovery.mdns.mdns import MdnsDiscovery
from mesh.discovery.port import Announcement, DiscoveryState, Sighting
from mesh.errors import MeshError
from peers.clock import LoopClock


async def heard_addresses() -> AsyncIterator[str]:
    """The addresses of all nodes that are announced on this network, each once, until it is closed. Announces nothing.

    Raises MeshError, with a sentence, if mDNS cannot be used here.
    """
    loop, heard, random = asyncio.get_running_loop(), asyncio.Queue[str | DiscoveryState](), SystemRandom()
    seen: set[str] = set()

    def on_sighting(sighting: Sighting) -> None:
        for address in sighting.addresses:
            if address not in seen and not sighting.is_goodbye:
                seen.add(address)
                heard.put_nowait(address)

    # It listens at no address, so it is not announced.
    anonymous = Announcement("join", "join", f"{random.getrandbits(64):016x}", 0, hosts=())
    discovery = MdnsDiscovery(loop, LoopClock(loop), random)
    await discovery.start(anonymous, on_sighting, heard.put_nowait)
    try:
        while True:
            found = await heard.get()
            if isinstance(found, str):
                yield found
            elif not found.is_on:
                raise MeshError(
                    f"cannot look for the node that made this code: {found.why}; name it with --peer HOST:PORT"
                )
    finally:
        await discovery.stop()
