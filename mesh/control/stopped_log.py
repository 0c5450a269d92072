"""StoppedLog: what ControlClient writes into a log, for a home in which no node runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom
from typing import Any

from msgspec import Raw

from mesh.control.mesh_texts import check_mesh
from mesh.control.messages import Confirmed, FramesTaken, Rejected, outcome_of
from mesh.errors import MeshError
from mesh.settings.home import Home, read_signer
from mesh.trust.certificates import mesh_key_of
from mesh.trust.expulsion import why_out
from mesh.trust.founding import log_of
from peers.clock import LoopClock
from peers.limits import Limits
from peers.log.run_log import RunLog
from peers.protocol.runs.archiving import ArchivedFrames
from peers.stores.disk import InlineDisk
from peers.stores.store import StoreError


class StoppedLog:
    """Other nodes get what is written here when the node runs. Each call is a transaction, and raises MeshError."""

    def __init__(self, mesh_key: bytes, log: RunLog) -> None:
        self._mesh_key, self._log = mesh_key, log

    def status(self) -> dict[str, Any]:
        """The keys of `mesh status --json` that `mesh import` uses."""
        return {"last_added": self._log.last_added}

    def add(
        self, events: Sequence[Raw], metas: Sequence[dict[str, Any] | None], keys: Sequence[str]
    ) -> Sequence[Confirmed | Rejected]:
        """As in ControlClient."""
        try:
            outcomes = self._log.add_batch(list(zip(events, metas, strict=True)), keys=keys).result()
        except StoreError as error:
            raise MeshError(str(error)) from None
        return [outcome_of(outcome) for outcome in outcomes]

    def take(self, mesh: bytes, frames: Sequence[bytes]) -> FramesTaken:
        """As in ControlClient."""
        check_mesh(mesh, self._mesh_key)
        try:
            archived = ArchivedFrames(frames)
            for events in archived.events:
                self._log.follow(events)
            clock_ms = self._log.follow(())
            self._log.write(lambda store: archived.work(store, clock_ms)).result()
        except (StoreError, ValueError) as error:
            raise MeshError(str(error)) from None
        taken = archived.outcome()
        return FramesTaken(taken.shown, taken.entries, taken.new, taken.left, taken.bad)


@contextmanager
def stopped_log(path: Path) -> Iterator[StoppedLog]:
    """The log of a home, which no node can use meanwhile. Raises MeshError for no home, or one that is in use."""
    mesh_key = mesh_key_of(path, read_signer(path).public)
    home = Home(path)
    loop = asyncio.new_event_loop()  # only for its clock
    try:
        with log_of(home, mesh_key, "nothing was imported") as store:
            opened = RunLog.open(
                InlineDisk(store),
                home.node_id,
                clock=LoopClock(loop),
                random=SystemRandom(),
                signer=home.signer,
                max_future_ms=Limits().max_future_seconds * 1_000,
            ).result()
            why = "" if opened.roster is None else why_out(opened.roster, home.signer.public)
            opened.refusal = StoreError(why) if why else None
            yield StoppedLog(mesh_key, opened)
    finally:
        loop.close()
        home.close()
