"""A cluster of the lab with two rooms, and its notices."""

from __future__ import annotations

from mesh.lab import Cluster, Room


def start_two(house: Cluster) -> tuple[Room, Room]:
    """A kitchen and a study that have met."""
    kitchen, study = house.start("kitchen", "study")
    house.settle("met")
    return kitchen, study


def sentences(house: Cluster, room: Room, kind: str) -> list[str]:
    """The notices of a kind in a room."""
    return [line for line in house.trace if f" {room.name}: {kind}: " in line]
