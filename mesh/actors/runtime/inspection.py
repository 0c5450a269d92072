"""The actors of a runtime: for checks that none is left, for a crash in the lab, and for a forked process."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from mesh.actors.runtime.loop_actor import LoopActor, LoopActorRef
from mesh.actors.runtime.mailbox import Runtime

A = TypeVar("A", bound=LoopActor)


def living_actors(runtime: Runtime) -> list[LoopActorRef[Any]]:
    """The actors that were started on `runtime` and have not stopped, in the order of their start."""
    actors = [inbox.actor for inbox in tuple(runtime.inboxes)]
    return [cast("LoopActorRef[Any]", actor.actor_ref) for actor in actors if actor is not None]


def abandon_actors(runtime: Runtime) -> None:
    """Mark all actors of `runtime` as dead at once, without calling any of their hooks. See Mailbox.abandon."""
    for ref in living_actors(runtime):
        ref.actor_inbox.abandon()


def waiting_messages(ref: LoopActorRef[Any]) -> int:
    """How many messages wait in the mailbox of an actor."""
    return ref.actor_inbox.waiting_count


def actor_behind(ref: LoopActorRef[A]) -> A | None:
    """The actor itself, for checks that read its public properties on its loop; None once it is dead."""
    return cast("A | None", ref.actor_inbox.actor)
