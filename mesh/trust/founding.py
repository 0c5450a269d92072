"""Founding a mesh: its key, its first facts, and the certificates of its first admin."""

from __future__ import annotations

from collections.abc import Callable

from mesh.errors import MeshError
from mesh.settings.home import Home
from mesh.settings.paths import CERTIFICATES_FILE
from mesh.trust.certificates import (
    CertificateChain,
    admin_certificate,
    mesh_certificate,
    node_certificate,
    write_certificates,
)
from mesh.trust.recovery_code import mesh_signer, write_recovery_code
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate, Fact, Found
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import StoreError


def found_mesh(home: Home, secret: bytes, now_ms: int, deliver: Callable[[str], None]) -> bytes:
    """Found a mesh whose first admin is the node of this home. Returns the public key of the mesh.

    `secret` is SECRET_BYTES at random. `deliver` is called with the recovery code that follows from it, before anything else
    is kept: what it raises ends the founding. Raises MeshError, with a sentence, if the home is in a mesh already, or its log
    cannot be used.
    """
    path = home.path / CERTIFICATES_FILE
    if path.exists():
        raise MeshError(f"this home is in a mesh already, by {path}: `mesh members` lists who is in it")
    code = write_recovery_code(secret)
    mesh = mesh_signer(code)
    store = SqliteRunStore(home.log_path)
    store.enter_mesh(mesh.public)
    try:
        store.open()
        try:
            deliver(code)
            with store.transaction():
                store.learn(first_facts(mesh, home.signer, home.node_id, home.facts.mesh, now_ms))
        finally:
            store.close()
    except StoreError as error:
        raise MeshError(f"no mesh was founded: {error}") from None
    write_certificates(home.path, first_certificates(mesh, home.signer, home.node_id))
    return mesh.public


def first_facts(mesh: KeySigner, node: KeySigner, node_id: str, name: str, now_ms: int) -> list[Fact]:
    """What the key of a mesh, and that of its first admin, sign when it is founded."""
    return [
        Found(mesh.public, mesh.public, now_ms, b"", name).signed(mesh),
        Certificate(mesh.public, mesh.public, now_ms, b"", node.public, node_id, True, "").signed(mesh),
        Certificate(mesh.public, node.public, now_ms, b"", node.public, node_id, False, "").signed(node),
    ]


def first_certificates(mesh: KeySigner, node: KeySigner, node_id: str) -> CertificateChain:
    """The certificates of the first admin, whose key is that of its node too."""
    return CertificateChain(
        node_certificate(node, node.public, node_id),
        admin_certificate(mesh, node.public, node_id),
        mesh_certificate(mesh),
    )
