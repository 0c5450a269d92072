"""A membership without actors: what it is told, and the actions that it wants."""

from __future__ import annotations

from typing import Any

from mesh.discovery.port import Sighting
from mesh.membership.actions import Action, Close, Dial, LookAgain, Notice
from mesh.membership.dialling.link_selection import Link
from mesh.membership.membership import Membership

AT = "10.0.0.1:4000"
STATIC = "hall.example:4000"


class House:
    """A membership, called "m", whose actions are kept; time passes only in `look`."""

    def __init__(self, *static: str) -> None:
        self.inside = Membership("m", "m-run", static)
        self.now = 0.0
        self.accepted = 0

    def sight(self, node_id: str = "a", *addresses: str, instance: str = "run1", **more: Any) -> list[Action]:
        return self.inside.on_sighting(Sighting(node_id, instance, addresses or (AT,), **more), self.now)

    def look(self, subject: str = "a", *, after: float = 0.0) -> list[Action]:
        self.now += after
        return self.inside.on_look(subject, self.now)

    def dial(self, node_id: str = "a") -> str:
        """Sight a node and dial it; the key of the session."""
        self.sight(node_id)
        (action,) = self.look(node_id)
        assert isinstance(action, Dial)
        return action.key

    def accept(self, address: str = "10.0.0.9:50000") -> str:
        self.accepted += 1
        self.inside.on_accepted(f"accepted:{self.accepted}", address)
        return f"accepted:{self.accepted}"

    def greet(
        self, key: str, node_id: str = "a", *, boot: str = "run1", address: str = AT, held: tuple[str, ...] = ()
    ) -> list[Action]:
        session = self.inside.sessions[key]
        link = Link(key, f"c-{key}", session.dialled, boot, self.now)
        return self.inside.on_greeted(key, node_id, link, held, address, self.now)

    def close(self, key: str, reason: str = "lost", *, note: str = "") -> list[Action]:
        return self.inside.on_closed(key, reason, self.now, note=note)

    def fail(self, key: str, why: str = "a bug") -> list[Action]:
        return self.inside.on_failed(key, why, self.now, 1.0)

    def meet(self, node_id: str = "a") -> str:
        key = self.dial(node_id)
        self.greet(key, node_id)
        return key

    def state(self, node_id: str = "a") -> str:
        return self.inside.members[node_id].state

    def pause(self, node_id: str = "a", *, boot: str = "run1") -> None:
        for _ in range(6):
            key = self.accept()
            self.greet(key, node_id, boot=boot)
            self.fail(key)
        assert self.inside.failures[node_id].is_paused


def notices(actions: list[Action]) -> list[tuple[str, str]]:
    return [(action.kind, action.sentence) for action in actions if isinstance(action, Notice)]


def kinds(actions: list[Action]) -> list[str]:
    return [kind for kind, _ in notices(actions)]


def closes(actions: list[Action]) -> list[tuple[str, str]]:
    return [(action.key, action.reason) for action in actions if isinstance(action, Close)]


def looks(actions: list[Action]) -> dict[str, float]:
    return {action.subject: action.delay_seconds for action in actions if isinstance(action, LookAgain)}
