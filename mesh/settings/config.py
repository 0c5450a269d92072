"""The settings of a node, checked once at its start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mesh.errors import MeshError, did_you_mean

if TYPE_CHECKING:
    from peers.limits import Limits

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
DEFAULT_MESH = "home"
WAIT_SECONDS = 60.0
"""How long `synchronized` and `mesh wait` wait by default."""
MAX_WAIT_SECONDS = 86_400.0
MAX_WAIT_PEERS = 1_000
MAX_INVITE_SECONDS = 7 * 86_400
"""How long an invite code may be open."""
MAX_INVITE_ADMIN_SECONDS = 3_600
"""The same for one that makes admins."""
MAX_INVITE_USES = 100
"""How many nodes may join by one."""
SUMMARY_SECONDS = 10.0
"""How often a node shows the others of its mesh how it does."""
EVERY_ADDRESS = ""
"""The host to listen at all addresses of this machine, IPv4 and IPv6."""
ONLY_HERE = "127.0.0.1"
"""Where an open node of this machine alone listens and looks for others."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a node supervisor needs to run one node."""

    node_id: str
    mesh: str
    instance: str
    """Random id of this run: the boot id in greetings, and the instance in announcements."""
    host: str = EVERY_ADDRESS
    ports: tuple[int, ...] = (0,)
    """It listens at the first of these that is free; 0 is any free port."""
    patience_seconds: float = 0.0
    """How long it waits for the first port before it tries the next."""
    peers: tuple[str, ...] = ()
    """Static addresses, `host:port`: dialled whatever discovery finds."""
    mesh_key: bytes = b""
    """The public key of the mesh; empty for a node without certificates."""
    summary_seconds: float = SUMMARY_SECONDS
    """Between two summaries that it shows the mesh; 0: it neither makes nor reads any."""

    @property
    def credentials(self) -> str:
        """What both ends of a link state in their greetings: the key of the mesh, else its name."""
        return self.mesh_key.hex() or self.mesh

    @property
    def mesh_mark(self) -> str:
        """What announcements say of the mesh: the hash of its key, else of its name.

        So nodes with and without certificates take each other for nodes of other meshes, and do not dial each other.
        """
        return mesh_mark(self.credentials)


def check_name(name: str, what: str) -> str:
    """Returns `name`. Raises MeshError, a sentence that begins with `what`, unless it fits into a node id."""
    if not NAME.fullmatch(name):
        raise MeshError(f"{what} {name!r} cannot be used: take 1 to 64 letters, digits, dots, hyphens or underscores")
    return name


def mesh_mark(mesh: str) -> str:
    """The hash of the name of a mesh in announcements: it tells meshes apart, and does not show the name."""
    return sha256(f"peermesh {mesh}".encode()).hexdigest()[:16]


def parse_address(address: str, what: str, *, is_dialled: bool = False) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises MeshError, a sentence that begins with `what`, for anything else.

    Port 0 and `:port` (all addresses of this machine) are only for listening: with `is_dialled` they are refused.
    """
    # Imported here, since `peers` takes longer to load than most commands take to run.
    from peers.transport.address import parse_address as parse_target

    try:
        target = parse_target(address, is_dialled=is_dialled)
    except ValueError as error:
        raise MeshError(f"{what} {error}") from None
    return target.host, target.port


def read_limits(given: Mapping[str, object]) -> Limits:
    """Limits with the fields of `given`, a number or its text each. Raises MeshError, a sentence, for what is no limit."""
    import msgspec  # both imported here: most commands start without them

    from peers.limits import Limits

    def number(value: object) -> object:
        try:
            return msgspec.convert(value, int | float, strict=False)
        except msgspec.ValidationError:
            return value

    names = [field.name for field in fields(Limits)]
    for name in given:
        if name not in names:
            near = did_you_mean(name, names, most=3) or "; `mesh config` lists them"
            raise MeshError(f"there is no limit {name!r}{near}")
    values: dict[str, Any] = {name: number(value) for name, value in given.items()}
    try:
        return Limits(**values)
    except ValueError as error:
        raise MeshError(str(error)) from None
