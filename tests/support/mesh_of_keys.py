"""A mesh of keys without nodes: facts for tests, signed by keys that come from numbers."""

from __future__ import annotations

from hashlib import sha256

from peers.events.epoch import key_mark
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate, FactId, Found, Leave, Revocation, Tip


def key(name: str) -> KeySigner:
    """The key of that name, always the same one."""
    return KeySigner.from_seed(sha256(name.encode()).digest())


def node_id(name: str) -> str:
    """The id of the node with `key(name)`."""
    return f"{name}~{key_mark(key(name).public)}"


class MeshOfKeys:
    """Makes facts of one mesh; each gets a later time than the one before."""

    def __init__(self, name: str = "mesh") -> None:
        self.signer = key(name)
        self.public = self.signer.public
        self._time_ms = 0

    def found(self) -> Found:
        return Found(self.public, self.public, self._now(), b"", "home").signed(self.signer)

    def admin(self, name: str) -> Certificate:
        return self._certificate(self.signer, name, is_admin=True)

    def node(self, name: str, *, by: str) -> Certificate:
        return self._certificate(key(by), name, is_admin=False)

    def revoke(self, name: str, *, by: str, cut: tuple[Tip, ...] = ()) -> Revocation:
        return self._revocation(key(by), name, cut, ())

    def revoke_admin(self, name: str, *standing: FactId, cut: tuple[Tip, ...] = ()) -> Revocation:
        return self._revocation(self.signer, name, cut, tuple(sorted(standing)))

    def leave(self, name: str, cut: tuple[Tip, ...] = ()) -> Leave:
        return Leave(self.public, key(name).public, self._now(), b"", cut).signed(key(name))

    def _revocation(self, by: KeySigner, name: str, cut: tuple[Tip, ...], standing: tuple[FactId, ...]) -> Revocation:
        of = key(name).public
        return Revocation(self.public, by.public, self._now(), b"", of, cut, standing).signed(by)

    def _certificate(self, by: KeySigner, name: str, *, is_admin: bool) -> Certificate:
        of = key(name).public
        return Certificate(self.public, by.public, self._now(), b"", of, node_id(name), is_admin, "").signed(by)

    def _now(self) -> int:
        self._time_ms += 1_000
        return self._time_ms
