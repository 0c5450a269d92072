"""Nodes of other meshes on this network: counted, and named once."""

from __future__ import annotations

from mesh.discovery.port import Sighting
from mesh.membership.actions import Action, LookAgain, Notice

GATHER_SECONDS = 3.0
"""From the first that is heard until people are told, so that one sentence names all."""
MAX_OTHERS = 256
"""Nodes of other meshes that are kept in mind."""
SHOWN_NODES = 3
OTHERS = "*other meshes"
"""The subject of the look at which people are told; no node id and no address is written like this."""


class OtherMeshes:
    """Who announced itself with the mark of another mesh."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}
        """By node id."""
        self._is_told = False

    @property
    def count(self) -> int:
        """How many other meshes there are."""
        return len({*self._marks.values()})

    def on_sighting(self, sighting: Sighting) -> list[Action]:
        if sighting.is_goodbye:
            self._marks.pop(sighting.node_id, None)
            return []
        if len(self._marks) < MAX_OTHERS:
            self._marks[sighting.node_id] = sighting.other_mesh
        if self._is_told:
            return []
        self._is_told = True
        return [LookAgain(OTHERS, GATHER_SECONDS)]

    def on_look(self, _now_seconds: float) -> list[Action]:
        if not self._marks:
            return []
        names = sorted(self._marks)
        more = f" and {len(names) - SHOWN_NODES} more" if len(names) > SHOWN_NODES else ""
        whose = "another mesh" if self.count == 1 else f"{self.count} other meshes"
        text = (
            f"nodes of {whose} are on this network: {', '.join(names[:SHOWN_NODES])}{more}; to join one of them, start "
            "a node with `mesh --home NEW_HOME up --mesh` and the name of that mesh, which `mesh status` shows on its nodes"
        )
        return [Notice("note", None, text)]
