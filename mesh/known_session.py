"""A session actor, as Neighbourhood knows it."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.topology import Link


@dataclass(frozen=True, slots=True)
class LinkOutcome:
    """What came of a link between two nodes, known at its end."""

    is_stalled: bool = False
    """Nothing moved on it either way, though something was to be sent."""
    is_blocked: bool = False
    """It was open, and ended in silence while something was to be sent."""
    confirmed: int | None = None
    """The position of our log up to which the other end has everything; None if they did not greet."""


NOTHING_KNOWN = LinkOutcome()


@dataclass(frozen=True, slots=True)
class Session:
    """One session actor."""

    key: str
    dialled: bool
    subject: str = ""
    """The node id or the static address that it dials; empty if it was accepted."""
    state: str = "connecting"
    address: str = ""
    other_node_id: str | None = None
    connection_id: str = ""
    link: Link | None = None
    """Set while the greeting is done and the connection lives."""
    was_synchronized: bool = False
    """Since the greeting: later changes between sending and synchronized are no news."""
    is_closing: bool = False

    @property
    def is_met(self) -> bool:
        return self.link is not None and not self.is_closing

    def may_be_with(self, node_id: str | None) -> bool:
        """Whether `node_id`, or anybody at all, may be its other end."""
        if node_id is None or self.other_node_id == node_id:
            return True
        return self.dialled and self.link is None
