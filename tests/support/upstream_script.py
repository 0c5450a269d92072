"""A Logux server that is a script, and the role that a node has at it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from mesh.gateway.upstream.role import UpstreamSync
from peers.clock import ManualClock
from peers.events.epoch import key_mark
from peers.events.signature import KeySigner
from peers.log.run_log import RunLog
from peers.stores.disk import InlineDisk
from peers.stores.runs.memory import MemoryRunStore
from peers.transport.local_pair import LocalPair

NOW_MS = 1_000_000
SIGNER = KeySigner.from_seed(bytes(32))
KITCHEN = f"kitchen~{key_mark(SIGNER.public, 8)}"
HERE = f"10:{KITCHEN}"
URL = "ws://logux.example/path"


class Script:
    """A scripted Logux server that sends what a test says, connected to a role with a log of its own."""

    def __init__(self, node_id: str = "server:abc", *, protocol: int = 5, **given: Any) -> None:
        self.clock = ManualClock(NOW_MS)
        self.store = MemoryRunStore()
        disk = InlineDisk(self.store)
        self.log = RunLog.open(disk, KITCHEN, clock=self.clock, random=Random(1), signer=SIGNER).get()
        self.node_id = node_id
        self.protocol = protocol
        self.role: Any = None
        self.start(**given)

    def start(self, **given: Any) -> None:
        """A new role, as after a restart of the node."""
        if self.role is not None:
            self.role.destroy()
        self.local = LocalPair()
        self.heard: list[Any] = []
        self.refused: list[str] = []
        self.errors: list[str] = []
        self.local.right.on("message", lambda frame: self.heard.append(json.loads(frame)))
        given = {"url": URL, "protocol": self.protocol, **given}
        self.role = UpstreamSync(
            given.pop("as_node", HERE), self.log, self.local.left, clock=self.clock, random=Random(2), **given
        )
        self.role.on("refused", self.refused.append)
        self.role.catch(lambda error: self.errors.append(error.type))
        self.local.left.connect()
        self.greet()

    def greet(self) -> None:
        self.say("connected", self.protocol, self.node_id, [NOW_MS, NOW_MS])

    def say(self, *items: Any) -> None:
        self.local.right.send(json.dumps(items).encode())

    def bring(self, event: dict[str, Any], node_id: str = "20:x", *, added: int = 0, ms: int = 1) -> None:
        self.say("sync", added, event, {"id": [ms, node_id, 0], "time": ms})

    def answer(self, number: int = -1, kind: str = "processed", **more: Any) -> None:
        """The server has taken and carried out the event of that `sync`, or not."""
        added, _, meta = self.syncs[number][1:]
        ms, node_id, n = meta["id"] if len(meta["id"]) == 3 else (meta["id"][0], HERE, meta["id"][1])
        self.say("synced", added)
        self.bring({"type": f"logux/{kind}", "id": f"{ms + NOW_MS} {node_id} {n}", **more}, self.node_id)

    def add(self, *names: str, **meta: Any) -> None:
        for name in names:
            self.log.add({"type": name}, meta or None).get()

    @property
    def syncs(self) -> list[Any]:
        return [message for message in self.heard if message[0] == "sync"]

    @property
    def sent(self) -> list[str]:
        return [event["type"] for message in self.syncs for event in message[2::2]]

    @property
    def types(self) -> list[str]:
        return [entry.event["type"] for entry in self.store.each(limit=1_000)]
