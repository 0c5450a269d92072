"""The rooms and clients of a run, as the checks and the timeline need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mesh.actors.log_proxy import LogProxy
from mesh.actors.runtime.mailbox import Runtime
from mesh.lab.simulation.storage import LabStore
from peers.events.created import Created
from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.later import Later
from peers.stores.run_store import RunStore


class LogHolder(Protocol):
    """A room or a client: it holds events in a store."""

    name: str

    @property
    def store(self) -> RunStore: ...

    @property
    def types(self) -> list[str]:
        """The types of its events, in the order of the log."""


class RoomSubject(LogHolder, Protocol):
    """One room, in which a node runs or ran."""

    is_running: bool
    runtime: Runtime

    @property
    def mesh(self) -> object:
        """The mesh that it is in; None for an open node."""

    @property
    def acknowledged(self) -> Mapping[Created, None]:
        """Events whose `add` returned."""

    @property
    def store(self) -> LabStore: ...

    @property
    def node_id(self) -> str: ...

    @property
    def entries(self) -> Sequence[Entry]: ...

    @property
    def kept(self) -> LogProxy | None:
        """The log of its node while it runs."""

    @property
    def key(self) -> bytes:
        """The public key that its node signs with."""

    @property
    def is_disk_full(self) -> bool: ...

    @property
    def is_hostile(self) -> bool:
        """Whether its node breaks the rules of a story's choice: nothing is promised of it."""

    @property
    def seconds(self) -> float:
        """Virtual time."""

    @property
    def actors(self) -> list[str]:
        """Class names of the actors that run in it."""


class ClientSubject(LogHolder, Protocol):
    """One Logux client."""

    to: str
    """The room that it dials."""


class Witness(Protocol):
    """Watches rooms; see Checker and Timeline."""

    def on_life(self, room: RoomSubject, kept: LogProxy) -> None:
        """The node of `room` has opened its log."""

    def on_add(self, room: RoomSubject, event: dict[str, Any], result: Later[Any], *, is_timed: bool) -> None:
        """An event was added in `room`; `result` is what `add` returned."""

    def on_disk(self, room: RoomSubject, before: LabStore) -> None:
        """`room` has another store than `before`."""

    def on_resumed(self, room: RoomSubject, epoch: Epoch | None) -> None:
        """A machine of `room` goes on from an old snapshot in this epoch: it may sign two histories of it."""

    def on_sent_again(self, room: RoomSubject, other_node_id: str, what: str) -> None:
        """The node of `room` got what it had when it greeted the other one."""
