"""Homes of one mesh on disk, as `mesh found` and certificates of its admin make them."""

from __future__ import annotations

from pathlib import Path

from mesh.settings.home import Home
from mesh.trust.certificates import CertificateChain, node_certificate, read_certificates, write_certificates
from mesh.trust.founding import found_mesh
from mesh.trust.recovery_code import write_recovery_code
from peers.facts.fact import Certificate, Fact
from peers.stores.runs.sqlite.store import SqliteRunStore

SECRET = bytes(range(16))
"""From which the key of the mesh follows."""
RECOVERY_CODE = write_recovery_code(SECRET)


def homes_of_one_mesh(folder: Path, *names: str) -> list[Path]:
    """Homes with these names, in which no node runs. The first is the admin, which knows all; the others know their mesh."""
    first = Home(folder / names[0], name=names[0])
    mesh_key = found_mesh(first, SECRET, 1_000, lambda _: None)
    chain = read_certificates(first.path, first.signer.public)
    facts: list[Fact] = []
    for name in names[1:]:
        home = Home(folder / name, name=name)
        key, node_id = home.signer.public, home.node_id
        write_certificates(
            home.path, CertificateChain(node_certificate(first.signer, key, node_id), chain.admin, chain.mesh)
        )
        joined = Certificate(mesh_key, first.signer.public, 2_000, b"", key, node_id, False, "192.168.1.7")
        facts.append(joined.signed(first.signer))
        home.close()
    put_facts(first.path, mesh_key, facts)
    first.close()
    return [folder / name for name in names]


def put_facts(home: Path, mesh_key: bytes, facts: list[Fact]) -> None:
    """Put facts into the log of a home in which no node runs."""
    store = SqliteRunStore(home / "log.sqlite", synchronous="OFF")
    store.enter_mesh(mesh_key)
    store.open()
    with store.transaction():
        store.learn(facts)
    store.close()
