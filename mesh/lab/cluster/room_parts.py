"""What a room is made of: its key, and the doors and lines of a story."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.gateway.endpoints import DialOut, Endpoints, Listen, MakeGatewayRole
from mesh.settings.home import make_node_id
from peers.events.signature import KeySigner
from peers.transport.port import Network


@lru_cache(maxsize=4_096)
def make_identity(seed: int, name: str, homes: int) -> tuple[str, KeySigner]:
    """The node id and the key of a home."""
    key = Ed25519PrivateKey.from_private_bytes(sha256(f"{seed} {name} {homes} key".encode()).digest())
    return make_node_id(name, key), KeySigner(key)


def make_mesh_signer(seed: int) -> KeySigner:
    """The key of the mesh of all rooms of a cluster."""
    return KeySigner.from_seed(sha256(f"{seed} mesh key".encode()).digest())


def make_endpoints(
    serve: Mapping[int, MakeGatewayRole], dial: Mapping[str, MakeGatewayRole], network: Network
) -> Endpoints:
    """What a room serves by its ports, and dials by their `room:port`."""
    doors = [Listen(str(port), f"the door {port}", "", port, network, role) for port, role in serve.items()]
    lines = [DialOut(f"the line to {to}", to, network, role) for to, role in dial.items()]
    return Endpoints(tuple(doors), tuple(lines))
