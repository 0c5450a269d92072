"""LiveMesh: the homes of one mesh on real hosts."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

from mesh.lab.cluster.room_parts import make_mesh_signer
from mesh.settings.home import Home
from mesh.settings.paths import CERTIFICATES_FILE
from mesh.trust.certificates import CertificateChain, node_certificate, write_certificates
from mesh.trust.founding import first_certificates, first_facts, log_of
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate, Fact

CERTIFIED_MS = 1
"""When all of it was signed."""


class LiveMesh:
    """Makes homes as `mesh found`, `mesh invite` and `mesh join` leave them: the first one is the admin's."""

    def __init__(self, name: str) -> None:
        self._mesh = make_mesh_signer(0, name)
        self._admin: tuple[KeySigner, CertificateChain] | None = None
        self._facts: list[Fact] = []

    def prepare(self, path: Path, name: str) -> None:
        """Make a home at `path` for the node with this name, unless there is one. Raises MeshError and OSError."""
        if (path / CERTIFICATES_FILE).exists():
            return
        with TemporaryDirectory(
            prefix="mesh-home-"
        ) as folder:  # SQLite does not work on the disk that only the host has
            home = Home(Path(folder) / name, name=name)
            try:
                chain = self._admit(home.signer, home.node_id, home.facts.mesh)
                with log_of(home, self._mesh.public, f"{name} has not joined") as store, store.transaction():
                    store.learn(self._facts)
                write_certificates(home.path, chain)
            finally:
                home.close()
            copytree(home.path, path, dirs_exist_ok=True)

    def _admit(self, signer: KeySigner, node_id: str, label: str) -> CertificateChain:
        if self._admin is None:
            self._admin = signer, first_certificates(self._mesh, signer, node_id)
            self._facts += first_facts(self._mesh, signer, node_id, label, CERTIFIED_MS)
            return self._admin[1]
        admin, chain = self._admin
        fact = Certificate(self._mesh.public, admin.public, CERTIFIED_MS, b"", signer.public, node_id, False, "")
        self._facts.append(fact.signed(admin))
        return CertificateChain(node_certificate(admin, signer.public, node_id), chain.admin, chain.mesh)
