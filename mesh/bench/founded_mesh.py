"""FoundedMesh: homes of one mesh, made at once with keys from a seed."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from mesh.settings.home import Home
from mesh.trust.certificates import (
    CertificateChain,
    admin_certificate,
    mesh_certificate,
    node_certificate,
    write_certificates,
)
from peers.events.signature import KeySigner

ADMIN_ID = "admin~founder"


class FoundedMesh:
    """The key of a mesh and that of its admin; whoever knows the seed has both."""

    def __init__(self, seed: str = "mesh") -> None:
        self.mesh, self.admin = (
            KeySigner.from_seed(sha256(f"{seed} {who}".encode()).digest()) for who in ("mesh", "admin")
        )

    def chain(self, public: bytes, node_id: str) -> CertificateChain:
        """The certificates of the node with this public key."""
        return CertificateChain(
            node_certificate(self.admin, public, node_id),
            admin_certificate(self.mesh, self.admin.public, ADMIN_ID),
            mesh_certificate(self.mesh),
        )

    def make_home(self, path: Path, name: str) -> str:
        """Make a home at `path`, or let an open one join this mesh; the result is the node id. Raises MeshError."""
        home = Home(path, name=name)
        try:
            write_certificates(path, self.chain(home.signer.public, home.node_id))
        finally:
            home.close()
        return home.node_id
