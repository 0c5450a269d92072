"""Measured: all that the metrics of a node are made from, as it was at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mesh.gateway.metrics.histogram import Histogram
from mesh.membership.status import Status
from peers.later import Later


@dataclass(frozen=True)
class Counted:
    """What a node has counted beside its status."""

    status: Status
    why_not_ready: str
    """Empty if it is ready."""
    now_ms: int
    """The time of the wall clock."""
    uptime_seconds: float
    memory_bytes: int | None
    """Resident; None where it cannot be read."""
    log_bytes: int
    """Of the file of the log, with its write-ahead log."""
    disk_share: float
    """Of the disk with the log in use, from 0 to 1."""
    mailboxes: Mapping[str, int]
    """How many messages wait, by the class of the actors."""
    waiting_adds: tuple[int, int]
    """Events that wait for the disk, and their bytes."""
    commits: Histogram
    """Of the transactions of the log."""
    failures: Mapping[str, int]
    """Of the parts of the node, by their kind."""
    sent_bytes: Mapping[str, int]
    """To `nodes`, and to `others`: clients and servers."""
    received_bytes: Mapping[str, int]
    """The same from them."""
    limit_hits: Mapping[str, int]
    """By the field of Limits."""


@dataclass(frozen=True)
class Measured:
    """That, and what the doors have counted."""

    node: Counted
    loop_lag: Histogram
    turned_away: Mapping[str, int]
    """Refused connections, by door."""


class Measuring(Protocol):
    """Where the figures of a node come from."""

    def why_not_ready(self) -> str:
        """A sentence; empty if the log is open and the disk works."""

    def count(self) -> Later[Counted]:
        """Fails with MeshError while the node does not run."""
