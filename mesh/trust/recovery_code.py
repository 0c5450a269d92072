"""The recovery code of a mesh: its key follows from it, and is on no disk."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mesh.trust.code_text import CodeForm
from peers.events.epoch import KEY_BYTES
from peers.events.signature import KeySigner

SECRET_BYTES = 16

_FORM = CodeForm("a recovery code", symbols=30, check_bits=22)
_LABEL = b"peermesh mesh key"


def write_recovery_code(secret: bytes) -> str:
    """The code of SECRET_BYTES at random: 6 groups of 5 symbols."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a mesh is founded with {SECRET_BYTES} random bytes, not {len(secret)}")
    return _FORM.write(int.from_bytes(secret, "big"))


def read_recovery_code(code: str) -> bytes:
    """The SECRET_BYTES of a code, as it is typed. Raises MeshError, with a sentence, for a typing error."""
    return _FORM.read(code).to_bytes(SECRET_BYTES, "big")


def mesh_signer(code: str) -> KeySigner:
    """The key of the mesh with this recovery code, as it is typed. Raises MeshError, with a sentence, for a typing error.

    It is derived by HKDF (RFC 5869) with SHA-256.
    """
    return KeySigner.from_seed(HKDF(SHA256(), KEY_BYTES, None, _LABEL).derive(read_recovery_code(code)))
