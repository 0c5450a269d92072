"""OtherMeshes: nodes of other meshes that announce themselves on this network are counted, and named in one notice."""

from __future__ import annotations

from mesh.discovery.port import Sighting
from mesh.membership.actions import Action, LookAgain, Notice

GATHER_SECONDS = 3.0
"""Time from the first sighting to the notice, so that one notice names all."""
MAX_OTHERS = 256
"""Nodes of other meshes that are remembered; further ones are ignored."""
SHOWN_NODES = 3
"""Nodes that the notice names; the others are counted."""
OTHERS = "*other meshes"
"""The subject of the look at which the notice is shown; no node id and no address is written like this."""


class OtherMeshes:
    """The nodes that announced themselves with the mark of another mesh."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}
        """By node id."""
        self._is_reported = False

    @property
    def count(self) -> int:
        """The number of other meshes."""
        return len({*self._marks.values()})

    def on_sighting(self, sighting: Sighting) -> list[Action]:
        """A node of another mesh was announced, or withdrew its announcement."""
        if sighting.is_goodbye:
            self._marks.pop(sighting.node_id, None)
            return []
        if len(self._marks) < MAX_OTHERS:
            self._marks[sighting.node_id] = sighting.other_mesh
        if self._is_reported:
            return []
        self._is_reported = True
        return [LookAgain(OTHERS, GATHER_SECONDS)]

    def on_look(self, _now_seconds: float) -> list[Action]:
        """GATHER_SECONDS after the first sighting: the notice."""
        if not self._marks:
            return []
        names = sorted(self._marks)
        more = f" and {len(names) - SHOWN_NODES} more" if len(names) > SHOWN_NODES else ""
        whose = "another mesh" if self.count == 1 else f"{self.count} other meshes"
        text = (
            f"nodes of {whose} are on this network: {', '.join(names[:SHOWN_NODES])}{more}; to join one of them, get a "
            "code there by `mesh invite`, and give it to `mesh join` here; for one of open nodes, start a node with "
            "`mesh --home NEW_HOME up --open --mesh` and its name, which `mesh status` shows there"
        )
        return [Notice("note", None, text)]
