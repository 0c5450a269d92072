"""Guests: keys without rooms, which are certified and revoked in storms, so that facts of the mesh go around."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mesh.lab.cluster.room import Room
from mesh.lab.cluster.room_parts import make_identity, make_mesh_signer
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate, Fact, Revocation
from peers.stores.run_store import RunStore
from peers.stores.taken import Taken

ADMIN = "admin"
"""The name of the guest that certifies and revokes the others."""


class Guests:
    """Signs facts of the mesh of a cluster: the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._mesh = make_mesh_signer(seed)
        self._admin = self._identity(ADMIN)
        node_id, admin = self._admin
        mesh = self._mesh.public
        self._begin = Certificate(mesh, mesh, 0, b"", admin.public, node_id, True, "").signed(self._mesh)

    def tell(self, room: Room, number: int, *, is_revoked: bool) -> bool:
        """A room gets the fact that a guest was certified, or revoked, unless its disk fails. False if it has no log now."""
        if room.kept is None or not room.kept.is_open:
            return False
        facts = [self._begin, self._revoked(number) if is_revoked else self._certified(number)]
        room.kept.write(partial(_learn, facts))
        return True

    def _certified(self, number: int) -> Fact:
        node_id, guest = self._identity(f"guest{number}")
        by = self._admin[1]
        fact = Certificate(self._mesh.public, by.public, number + 1, b"", guest.public, node_id, False, "")
        return fact.signed(by)

    def _revoked(self, number: int) -> Fact:
        guest, by = self._identity(f"guest{number}")[1], self._admin[1]
        return Revocation(self._mesh.public, by.public, number + 2, b"", guest.public, (), ()).signed(by)

    def _identity(self, name: str) -> tuple[str, KeySigner]:
        return make_identity(self._seed, name, 0)


def _learn(facts: Sequence[Fact], store: RunStore) -> list[Taken]:
    return [store.learn(facts)]
