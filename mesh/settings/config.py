"""What a node is told at its start, checked once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from mesh.errors import MeshError

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
DEFAULT_MESH = "home"
WAIT_SECONDS = 60.0
"""How long `synchronized` and `mesh wait` wait if they are not told."""
MAX_WAIT_SECONDS = 86_400.0
MAX_WAIT_PEERS = 1_000
EVERY_ADDRESS = ""
"""The host of a door at every address of this machine, IPv4 and IPv6."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One node, as its supervisor runs it."""

    node_id: str
    mesh: str
    instance: str
    """Random id of this run: its boot id, and the instance that discovery announces."""
    host: str = EVERY_ADDRESS
    ports: tuple[int, ...] = (0,)
    """Where it listens: at the first of these that is free. 0 is any free one."""
    patience_seconds: float = 0.0
    """How long it waits for the first of them before it takes the next."""
    peers: tuple[str, ...] = ()
    """Static addresses, `host:port`, dialled whatever discovery finds."""


def check_name(name: str, what: str) -> str:
    """`name` itself. Raises MeshError, with a sentence, unless it fits into a node id."""
    if not NAME.fullmatch(name):
        raise MeshError(f"{what} {name!r} cannot be used: take 1 to 64 letters, digits, dots, hyphens or underscores")
    return name


def mesh_mark(mesh: str) -> str:
    """What an announcement says of the mesh: enough to leave others alone, not its name."""
    return sha256(f"peermesh {mesh}".encode()).hexdigest()[:16]


def parse_address(address: str, what: str, *, is_dialled: bool = False) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises MeshError, with a sentence.

    Port 0 and `:port`, which is every address of this machine, are for listening; with `is_dialled` they are refused.
    """
    # Imported here, since `peers` takes longer to load than most commands take to run.
    from peers.transport.address import parse_address as parse_target

    try:
        target = parse_target(address, is_dialled=is_dialled)
    except ValueError as error:
        raise MeshError(f"{what} {error}") from None
    return target.host, target.port
