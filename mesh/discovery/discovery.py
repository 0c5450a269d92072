"""The port of every way to find other nodes: announce this one, hear of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from peers.later import Later


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a node says of itself to the LAN."""

    node_id: str
    mesh: str
    """Hash of the mesh's name, so that other meshes on the LAN are told apart."""
    instance: str
    """Random id of this run of the node: a new one tells others that it was restarted."""
    port: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """One announcement heard: a hint where to dial, never a proof of who is there."""

    node_id: str
    instance: str
    addresses: tuple[str, ...]
    """Where it may be dialled, best first: `192.168.1.7:44321`, `[fe80::1%2]:44321`."""
    is_goodbye: bool = False
    """The announcement was withdrawn: forget the hint, close nothing."""
    other_mesh: str = ""
    """Hash of the name of its mesh if that is not ours: it is counted, not dialled."""


class Discovery(Protocol):
    """Finds nodes until it is stopped. All of it runs on one asyncio loop; nothing in it is ever trusted."""

    def start(self, announcement: Announcement, on_sighting: Callable[[Sighting], None]) -> Later[None]:
        """Announce us and report every other node, again whenever something about it changes.

        The result fails with an OSError or RuntimeError that says why when it cannot work here (no interface, no
        multicast). `on_sighting` is called on the loop and must not raise.
        """

    def requery(self) -> None:
        """Ask again soon and several times: a session was lost, a network came back."""

    def stop(self) -> Later[None]:
        """Say goodbye and free everything. Harmless when it never started."""
