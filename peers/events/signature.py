"""Signatures of heads and of other texts: Ed25519 (RFC 8032) by the `cryptography` package."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from peers.events.dot import Epoch
from peers.events.epoch import KEY_BYTES, NO_KEY
from peers.events.run import signed_text

SIGNATURE_BYTES = 64
_KEPT_KEYS = 256
"""Public keys that are kept as objects: those who write now."""
_KEPT_VERDICTS = 256
"""Of the last signatures: where one process runs many nodes, each of them gets the same ones."""


class Signer(Protocol):
    """Signs with the key of a node."""

    @property
    def public(self) -> bytes:
        """The public key, in KEY_BYTES."""

    def sign(self, epoch: Epoch, seq: int, head: bytes) -> bytes:
        """SIGNATURE_BYTES over the head of an epoch at `seq`."""

    def sign_text(self, text: bytes) -> bytes:
        """SIGNATURE_BYTES over a text, which has to begin with a label of its own: then no text is taken for another one."""


class KeySigner:
    """A Signer with a private key in memory."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @classmethod
    def from_seed(cls, seed: bytes) -> KeySigner:
        """The key of a seed of 32 bytes: a simulation gets the same one again. Raises ValueError for another length."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def key(self) -> Ed25519PrivateKey:
        """The private key, for those who make certificates with it."""
        return self._key

    @property
    def public(self) -> bytes:
        return self._public

    def sign(self, epoch: Epoch, seq: int, head: bytes) -> bytes:
        return self._key.sign(signed_text(epoch, seq, head))

    def sign_text(self, text: bytes) -> bytes:
        return self._key.sign(text)


_public_key = lru_cache(maxsize=_KEPT_KEYS)(Ed25519PublicKey.from_public_bytes)


def is_signed(public: bytes, epoch: Epoch, seq: int, head: bytes, signature: bytes) -> bool:
    """Whether `signature` was made with the key of `public` over this head. Never for NO_KEY, with which anybody could."""
    return is_text_signed(public, signed_text(epoch, seq, head), signature)


@lru_cache(maxsize=_KEPT_VERDICTS)
def is_text_signed(public: bytes, text: bytes, signature: bytes) -> bool:
    """The same of a text. The last verdicts are kept, with their texts."""
    return verify_text(public, text, signature)


def verify_text(public: bytes, text: bytes, signature: bytes) -> bool:
    """The same of a text that is looked at once."""
    if len(public) != KEY_BYTES or public == NO_KEY or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        _public_key(public).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True
