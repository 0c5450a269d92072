"""A process that runs only mDNS discovery: prints each sighting as a JSON line, and reads `requery` and `stop` from stdin."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from random import Random

from mesh.discovery.mdns.mdns import MdnsDiscovery
from mesh.discovery.port import Announcement, Sighting
from peers.clock import LoopClock


async def main(node_id: str, port: int, options: dict[str, object]) -> None:
    """`options` are those of MdnsDiscovery, and `mesh`, the mark of the mesh."""
    loop, mesh = asyncio.get_running_loop(), str(options.pop("mesh", "mesh"))
    discovery = MdnsDiscovery(loop, LoopClock(loop), Random(port), **options)  # type: ignore[arg-type]

    def on_sighting(sighting: Sighting) -> None:
        print(json.dumps(asdict(sighting)), flush=True)

    await discovery.start(Announcement(node_id, mesh, f"run-of-{port}", port), on_sighting)
    print(json.dumps({"started": node_id}), flush=True)
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while (line := await reader.readline()).strip() not in (b"", b"stop"):
        if line.strip() == b"requery":
            discovery.requery()
    await discovery.stop()
    transport.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])), debug=True)
