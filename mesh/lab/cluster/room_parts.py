"""What a room is made of: its key, its place in a mesh, and the doors and lines of a story."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from random import Random
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.actors.log_proxy import LogProxy
from mesh.actors.reports import Report, refused_at_door
from mesh.gateway.endpoints import DialOut, Endpoints, Listen, MakeGatewayRole
from mesh.lab.simulation.discovery import SimAir
from mesh.lab.simulation.gate import SimGate
from mesh.lab.simulation.gated_network import GatedNetwork
from mesh.lab.simulation.network import RoomNetwork, SimNetwork
from mesh.lab.simulation.storage import LabStore
from mesh.lab.simulation.virtual_loop import VirtualLoop
from mesh.settings.config import DEFAULT_MESH, Settings
from mesh.settings.home import make_node_id
from mesh.trust.certificates import node_certificate
from mesh.trust.founding import first_facts
from mesh.trust.judge import KeyJudge
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate, Fact
from peers.transport.port import Network
from peers.transport.tls.certificate import ReadCertificate, read_certificate

PORT = 4_000
"""The port at which the node of each room listens."""


@lru_cache(maxsize=4_096)
def make_identity(seed: int, name: str, homes: int) -> tuple[str, KeySigner]:
    """The node id and the key of a home."""
    key = Ed25519PrivateKey.from_private_bytes(sha256(f"{seed} {name} {homes} key".encode()).digest())
    return make_node_id(name, key), KeySigner(key)


def make_mesh_signer(seed: int, name: str = DEFAULT_MESH) -> KeySigner:
    """The key of a mesh of a cluster."""
    return KeySigner.from_seed(sha256(f"{seed} {name} mesh key".encode()).digest())


class LabMesh:
    """A mesh of a cluster: who has a certificate of it. The first node founds it and is its admin, for all of its time."""

    def __init__(self, seed: int, name: str) -> None:
        self.name = name
        self.signer = make_mesh_signer(seed, name)
        self.admin: KeySigner | None = None
        """The key of the founder's first home, which certifies all nodes that come later."""
        self.facts: list[Fact] = []
        """That it was founded, and all certificates."""
        self._certificates: dict[bytes, ReadCertificate] = {}

    @property
    def public(self) -> bytes:
        """Its public key."""
        return self.signer.public

    def admit(self, node_id: str, signer: KeySigner) -> ReadCertificate:
        """The certificate of a node. One that has none gets it: the first node founds the mesh, and certifies the others."""
        if self.admin is None:
            self.admin = signer
            self.facts += first_facts(self.signer, signer, node_id, self.name, 0)
        key = signer.public
        if key not in self._certificates:
            self._certificates[key] = read_certificate(node_certificate(self.admin, key, node_id))
            if signer is not self.admin:
                fact = Certificate(self.public, self.admin.public, len(self.facts), b"", key, node_id, False, "")
                self.facts.append(fact.signed(self.admin))
        return self._certificates[key]


class Surroundings(NamedTuple):
    """What all rooms of a cluster share."""

    seed: int
    loop: VirtualLoop
    network: SimNetwork
    air: SimAir
    summary_seconds: float = 0.0
    """See Cluster."""


def node_edges(
    mesh: LabMesh | None,
    identity: tuple[str, KeySigner],
    store: LabStore,
    log: LogProxy,
    network: RoomNetwork,
    report: Callable[[Report], None],
) -> dict[str, Any]:
    """The part of an Environment that depends on the certificates of a node, as NodeResources makes it; None: it is open.

    A store that knows no fact about the node gets all certificates that there are, as a home that joins. `report` gets who was
    refused.
    """
    signer = identity[1]
    if mesh is None:
        return {"network": network, "signer": signer}
    certificate, key = mesh.admit(*identity), signer.public
    if not any(isinstance(fact, Certificate) and fact.key == key for fact in store.facts()):
        with store.transaction():
            store.learn(mesh.facts)
    judge = KeyJudge(mesh.public, key, lambda: log.facts)
    gate = SimGate(mesh.public, certificate, judge.may_enter, lambda *refused: report(refused_at_door(*refused)))
    return {"network": GatedNetwork(network, gate), "signer": signer, "may_speak": judge.may_greet}


def make_settings(node_id: str, random: Random, links: tuple[str, ...] | None, summary_seconds: float) -> Settings:
    """Those of one life of a node."""
    return Settings(
        node_id=node_id,
        mesh=DEFAULT_MESH,
        instance=f"{random.getrandbits(64):016x}",
        ports=(PORT,),
        peers=tuple(f"{other}:{PORT}" for other in links or ()),
        summary_seconds=summary_seconds,
    )


def make_endpoints(
    serve: Mapping[int, MakeGatewayRole], dial: Mapping[str, MakeGatewayRole], network: Network
) -> Endpoints:
    """What a room serves by its ports, and dials by their `room:port`."""
    doors = [Listen(str(port), f"the door {port}", "", port, network, role) for port, role in serve.items()]
    lines = [DialOut(f"the line to {to}", to, network, role) for to, role in dial.items()]
    return Endpoints(tuple(doors), tuple(lines))
