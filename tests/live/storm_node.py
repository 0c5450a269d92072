"""An application of two views in a process of its own: obeys lines of JSON on standard input, and answers each with one."""

from __future__ import annotations

import asyncio
import json
import sys
from hashlib import sha256
from random import Random
from typing import Any

from mesh import EventMeta, Node
from mesh.process import suit_node


def count(stock: Any, event: Any, _meta: EventMeta) -> None:
    stock[event["item"]] = stock.get(event["item"], 0) + event["change"]


def keep_last(last: Any, event: Any, meta: EventMeta) -> None:
    last[event["item"]] = [event["change"], meta["created"]]


class StormNode:
    """Each method is a command."""

    def __init__(self, node: Node, random: Random) -> None:
        self._node = node
        self._random = random
        self._undoable: list[EventMeta] = []

    async def open(self) -> None:
        """Open the views."""
        self._views = [
            await self._node.view("stock", count, types=["received", "sold"]),
            await self._node.view("last", keep_last),
        ]

    async def write(self, events: int, key: str) -> None:
        """Add so many events, all at once, with keys, or in one batch; what was added before may be undone."""
        random = self._random
        kinds = [random.choice(["received", "sold", "counted"]) for _ in range(events)]
        items = [{"type": kind, "item": f"i{random.randrange(30)}", "change": random.randrange(9)} for kind in kinds]
        if events > 100:
            metas = await self._node.log.add_batch([(item, None) for item in items])
        else:
            adds = [self._node.log.add(item, key=f"{key}-{at}") for at, item in enumerate(items)]
            metas = await asyncio.gather(*adds)
        assert await self._views[0].after(metas[-1]) is self._views[0]
        if self._undoable and random.random() < 0.5:
            await self._node.log.undo(self._undoable.pop())
        self._undoable.append(random.choice(metas))

    async def agree(self, peers: int, seconds: float) -> dict[str, Any]:
        """Wait until all hold the same. What it is: the `created` of all events, as a digest, and those of the views."""
        await self._node.synchronized(peers=peers, timeout=seconds)
        digest, shown = sha256(), 0
        async for event, meta in self._node.log.each():
            digest.update(json.dumps([meta["created"], event]).encode())
            shown += 1
        views = [(await view.after(self._node.log.last_added)).digest() for view in self._views]
        return {"shown": shown, "log": digest.hexdigest(), "views": views}


async def main(home: str, name: str, seed: str, listen: str, *peers: str) -> None:
    loop = asyncio.get_running_loop()
    async with Node(name, home=home, listen=listen, mdns=False, peers=peers) as node:
        storm = StormNode(node, Random(seed))
        await storm.open()
        print(json.dumps({"port": node.port}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command, options = json.loads(line)
            print(json.dumps(await getattr(storm, command)(**options)), flush=True)


if __name__ == "__main__":
    suit_node()
    asyncio.run(main(*sys.argv[1:]))
