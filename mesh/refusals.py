"""Why a node or an address is left alone until something changes, as sentences."""

from __future__ import annotations

from mesh.actions import Action, Notice

ANOTHER_MESH = (
    "belongs to another mesh: start this node with --mesh of that mesh in a home of its own, or leave that address out"
)
THIS_NODE = "is this node itself: leave it out of --peer"
CLONED = "runs under this node's id"
"""Another machine greeted us with our own node id."""
MAX_OWN_CLONES = 8
"""Runs of a copy of our home that are reported; whoever forges more of them is not listened to."""


def refusal_sentence(who: str, why: str) -> str:
    """What people are shown when `who`, a node id or an address, is refused."""
    return f"{who} {why}" if why in {ANOTHER_MESH, THIS_NODE, CLONED} else f"refused: {who}: {why}"


def clone_notice(node_id: str) -> Notice:
    """Two machines use one key, and what to do about it."""
    text = (
        f"two machines run as {node_id}: one home is a copy; delete `node.key` and `node.json` in one of them, "
        "then `mesh retry`"
    )
    return Notice("cloned", node_id, text)


class OwnClones:
    """Sightings of our own id that another machine sends, each of its runs told once."""

    def __init__(self, node_id: str, instance: str) -> None:
        self._node_id = node_id
        self._instance = instance
        self._runs: set[str] = set()

    def on_sighting(self, instance: str) -> list[Action]:
        if instance in {self._instance, *self._runs} or len(self._runs) >= MAX_OWN_CLONES:
            return []
        self._runs.add(instance)
        return [clone_notice(self._node_id)]

    def clear(self) -> None:
        """Tell of all again."""
        self._runs.clear()


def unreachable_sentence(address: str, reason: str) -> str:
    """A static address whose dial failed with `reason`."""
    why = reason.removeprefix(f"{address}: ") or "no answer"
    return f"cannot reach {address} yet: {why}; it is tried again and again"
