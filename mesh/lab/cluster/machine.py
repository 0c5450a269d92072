"""The machine that stands in a room of the lab: its key, and a disk that survives the nodes that run on it."""

from __future__ import annotations

from typing import Any

from mesh.lab.cluster.room_parts import LabMesh, make_identity
from mesh.lab.simulation.storage import FileStore, LabStore, Medium, all_entries
from mesh.views.store import ViewStore
from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.signature import KeySigner


class Machine:
    """Has a key and a disk. `events`, `types` and `entries` are what the disk holds, in the order of all nodes."""

    def __init__(self, name: str, seed: int, mesh: LabMesh | None, medium: Medium) -> None:
        """`mesh` is the one that its node is in; None: the node is open. `medium` makes its disks."""
        self.name = name
        self._seed = seed
        self.mesh = mesh
        self.is_revoked = False
        """Whether a story has revoked the key that its node has now."""
        self.medium = medium
        self.store: LabStore = medium.blank()
        self.view_store = ViewStore()
        """Of the views of its application. It goes with the disk: on another one they are folded anew."""
        self.key_of: Machine | None = None
        """The one of whose home its own is a copy, so that both have the same key."""
        self.acknowledged: dict[Created, None] = {}
        """Events whose `add` succeeded, in order: the checker holds the cluster to them."""
        self._homes = 0
        self._last_entries: list[Entry] | None = None

    def __repr__(self) -> str:
        return self.name

    @property
    def node_id(self) -> str:
        """The node id, from name and key. `wipe` changes it."""
        return self.identity[0]

    @property
    def key(self) -> bytes:
        """The public key that its node signs with. `wipe` changes it."""
        return self.identity[1].public

    @property
    def circle(self) -> str:
        """Rooms of one circle speak with each other: the name of its mesh, empty for an open one; a revoked one is alone."""
        return f"*{self.name}" if self.is_revoked else self.mesh.name if self.mesh is not None else ""

    @property
    def identity(self) -> tuple[str, KeySigner]:
        """Node id and key."""
        return self.key_of.identity if self.key_of is not None else make_identity(self._seed, self.name, self._homes)

    @property
    def entries(self) -> list[Entry]:
        """What the disk shows, by (time, created)."""
        return self._last_entries if self._last_entries is not None else all_entries(self.store)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of `entries`."""
        return [entry.event for entry in self.entries]

    @property
    def types(self) -> list[str]:
        """The types of `events`."""
        return [event["type"] for event in self.events]

    def snapshot(self) -> LabStore:
        """See Cluster.snapshot."""
        return self.medium.copy(self.store)

    def restore(self, snapshot: LabStore) -> None:
        """See Cluster.restore."""
        store = self.medium.copy(snapshot)
        store.close()
        self._put_back(store)

    def may_resume(self, snapshot: LabStore) -> bool:
        """Whether a snapshot is of a machine with its key, as far as that wrote."""
        epoch = snapshot.state.epoch
        birth = snapshot.birth(epoch) if epoch is not None else None
        return birth is None or birth.key == self.key

    def wipe(self) -> None:
        """Delete the whole home, key included: it returns as a new node."""
        self._homes += 1
        self.is_revoked = False
        self.lose_log()

    def lose_log(self) -> None:
        """Delete the log and keep the key."""
        self._put_in(self.medium.blank())
        self.acknowledged.clear()

    def close_disk(self) -> None:
        """The run is over: keep what `entries` shows, and leave no file open."""
        if self._last_entries is None and isinstance(self.store, FileStore):
            self.store.open()
            self._last_entries = self.entries

    def _put_back(self, store: LabStore) -> None:
        self._put_in(store)
        held = {entry.created for entry in self.entries}
        self.acknowledged = {created: None for created in self.acknowledged if created in held}

    def _put_in(self, store: LabStore) -> None:
        before, self.store = self.store, store
        self.store.open()
        self.view_store = ViewStore()
        self._on_other_disk(before)
        self.medium.discard(before)

    def _on_other_disk(self, before: LabStore) -> None:
        """Called when it has another disk than `before`."""
