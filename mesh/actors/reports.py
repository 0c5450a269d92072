"""What children tell their supervisor: frozen values, told up, never asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from mesh.discovery.port import Sighting
from mesh.membership.session_record import NOTHING_KNOWN, LinkOutcome
from peers.protocol.core import State
from peers.roles.clock_offset import Span
from peers.transport.port import Connection


@dataclass(frozen=True, slots=True)
class Dialled:
    """A session opened a connection and is about to greet on it."""

    key: str
    connection_id: str


@dataclass(frozen=True, slots=True)
class Greeted:
    """Both greetings are done, as far as this end knows, and the other end is let in."""

    key: str
    other_node_id: str
    boot: str
    connection_id: str
    held: tuple[str, ...]
    address: str


@dataclass(frozen=True, slots=True)
class Compared:
    """The other end's wall clock was compared with ours."""

    key: str
    span: Span


@dataclass(frozen=True, slots=True)
class Met:
    """Somebody who is no node is let in."""

    key: str
    other_node_id: str


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The role is in another state."""

    key: str
    state: State


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is closed, or an attempt to open it failed. A dialled session goes on trying."""

    key: str
    reason: str
    note: str = ""
    """A sentence for people, if an error before the greeting was the cause that they were not told of."""
    outcome: LinkOutcome = NOTHING_KNOWN


@dataclass(frozen=True, slots=True)
class Refused:
    """An error that a new attempt cannot mend."""

    key: str
    other_node_id: str | None
    why: str


@dataclass(frozen=True, slots=True)
class SecondRun:
    """A run of a node greeted us, and was turned away because another one is connected."""

    key: str
    other_node_id: str
    boot: str
    address: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that people should see."""

    key: str
    sentence: str
    kind: str = "note"


@dataclass(frozen=True, slots=True)
class Failed:
    """The child's actor died of an exception."""

    key: str
    why: str

    @classmethod
    def of(cls, key: str, error: BaseException) -> Self:
        """`why` names the type of `error` and its text."""
        return cls(key, f"{type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class Accepted:
    """Somebody dialled us. The connection is open and paused; whoever gets this owns it."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class Sighted:
    """Discovery heard of a node."""

    sighting: Sighting


@dataclass(frozen=True, slots=True)
class AddressesGone:
    """This machine does not have these addresses any more."""

    hosts: frozenset[str]


Report = (
    Dialled
    | Greeted
    | Compared
    | Met
    | StateChanged
    | Closed
    | Refused
    | SecondRun
    | Noted
    | Failed
    | Accepted
    | Sighted
    | AddressesGone
)
