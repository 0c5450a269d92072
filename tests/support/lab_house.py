"""A cluster of the lab with two rooms, and its notices; and what writes on a disk without a node."""

from __future__ import annotations

from collections.abc import Callable

from mesh.lab import Cluster, Room
from mesh.lab.simulation.storage import StoreKind
from peers.events.entry import Entry, encode_event
from peers.events.epoch import NONCE_BYTES
from peers.events.signature import KeySigner
from peers.stores.run_store import Pen, RunStore

PEN = Pen(KeySigner.from_seed(bytes(32)), lambda: bytes(NONCE_BYTES))


def append(name: str) -> Callable[[RunStore], str]:
    """Work that stores an event of type `name`."""

    def work(store: RunStore) -> str:
        store.append([Entry((1, name, 0), 1, encode_event({"type": name}))], PEN)
        return name

    return work


def fail(_: RunStore) -> str:
    raise ValueError("broken work")


def start_two(house: Cluster) -> tuple[Room, Room]:
    """A kitchen and a study that have met."""
    kitchen, study = house.start("kitchen", "study")
    house.settle("met")
    return kitchen, study


def two_histories(house: Cluster, store: StoreKind = "memory") -> tuple[Room, Room]:
    """A kitchen that wrote tuesday, went on from a snapshot without it, and wrote wednesday; and a study that knows both."""
    kitchen, study = house.start("kitchen", "study", store=store)
    house.settle("met")
    kitchen.log.add({"type": "monday"})
    house.settle("monday")
    snapshot = house.snapshot(kitchen)
    kitchen.log.add({"type": "tuesday"})
    house.settle("tuesday")
    house.crash(kitchen)
    house.partition([kitchen], [study])
    house.resume(kitchen, snapshot)
    kitchen.log.add({"type": "wednesday"})
    house.settle("wednesday")
    house.heal()
    house.settle("both histories")
    return kitchen, study


def sentences(house: Cluster, room: Room, kind: str) -> list[str]:
    """The notices of a kind in a room."""
    return [line for line in house.trace if f" {room.name}: {kind}: " in line]
