"""The port of every way to find other nodes: announce this one, hear of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from peers.later import Later
from peers.transport.sockets import EVERY_HOST

NAMED_LIMIT = 8
"""How many interfaces a sentence names."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a node says of itself to the LAN."""

    node_id: str
    mesh: str
    """Hash of the mesh's name, so that other meshes on the LAN are told apart."""
    instance: str
    """Random id of this run of the node: a new one tells others that it was restarted."""
    port: int
    hosts: tuple[str, ...] = EVERY_HOST
    """The addresses at which it listens; `0.0.0.0` and `::` are every one of a family. No other one is announced."""


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


@dataclass(frozen=True, slots=True)
class DiscoveryState:
    """Whether discovery works, on which interfaces, and what is wrong: for people and for `mesh status`."""

    is_on: bool
    interfaces: tuple[str, ...] = ()
    """Names of the interfaces in use; none where interfaces have no names."""
    why: str = ""
    """Off: the reason. On: what is missing; empty when nothing is."""
    addresses: frozenset[str] = frozenset()
    """All addresses of this machine, used or not; none while they are not known."""

    @property
    def sentence(self) -> str:
        """What people are told when it changes; empty when there is nothing to say."""
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


def ignore_state(state: DiscoveryState) -> None:
    """For callers of `Discovery.start` who do not need its state."""


class Discovery(Protocol):
    """Finds nodes until it is stopped. All of it runs on one asyncio loop; nothing in it is ever trusted."""

    def start(
        self,
        announcement: Announcement,
        on_sighting: Callable[[Sighting], None],
        on_state: Callable[[DiscoveryState], None] = ignore_state,
    ) -> Later[None]:
        """Announce us and report every other node, again whenever something about it changes.

        The result comes after the first attempt. Where it cannot work yet (no interface, no multicast) it goes on trying, and
        `on_state` says so; that is called before the result and at each change. Both are called on the loop and must not raise.
        """

    def requery(self) -> None:
        """Ask again soon and several times: a session was lost, a network came back."""

    def stop(self) -> Later[None]:
        """Say goodbye and free everything. Harmless when it never started."""
