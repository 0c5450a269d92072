"""FoundedMesh: homes of one mesh, made at once with keys from a seed, for tests, measurements and live stories."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

from mesh.settings.config import DEFAULT_MESH
from mesh.settings.home import Home
from mesh.settings.paths import CERTIFICATES_FILE
from mesh.trust.certificates import (
    CertificateChain,
    admin_certificate,
    mesh_certificate,
    node_certificate,
    write_certificates,
)
from mesh.trust.founding import first_facts
from peers.events.epoch import key_mark
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate
from peers.stores.runs.sqlite.store import SqliteRunStore

FOUNDED_MS = 1
"""When all of it was signed: the same seed gives the same facts."""


class FoundedMesh:
    """The key of a mesh and that of its admin, which is no node; the seed gives both."""

    def __init__(self, seed: str = "mesh") -> None:
        self.mesh, self.admin = (
            KeySigner.from_seed(sha256(f"{seed} {who}".encode()).digest()) for who in ("mesh", "admin")
        )

    def chain(self, public: bytes, node_id: str) -> CertificateChain:
        """The certificates of the node with this public key."""
        return CertificateChain(
            node_certificate(self.admin, public, node_id),
            admin_certificate(self.mesh, self.admin.public, self._admin_id),
            mesh_certificate(self.mesh),
        )

    def make_home(self, path: Path, name: str) -> str:
        """Make a home at `path`, or let an open one join this mesh; the result is the node id. Raises MeshError."""
        home = Home(path, name=name)
        try:
            public, node_id = home.signer.public, home.node_id
            store = SqliteRunStore(home.log_path)
            store.enter_mesh(self.mesh.public)
            store.open()
            with store.transaction():
                node = Certificate(self.mesh.public, self.admin.public, FOUNDED_MS, b"", public, node_id, False, "")
                store.learn(
                    [
                        *first_facts(self.mesh, self.admin, self._admin_id, DEFAULT_MESH, FOUNDED_MS),
                        node.signed(self.admin),
                    ]
                )
            store.close()
            write_certificates(path, self.chain(public, node_id))
        finally:
            home.close()
        return node_id

    def prepare(self, path: Path, name: str) -> None:
        """Make a home at `path` on any disk, unless there is one with certificates. Raises MeshError and OSError."""
        if (path / CERTIFICATES_FILE).exists():
            return
        with TemporaryDirectory(prefix="mesh-home-") as folder:  # SQLite does not work on a disk that only a host has
            self.make_home(Path(folder, name), name)
            copytree(Path(folder, name), path, dirs_exist_ok=True)

    @property
    def _admin_id(self) -> str:
        return f"admin~{key_mark(self.admin.public)}"
