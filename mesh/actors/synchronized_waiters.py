"""SynchronizedWaiters: the callers who wait until this node and the others hold the same events."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial

from mesh.actors.children import Children
from mesh.actors.log_proxy import LogProxy
from mesh.actors.peer_session import PeerSession
from mesh.errors import MeshError
from mesh.membership.agreement import Agreement
from mesh.membership.membership import Membership
from peers.later import Later


class SynchronizedWaiters:
    """A part of NodeSupervisor: it asks the session of each link once per waiter, and reacts in the supervisor's turn."""

    def __init__(
        self,
        children: Children[PeerSession],
        membership: Membership,
        log: LogProxy,
        turn: Callable[[Callable[..., None]], Callable[..., None]],
    ) -> None:
        self._children = children
        self._membership = membership
        self._log = log
        self._turn = turn
        self._waits: dict[Agreement, Later[None]] = {}
        self._is_over = False

    async def wait(self, peers: int, timeout_seconds: float, abandoned: Later[None]) -> None:
        """See Node.synchronized; it also returns when `abandoned` is resolved. Raises TimeoutError or MeshError."""
        if self._is_over:
            raise _stopped()
        agreement, reached = Agreement(peers, self._log.state.last_position), Later[None]()
        self._waits[agreement] = reached
        abandoned.then(lambda _: resolve(reached))
        self._look(agreement)
        try:
            async with asyncio.timeout(timeout_seconds):
                await reached
        except TimeoutError:
            raise TimeoutError(
                f"not synchronized within {timeout_seconds:g} s: {await self._why_not(agreement)}"
            ) from None
        finally:
            del self._waits[agreement]

    def look(self) -> None:
        """Called after each report: see which waits are over."""
        for agreement in tuple(self._waits):
            self._look(agreement)

    def end(self) -> None:
        """The node stops: all waits fail with MeshError."""
        self._is_over = True
        for reached in self._waits.values():
            if not reached.is_done:
                reached.fail(_stopped())

    def _look(self, agreement: Agreement) -> None:
        sessions, reached = self._membership.sessions, self._waits[agreement]
        for session in agreement.to_ask(sessions):
            ref = self._children.sessions.get(session.key)
            if ref is not None:
                asked = ref.ask_to(PeerSession.check, agreement.position)
                asked.then(self._turn(partial(self._on_answer, agreement, session.connection_id)))
        if agreement.is_reached(sessions):
            resolve(reached)

    def _on_answer(self, agreement: Agreement, connection_id: str, answered: Later[None]) -> None:
        if answered.exception is None:  # else that link is over, and another one will be asked
            agreement.on_agreed(connection_id)
            if agreement in self._waits:
                self._look(agreement)

    async def _why_not(self, agreement: Agreement) -> str:
        described = await self._children.ask_sessions(PeerSession.describe)
        membership, last_position = self._membership, self._log.state.last_position
        return agreement.why_not(
            membership.sessions,
            membership.members.values(),
            described,
            last_position,
            membership.refused_static,
        )


def ask_synchronized(ask: Callable[[int, float, Later[None]], Later[None]], peers: int, timeout: float) -> Later[None]:
    """What Node.synchronized returns; `ask` has it asked of the supervisor, with what is resolved once it is abandoned."""
    if peers < 1 or not 0 < timeout < math.inf:
        return Later.failed(ValueError(f"peers={peers}, timeout={timeout}: take 1 or more, and seconds above 0"))
    abandoned = Later[None]()
    waited = ask(peers, timeout, abandoned)
    waited.on_abandoned = partial(resolve, abandoned)
    return waited


def resolve(later: Later[None]) -> None:
    """Set it, unless that was done."""
    if not later.is_done:
        later.set()


def _stopped() -> MeshError:
    return MeshError("this node stopped")
