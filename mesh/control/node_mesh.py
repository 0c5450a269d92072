"""NodeMesh: what commands do with the mesh of a running node: invite to it, revoke a member, leave it, take an archive."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from mesh.actors.log_proxy import LogProxy
from mesh.control.mesh_texts import MeshTexts, check_mesh, read_texts
from mesh.errors import MeshError
from mesh.joining.inviting import Inviting, OpenCode
from mesh.settings.home import Home
from mesh.trust.ending import check_own, leave_by
from peers.clock import Clock, Undo
from peers.facts.fact import Tip, checked_fact
from peers.facts.roster import Roster
from peers.later import Later
from peers.log.run_log import RunLog
from peers.protocol.runs.archiving import ArchivedFrames, TakenArchive
from peers.stores.store import StoreError

CATCH_UP_SECONDS = 1.0
"""How long what others hold of a key is waited for before its cut; and how long they may take what a node holds that leaves."""
TELL_SECONDS = 3.0
"""How long others may take the fact that a node leaves, and what they still lack of it."""
LOOK_SECONDS = 0.1
"""How often is looked at least whether that has happened."""
LEFT = "this node has left its mesh: nothing is added any more"


class NodeMesh:
    """Made for each run of a node; everything runs on its loop. Without a mesh all but `texts` and `take` raise MeshError."""

    def __init__(
        self,
        home: Home,
        mesh_key: bytes,
        log: LogProxy,
        clock: Clock,
        inviting: Inviting | None,
        *,
        synchronized: Callable[[float], Later[None]],
        can_stop: Callable[[], bool],
    ) -> None:
        """`mesh_key` is empty, and `inviting` None, for a node that is in no mesh.

        `synchronized` waits for so many seconds until the others have the same events. `can_stop` says whether anybody will
        stop this node when it is asked to.
        """
        self._home, self._mesh_key, self._log, self._clock, self._inviting = home, mesh_key, log, clock, inviting
        self._synchronized, self._can_stop = synchronized, can_stop

    def texts(self) -> Later[MeshTexts]:
        """The facts of the mesh, and the proofs of forks."""
        return self._log.read(read_texts)

    def invite(self, ttl_seconds: int, uses: int, *, with_log: bool, recovery_code: str | None) -> OpenCode:
        """As Inviting.invite."""
        if self._inviting is None:
            raise MeshError("this node is in no mesh that it could invite to: `mesh found` makes one")
        return self._inviting.invite(ttl_seconds, uses, with_log=with_log, recovery_code=recovery_code)

    async def cut(self, key: bytes) -> Sequence[Tip]:
        """The tips of what a key has written, as this node holds them.

        Before that it waits until it holds all that connected nodes say they have of it, CATCH_UP_SECONDS at most.
        """
        self._roster()

        async def has_all() -> bool:
            return not await self._lacks(key)

        await _until(has_all, partial(self._log.on, "commit"), CATCH_UP_SECONDS)
        return await self._log.read(lambda store: store.tips(key))

    async def state(self, texts: Sequence[bytes]) -> None:
        """Take facts into the log. Raises ValueError for what is no fact, MeshError for one that has no place there."""
        self._roster()
        facts = [checked_fact(text) for text in texts]
        await self._log.write(lambda store: [store.learn(facts)])
        known = {fact.id for fact in self._log.facts}
        if any(fact.id not in known for fact in facts):
            raise MeshError(
                "this log does not take it: it is of another mesh, or its signer has stated as many facts as one may"
            )

    async def take(self, mesh: bytes, frames: Sequence[bytes]) -> TakenArchive:
        """Take records of an archive of the mesh `mesh`. Raises MeshError, also for another mesh, or ValueError."""
        check_mesh(mesh, self._mesh_key)
        if not self._log.has_room:
            raise MeshError("the disk of this node is nearly full, so it takes no events of others: free space on it")
        archived = ArchivedFrames(frames)
        for events in archived.events:
            self._log.follow(events)
        clock_ms = self._log.follow(())
        await self._log.write(lambda store: archived.work(store, clock_ms))
        return archived.outcome()

    async def leave(self) -> int:
        """State that this node leaves, and tell those that are connected; it has to be stopped then.

        Returns how many have taken that. Raises MeshError if it is no member, or if it cannot be stopped from here.
        """
        check_own(self._roster(), self._home.signer.public, self._home.node_id)
        if not self._can_stop():
            raise MeshError(
                f"this node runs inside another program (process {os.getpid()}): stop that program, then `mesh leave`"
            )
        neighbours = self._log.neighbours
        if neighbours.count:
            with suppress(TimeoutError):
                await self._synchronized(CATCH_UP_SECONDS)
        told = neighbours.count
        await self._log.request_in_order(self._state_leave)

        async def are_gone() -> bool:  # each ends its session when it has the fact
            return not neighbours.count

        await _until(are_gone, neighbours.on_change, TELL_SECONDS)
        return told - neighbours.count

    def _state_leave(self, log: RunLog) -> Later[Any]:
        # The keeper does this too, when it has heard of the commit: what is added until then would count nowhere.
        before, log.refusal = log.refusal, StoreError(LEFT)
        written = log.write(lambda store: [leave_by(self._home.signer, store, self._mesh_key, self._clock.now_ms())])

        def on_written(done: Later[Any]) -> None:
            if done.exception is not None:
                log.refusal = before

        written.then(on_written)
        return written

    async def _lacks(self, key: bytes) -> bool:
        """Whether another node has more that is, or may be, of this key."""
        lacked = self._log.neighbours.lacked
        if not lacked:
            return False
        births = await self._log.read(lambda store: [store.birth(epoch) for epoch in lacked])
        return any(birth is None or birth.key == key for birth in births)

    def _roster(self) -> Roster:
        if not self._mesh_key:
            raise MeshError("this node is in no mesh: `mesh found` makes one")
        return Roster(self._mesh_key, self._log.facts)


async def _until(
    is_over: Callable[[], Awaitable[bool]], on_change: Callable[[Callable[..., None]], Undo], seconds: float
) -> None:
    """Wait until something is over, for so many seconds at most."""
    changed = asyncio.Event()
    undo = on_change(lambda *_: changed.set())
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not await is_over():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await changed.wait()
                    changed.clear()
    finally:
        undo()
