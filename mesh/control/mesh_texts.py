"""MeshTexts: the signed texts about keys that a log keeps beside its events, as commands get them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mesh.errors import MeshError

if TYPE_CHECKING:
    from peers.stores.run_store import RunStore

MAX_SHOWN_PROOFS = 100
"""Proofs of forks, which have up to 33 KB each."""


class MeshTexts(NamedTuple):
    """What is signed is verified by who shows it."""

    facts: list[bytes]
    """See peers.facts.fact.Fact.data, in the order in which they came; none without a mesh."""
    proofs: list[bytes]
    """See peers.events.proof.Proof.encode: of epochs that forked, in the order of their names, at most MAX_SHOWN_PROOFS."""


def read_texts(store: RunStore) -> MeshTexts:
    """Those of a log."""
    forked = sorted(epoch for epoch, end in store.ends().items() if end.mark)
    proofs = [proof.encode() for epoch in forked[:MAX_SHOWN_PROOFS] if (proof := store.proof(epoch)) is not None]
    return MeshTexts([fact.data for fact in store.facts()], proofs)


def check_mesh(archived: bytes, own: bytes) -> None:
    """Raise MeshError unless an archive, by the public key of its mesh, is of the mesh of this home; empty: of none."""
    if archived == own:
        return
    whose = f"of the mesh with the key {archived.hex()[:16]}..." if archived else "of a node in no mesh"
    ours = f"in the mesh with the key {own.hex()[:16]}..." if own else "in no mesh"
    raise MeshError(
        f"the archive is {whose}, and this home is {ours}: nothing of it is taken. To add its events as new ones of this node, "
        "call `mesh export FILE` on a node of that mesh, without --archive, and import that file"
    )
