"""OneNode: the Membership of one node without actors. A test reports events and looks at the actions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mesh.discovery.port import Sighting
from mesh.membership.actions import Action, Close, Dial, LookAgain, Notice
from mesh.membership.dialling.link_selection import Link
from mesh.membership.membership import Membership
from peers.clock import ManualClock
from peers.limits import LimitHits, Limits

AT = "10.0.0.1:4000"
STATIC = "hall.example:4000"


def membership(node_id: str, instance: str, static: Iterable[str] = (), *, hits: LimitHits | None = None) -> Membership:
    """A Membership with the usual limits."""
    return Membership(node_id, instance, static, limits=Limits(), hits=hits or LimitHits(ManualClock()))


class OneNode:
    """The Membership of node "m". Time passes only in `look`; all methods return the actions."""

    def __init__(self, *static: str) -> None:
        self.hits = LimitHits(ManualClock())
        self.membership = membership("m", "m-run", static, hits=self.hits)
        self.now = 0.0
        self.accepted = 0

    def sight(self, node_id: str = "a", *addresses: str, instance: str = "run1", **more: Any) -> list[Action]:
        """Discovery hears an announcement of a node, at AT by default."""
        return self.membership.on_sighting(Sighting(node_id, instance, addresses or (AT,), **more), self.now)

    def look(self, subject: str = "a", *, after: float = 0.0) -> list[Action]:
        """Let `after` seconds pass; then a LookAgain for `subject` is due."""
        self.now += after
        return self.membership.on_look(subject, self.now)

    def dial(self, node_id: str = "a") -> str:
        """A node is sighted and dialled. Returns the key of the session."""
        self.sight(node_id)
        (action,) = self.look(node_id)
        assert isinstance(action, Dial)
        return action.key

    def accept(self, address: str = "10.0.0.9:50000") -> str:
        """A node connects. Returns the key of the session."""
        self.accepted += 1
        self.membership.on_accepted(f"accepted:{self.accepted}", address)
        return f"accepted:{self.accepted}"

    def greet(
        self,
        key: str,
        node_id: str = "a",
        *,
        boot: str = "run1",
        address: str = AT,
        held: tuple[str, ...] = (),
        is_proven: bool = False,
    ) -> list[Action]:
        """The other end of a session greets as the run `boot` of a node, whose key it has proved or not."""
        session = self.membership.sessions[key]
        link = Link(key, f"c-{key}", session.dialled, boot, self.now, is_proven)
        return self.membership.on_greeted(key, node_id, link, held, address, self.now)

    def answer(self, key: str, connection_id: str = "") -> list[Action]:
        """The other end of a session answers a question whether it lives."""
        return self.membership.on_answered(key, connection_id or f"c-{key}", self.now)

    def close(self, key: str, reason: str = "lost", *, note: str = "") -> list[Action]:
        """The connection of a session ends, or its attempt to dial fails."""
        return self.membership.on_closed(key, reason, self.now, note=note)

    def fail(self, key: str, why: str = "a bug") -> list[Action]:
        """The actor of a session fails."""
        return self.membership.on_failed(key, why, self.now, 1.0)

    def meet(self, node_id: str = "a") -> str:
        """A node is dialled and greets. Returns the key of the session."""
        key = self.dial(node_id)
        self.greet(key, node_id)
        return key

    def state(self, node_id: str = "a") -> str:
        return self.membership.members[node_id].state

    def pause(self, node_id: str = "a", *, boot: str = "run1") -> None:
        """Sessions with a node fail until it is paused."""
        for _ in range(6):
            key = self.accept()
            self.greet(key, node_id, boot=boot)
            self.fail(key)
        assert self.membership.failures[node_id].is_paused


def notices(actions: list[Action]) -> list[tuple[str, str]]:
    return [(action.kind, action.sentence) for action in actions if isinstance(action, Notice)]


def kinds(actions: list[Action]) -> list[str]:
    return [kind for kind, _ in notices(actions)]


def closes(actions: list[Action]) -> list[tuple[str, str]]:
    return [(action.key, action.reason) for action in actions if isinstance(action, Close)]


def looks(actions: list[Action]) -> dict[str, float]:
    return {action.subject: action.delay_seconds for action in actions if isinstance(action, LookAgain)}
