"""A disk on which a key of a mesh wrote, and what stores of that mesh make of it."""

from __future__ import annotations

from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.epoch import NOTHING
from peers.facts.fact import Fact, Tip
from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.taken import Taken
from tests.support.mesh_of_keys import MeshOfKeys, key
from tests.support.run_house import CheckedStore, Writer, event, own_epoch, put


def writer_of(name: str, births: int = 0) -> Writer:
    """The node with `key(name)`, which has begun so many epochs."""
    writer = Writer(1)
    writer.signer = key(name)
    for _ in range(births):
        writer.nonce()
    return writer


class DiskOfKey:
    """Epochs of the node with `key(name)` on a store without a mesh."""

    def __init__(self, name: str, births: int = 0) -> None:
        """Two with the same name and `births` are copies of one blank disk: what they write alike is the same."""
        self.name = name
        self.writer = writer_of(name, births)
        self.store = MemoryRunStore()
        self.store.open()
        self.epochs: list[Epoch] = []

    def write(self, *events: Entry, is_new_epoch: bool = False) -> None:
        """Each in a commit of its own."""
        if is_new_epoch:
            self.store.close()
            self.store.open()
        for each in events:
            put(self.store, self.writer, each)
        if own_epoch(self.store) not in self.epochs:
            self.epochs.append(own_epoch(self.store))

    def tip(self, at: int, seq: int) -> Tip:
        """The entry `seq` of an epoch, as a cut names it."""
        head = self.store.head(self.epochs[at], seq)
        assert head is not None
        return Tip(self.epochs[at], seq, head)

    def counting_in(self, store: RunStore) -> list[int]:
        """Up to where its epochs count in a store."""
        ends = store.ends()
        return [ends.get(epoch, NOTHING).seq for epoch in self.epochs]


def disk_of_dora(*lengths: int, what: str = "", node: str = "kitchen") -> DiskOfKey:
    """Epochs of so many entries. Two such disks differ in what their events say, not in the names of epochs."""
    dora = DiskOfKey("dora")
    for at, length in enumerate(lengths):
        events = [event(100 * at + seq, f"{at}.{seq}{what}", node=node) for seq in range(1, length + 1)]
        dora.write(*events, is_new_epoch=True)
    return dora


def enter(store: CheckedStore, mesh: MeshOfKeys) -> CheckedStore:
    """Open the store as one of this mesh."""
    store.close()
    store.enter_mesh(mesh.public)
    store.open()
    return store


def learn(store: RunStore, *facts: Fact) -> Taken:
    """In a commit of their own."""
    with store.transaction():
        return store.learn(facts)
