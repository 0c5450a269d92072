"""Founding a mesh, and recovering it: its key, and the facts and certificates of its first admin, or of one more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mesh.errors import MeshError
from mesh.settings.home import Home
from mesh.settings.paths import CERTIFICATES_FILE, LOG_FILE
from mesh.settings.upgrade import is_log_old, upgrade_home
from mesh.trust.certificates import (
    CertificateChain,
    admin_certificate,
    mesh_certificate,
    node_certificate,
    read_certificates,
    replace_certificates,
    write_certificates,
)
from mesh.trust.recovery_code import mesh_signer, write_recovery_code
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate, Fact, Found
from peers.facts.roster import Roster
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import StoreError


def found_mesh(home: Home, secret: bytes, now_ms: int, deliver: Callable[[str], None]) -> bytes:
    """Found a mesh whose first admin is the node of this home. Returns the public key of the mesh.

    `secret` is SECRET_BYTES at random. `deliver` is called with the recovery code that follows from it, before anything else
    is kept: what it raises ends the founding. Raises MeshError, with a sentence, if the home is in a mesh already, or its log
    cannot be used; or, when the log has the facts, if the certificates cannot be written: `recover_mesh` finishes that.
    """
    path = home.path / CERTIFICATES_FILE
    if path.exists():
        raise MeshError(f"this home is in a mesh already, by {path}: `mesh members` lists who is in it")
    code = write_recovery_code(secret)
    mesh = mesh_signer(code)
    with log_of(home, mesh.public, "no mesh was founded") as store:
        if store.facts():
            raise MeshError(
                "the mesh with this recovery code was founded already: `mesh recover` takes this home into it"
            )
        deliver(code)
        if _count_of_others(store, home.signer.public):
            home.keep_mesh(home.facts.mesh, with_log=True)
        with store.transaction():
            store.learn(first_facts(mesh, home.signer, home.node_id, home.facts.mesh, now_ms))
    try:
        write_certificates(home.path, first_certificates(mesh, home.signer, home.node_id))
    except OSError as error:
        raise MeshError(
            f"the mesh was founded, but {path} cannot be written ({error.strerror or error}): mend that, then call "
            "`mesh recover` with its recovery code"
        ) from None
    return mesh.public


def events_of_others(home: Home) -> int:
    """How many events the log of a home has, at most, that its own key has not signed: who founds a mesh vouches for them.

    They are of an earlier release, or of other nodes. Raises MeshError if the log cannot be used.
    """
    if not home.log_path.exists():
        return 0
    with log_of(home, b"", "no mesh was founded") as store:
        return _count_of_others(store, home.signer.public)


def _count_of_others(store: SqliteRunStore, own: bytes) -> int:
    births = {epoch: store.birth(epoch) for epoch in store.ends()}
    own_epochs = {epoch for epoch, birth in births.items() if birth is not None and birth.key == own}
    entries = sum(end.seq for epoch, end in store.ends().items() if epoch not in own_epochs)
    return min(entries, store.state.events)


def old_events(home: Path, otherwise: str) -> str:
    """What the log of a home that is in no mesh has from a time without one, as a part of a sentence; empty if nothing.

    That of a home that was restored without keys has nothing: it has the facts of its mesh, whose members wrote its events.
    What a process that was killed left of a log is brought in order, so no node may run there. Raises MeshError, which begins
    with `otherwise`, if the log cannot be used.
    """
    if not (home / LOG_FILE).exists():
        return ""
    if is_log_old(home):
        return "is of an earlier release, and has events"
    store = SqliteRunStore(home / LOG_FILE)
    try:
        events = store.open().events
        return f"has {events} event{'s' * (events != 1)}" if events and not store.has_facts else ""
    except StoreError as error:
        raise MeshError(f"{otherwise}: {error}") from None
    finally:
        store.close()


def recover_mesh(home: Home, mesh: KeySigner, now_ms: int, *, with_log: bool) -> None:
    """Make the node of this home an admin of the mesh with this key. `with_log`: it brings events of a time without one along.

    Raises MeshError, with a sentence, for a home that is in another mesh, or has such events against `with_log`; whose key was
    revoked, or whose node is an admin already; and if its log cannot be used. Then nothing was changed. Or, when the log has
    the facts, if the certificates cannot be written: the same call finishes that.
    """
    path, own = home.path / CERTIFICATES_FILE, home.signer.public
    chain = read_certificates(home.path, own) if path.exists() else None
    if chain is not None and chain.mesh_key != mesh.public:
        raise MeshError("this recovery code is of another mesh than this home: use the right one, or another --home")
    brought = "" if chain is not None else old_events(home.path, f"{home.node_id} was not made an admin")
    if brought and not with_log:
        raise MeshError(
            f"the log of this home {brought} of a time without a mesh: with `mesh recover --with-log` it brings them along, "
            "and vouches for them; else use another --home"
        )
    found, *certificates = first_facts(mesh, home.signer, home.node_id, home.facts.mesh, now_ms)
    with log_of(home, mesh.public, f"{home.node_id} was not made an admin") as store:
        facts = store.facts()
        row = Roster(mesh.public, facts).rows.get(own)
        if row is not None and row.is_admin and row.state == "member" and chain is not None and chain.is_of_admin:
            raise MeshError(f"{home.node_id} is an admin of this mesh already")
        if Roster(mesh.public, [*facts, *certificates]).rows[own].state != "member":
            raise MeshError(f"{home.node_id} was taken out of this mesh for good: start a new node in another --home")
        if brought:
            home.keep_mesh(home.facts.mesh, with_log=True)
        with store.transaction():
            store.learn(certificates if any(isinstance(fact, Found) for fact in facts) else [found, *certificates])
    try:
        replace_certificates(home.path, first_certificates(mesh, home.signer, home.node_id))
    except OSError as error:
        raise MeshError(
            f"{home.node_id} was made an admin, but {path} cannot be written ({error.strerror}): mend that, then call "
            "`mesh recover` again"
        ) from None


@contextmanager
def log_of(home: Home, mesh_key: bytes, otherwise: str) -> Iterator[SqliteRunStore]:
    """The open log of a home, brought up to date. Raises MeshError, which begins with `otherwise`, if it cannot be used."""
    try:
        upgrade_home(home)
    except MeshError as error:
        raise MeshError(f"{otherwise}: {error}") from None
    store = SqliteRunStore(home.log_path)
    store.enter_mesh(mesh_key)
    try:
        store.open()
        try:
            yield store
        finally:
            store.close()
    except StoreError as error:
        raise MeshError(f"{otherwise}: {error}") from None


def first_facts(mesh: KeySigner, node: KeySigner, node_id: str, name: str, now_ms: int) -> list[Fact]:
    """What the key of a mesh, and that of its first admin, or of one more, sign."""
    return [
        Found(mesh.public, mesh.public, now_ms, b"", name).signed(mesh),
        Certificate(mesh.public, mesh.public, now_ms, b"", node.public, node_id, True, "").signed(mesh),
        Certificate(mesh.public, node.public, now_ms, b"", node.public, node_id, False, "").signed(node),
    ]


def first_certificates(mesh: KeySigner, node: KeySigner, node_id: str) -> CertificateChain:
    """The certificates of an admin, whose key is that of its node too."""
    return CertificateChain(
        node_certificate(node, node.public, node_id),
        admin_certificate(mesh, node.public, node_id),
        mesh_certificate(mesh),
    )
