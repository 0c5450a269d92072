"""The limits of a running room: measures every mailbox, window and cache, and names the limit of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mesh.actors.log_keeper import LogKeeper
from mesh.actors.node_supervisor import NodeSupervisor
from mesh.actors.peer_session import PeerSession
from mesh.actors.runtime.inspection import actor_behind, living_actors, waiting_messages
from mesh.lab.checks.subject import RoomSubject
from peers.limits import Limits
from peers.log.draft import MAX_WAITING
from peers.log.run_tail import TAIL_CHANGES
from peers.protocol.sync import WINDOW

MAX_MAILBOX = 1_000
"""Messages that may wait for one actor, besides added events: those wait for the log, at most MAX_WAITING of them."""
SPARE_SESSIONS = 64
"""Sessions of one room, besides SESSIONS_EACH for each node that it knows."""
SESSIONS_EACH = 2
"""One that is open, and one that is being dialled or crosses it."""

_LIMITS = Limits()


class Measure(NamedTuple):
    """The size of something, and its limit."""

    what: str
    size: int
    limit: int
    name: str
    """The name of the limit."""


def broken_limits(room: RoomSubject) -> list[str]:
    """A sentence for each limit that is passed in a room now."""
    return [
        f"{room.name}: {each.what} has {each.size}, and {each.name} allows {each.limit}"
        for each in measures(room)
        if each.size > each.limit
    ]


def measures(room: RoomSubject) -> Iterator[Measure]:
    """The present size of everything in a room that has a limit."""
    sessions = members = 0
    for ref in living_actors(room.runtime):
        actor, waiting = actor_behind(ref), waiting_messages(ref)
        if isinstance(actor, LogKeeper):
            yield Measure("the mailbox of its log", waiting, MAX_WAITING + MAX_MAILBOX, "MAX_WAITING")
            yield from _of_keeper(actor)
        else:
            yield Measure(f"the mailbox of {ref.actor_class.__name__}", waiting, MAX_MAILBOX, "MAX_MAILBOX")
        if isinstance(actor, PeerSession):
            sessions += 1
            yield from _of_session(actor)
        elif isinstance(actor, NodeSupervisor):
            members = len(actor.membership.members)
            yield Measure("its table of members", members, _LIMITS.members, "members")
    yield Measure("its table of sessions", sessions, SPARE_SESSIONS + SESSIONS_EACH * members, "SPARE_SESSIONS")


def _of_keeper(keeper: LogKeeper) -> Iterator[Measure]:
    if keeper.log is not None:
        yield Measure("the tail of its log", keeper.log.tail_changes, TAIL_CHANGES, "TAIL_CHANGES")


def _of_session(session: PeerSession) -> Iterator[Measure]:
    role = session.role
    if role is None:
        return
    subject = f"the session with {role.other_node_id}"
    yield Measure(f"{subject}: what it sent and is not acknowledged", role.in_flight_count, WINDOW, "WINDOW")
    yield Measure(f"{subject}: what it takes", role.taking_count, WINDOW, "WINDOW")
