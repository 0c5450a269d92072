"""Invite codes: they name one node of a mesh, and have the secret by which it lets one in."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple, Self

from mesh.errors import MeshError
from mesh.trust.code_text import CodeForm

INVITE_VERSION = 1
MARK_BYTES = 12
"""Of the hash of a key."""
INVITE_SECRET_BYTES = 10

_VERSION_BITS = 5
_FORM = CodeForm("an invite code", symbols=40, check_bits=19)
_KEY_LABEL = b"peermesh inviter\0"


class InviteCode(NamedTuple):
    """What an invite code says: 8 groups of 5 symbols, with a version of 5 bits, 96 of a hash, 80 of secret, 19 of check."""

    mark: bytes
    """MARK_BYTES of the hash of the key of the node that invites."""
    secret: bytes
    """INVITE_SECRET_BYTES."""

    @classmethod
    def of(cls, public: bytes, secret: bytes) -> Self:
        """That of the node with this public key. `secret` is INVITE_SECRET_BYTES at random."""
        if len(secret) != INVITE_SECRET_BYTES:
            raise ValueError(f"an invite code has a secret of {INVITE_SECRET_BYTES} bytes, not {len(secret)}")
        return cls(_mark(public), secret)

    @classmethod
    def read(cls, typed: str) -> Self:
        """What was typed. Raises MeshError, with a sentence: for a typing error, or a code of a newer release."""
        payload = _FORM.read(typed)
        version = payload >> _FORM.payload_bits - _VERSION_BITS
        if version != INVITE_VERSION:
            raise MeshError(f"this invite code has the version {version}, from a newer release: upgrade peermesh here")
        rest = payload.to_bytes(MARK_BYTES + INVITE_SECRET_BYTES + 1, "big")[1:]
        return cls(rest[:MARK_BYTES], rest[MARK_BYTES:])

    def write(self) -> str:
        """The code, as it is shown."""
        payload = INVITE_VERSION << 8 * (MARK_BYTES + INVITE_SECRET_BYTES) | int.from_bytes(
            self.mark + self.secret, "big"
        )
        return _FORM.write(payload)

    def is_of(self, public: bytes) -> bool:
        """Whether the node with this public key made it."""
        return compare_digest(self.mark, _mark(public))


def _mark(public: bytes) -> bytes:
    return sha256(_KEY_LABEL + public).digest()[:MARK_BYTES]
