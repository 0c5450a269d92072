"""Which actors live on a runtime: for those who check that none is left, and for a crash in the lab."""

from __future__ import annotations

from typing import Any, cast

import pykka

from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.actors.runtime.mailbox import Runtime


def living_actors(runtime: Runtime) -> list[LoopActorRef[Any]]:
    """The actors that were started on `runtime` and have not stopped, in the order of their start."""
    actors = [inbox._actor for inbox in tuple(runtime.inboxes)]
    return [cast("LoopActorRef[Any]", actor.actor_ref) for actor in actors if actor is not None]


def abandon_actors(runtime: Runtime) -> None:
    """Let all actors of `runtime` be dead where they stand: no hook is called, no message handled, no answer given."""
    for ref in living_actors(runtime):
        ref.actor_inbox.abandon()


def waiting_messages(ref: LoopActorRef[Any]) -> int:
    """How much waits in the mailbox of an actor."""
    return len(ref.actor_inbox._waiting)


def actor_behind(ref: LoopActorRef[Any]) -> pykka.Actor | None:
    """The actor itself, to be looked at by a check that stands outside of it; None once it is dead."""
    return ref.actor_inbox._actor
