"""Reports: the frozen values that children send up to their supervisor, which never asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from mesh.discovery.port import Sighting
from mesh.membership.session_record import NOTHING_KNOWN, LinkOutcome
from peers.protocol.core import State
from peers.roles.clock_offset import Span
from peers.transport.port import Connection


class Report:
    """Base of all reports. Most have the `key` of the session or the service that sends them."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Dialled(Report):
    """A session opened a connection; its greeting comes next."""

    key: str
    connection_id: str


@dataclass(frozen=True, slots=True)
class Greeted(Report):
    """Both greetings are done, as far as this end knows, and the other node is accepted."""

    key: str
    other_node_id: str
    boot: str
    connection_id: str
    held: tuple[str, ...]
    address: str
    is_proven: bool
    """Whether the other end proved the key of that node."""


@dataclass(frozen=True, slots=True)
class Answered(Report):
    """The other end of a link has answered a ping that was sent when `Ask` wanted it."""

    key: str
    connection_id: str


@dataclass(frozen=True, slots=True)
class Compared(Report):
    """The wall clock of the other node was compared with ours."""

    key: str
    span: Span


@dataclass(frozen=True, slots=True)
class Met(Report):
    """A client or server that is no node was authenticated."""

    key: str
    other_node_id: str


@dataclass(frozen=True, slots=True)
class StateChanged(Report):
    """The role has changed its state; `sending` and a return from it to `synchronized` are not reported."""

    key: str
    state: State


@dataclass(frozen=True, slots=True)
class Closed(Report):
    """A connection is closed, or an attempt to open it failed. A session that dials tries again."""

    key: str
    reason: str
    note: str = ""
    """A sentence for users, if an error before the greeting was the cause and no notice has said so; else empty."""
    cause: str = ""
    """The kind of that error; see Notice."""
    outcome: LinkOutcome = NOTHING_KNOWN


@dataclass(frozen=True, slots=True)
class Refused(Report):
    """A session ended with an error that a new attempt cannot mend."""

    key: str
    other_node_id: str | None
    why: str


@dataclass(frozen=True, slots=True)
class SecondRun(Report):
    """A run of a node greeted us and was turned away, because another run of the same node is connected."""

    key: str
    other_node_id: str
    boot: str
    address: str


@dataclass(frozen=True, slots=True)
class Noted(Report):
    """A sentence for users; `kind`, `cause` and `who` are those of the notice."""

    key: str
    sentence: str
    kind: str = "note"
    cause: str = ""
    who: str = ""


def refused_at_door(address: str, why: str) -> Noted:
    """A connection from `address` was not let in because of its certificate, or for lack of one."""
    return Noted("", f"refused: {address}: {why}", kind="refused", cause=why, who=address.rpartition(":")[0])


@dataclass(frozen=True, slots=True)
class Failed(Report):
    """The actor of a child died of an exception."""

    key: str
    why: str

    @classmethod
    def of(cls, key: str, error: BaseException) -> Self:
        """`why` names the type of `error` and its text."""
        return cls(key, f"{type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class Accepted(Report):
    """A connection was accepted. It is open and paused, and belongs to the receiver of this report."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class Sighted(Report):
    """Discovery heard an announcement of a node."""

    sighting: Sighting


@dataclass(frozen=True, slots=True)
class AddressesGone(Report):
    """This machine has lost these addresses."""

    hosts: frozenset[str]
