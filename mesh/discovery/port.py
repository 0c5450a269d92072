"""The port of discovery: announce this node, report the announcements of others. Implemented in static.py and mdns/mdns.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from peers.later import Later
from peers.transport.sockets import EVERY_HOST

NAMED_LIMIT = 8
"""So many interfaces are named in a sentence; the others are counted."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a node announces on the LAN."""

    node_id: str
    mesh: str
    """Hash of the name of its mesh: nodes of other meshes on the LAN are counted, and not dialled."""
    instance: str
    """Random id of this run of the node: a new one shows a restart."""
    port: int
    hosts: tuple[str, ...] = EVERY_HOST
    """The addresses at which it listens; `0.0.0.0` and `::` are all addresses of a family. Only these are announced."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An announcement that was heard: a hint where to dial, never a proof of the identity of the node there."""

    node_id: str
    instance: str
    addresses: tuple[str, ...]
    """Where it may be dialled, best first: `192.168.1.7:44321`, `[fe80::1%2]:44321`."""
    is_goodbye: bool = False
    """The announcement was withdrawn: the hint is out of date, but connections stay."""
    other_mesh: str = ""
    """Hash of the name of its mesh, if that is not ours."""
    source: str = field(default="", compare=False)
    """The address from which it came, if that is known."""


@dataclass(frozen=True, slots=True)
class DiscoveryState:
    """Whether discovery works, on which interfaces, and what is wrong: for notices and for `mesh status`."""

    is_on: bool
    interfaces: tuple[str, ...] = ()
    """Names of the interfaces in use; none where interfaces have no names."""
    why: str = ""
    """The reason if it is off; what is missing if it is on, empty if that is nothing."""
    addresses: frozenset[str] = frozenset()
    """All addresses of this machine, used or not; empty while they are not known."""

    @property
    def sentence(self) -> str:
        """The notice when it changes; empty if there is nothing to say."""
        if not self.is_on:
            return (
                f"warning: does not look for other nodes: {self.why}; "
                "it tries again when the network changes, and nodes given with --peer are dialled all the same"
            )
        if not self.interfaces:
            return ""
        more = f" and {len(self.interfaces) - NAMED_LIMIT} more" if len(self.interfaces) > NAMED_LIMIT else ""
        sentence = f"looks for other nodes on {', '.join(self.interfaces[:NAMED_LIMIT])}{more}"
        return f"warning: {sentence}, but {self.why}" if self.why else sentence


NOT_WANTED = DiscoveryState(is_on=False, why="this node was started without it (--no-mdns)")
"""Of a node that looks for no others."""


def ignore_state(state: DiscoveryState) -> None:
    """For callers of `Discovery.start` that do not need its state."""


class Discovery(Protocol):
    """Finds other nodes until it is stopped. All of it runs on one asyncio loop. Nothing that it hears is trusted."""

    def start(
        self,
        announcement: Announcement,
        on_sighting: Callable[[Sighting], None],
        on_state: Callable[[DiscoveryState], None] = ignore_state,
    ) -> Later[None]:
        """Announce this node, and call `on_sighting` for each other node, again at each change of its announcement.

        The result is set after the first attempt. Where discovery cannot work yet (no interface, no multicast) it goes on
        trying. `on_state` is called before the result is set, and at each change. Both callbacks run on the loop and must not
        raise.
        """

    def requery(self) -> None:
        """Query again soon, several times: a session was lost, or a network came back."""

    def stop(self) -> Later[None]:
        """Withdraw the announcement and free all resources. Does nothing if it never started."""
