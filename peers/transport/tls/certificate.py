"""The public key in an X.509 certificate, read from its DER: the x509 module of `cryptography` takes 14 MB of memory."""

from __future__ import annotations

from typing import NamedTuple

from peers.events.epoch import KEY_BYTES
from peers.events.signature import SIGNATURE_BYTES, verify_text

_INTEGER, _BITS, _SEQUENCE, _VERSION = b"\x02", b"\x03", b"\x30", b"\xa0"
_ED25519 = bytes.fromhex("300506032b6570")
"""The algorithm, of keys and of signatures: RFC 8410, 3."""
_KEY_BEGIN = bytes.fromhex("302a") + _ED25519 + bytes.fromhex("032100")
_SIGNATURE_BEGIN = bytes.fromhex("034100")
_BEFORE_KEY = (_VERSION, _INTEGER, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE)
"""Of the signed part: version, serial number, algorithm, issuer, validity, subject (RFC 5280, 4.1)."""
_LONG = 0x80
"""A first byte of a length from which on it is the number of further bytes."""
_MAX_LENGTH_BYTES = 3


class ReadCertificate(NamedTuple):
    """The parts of a certificate with an Ed25519 key that an Ed25519 key signed."""

    signed: bytes
    """The part that is signed."""
    public: bytes
    """The key of its subject, in KEY_BYTES."""
    signature: bytes
    """In SIGNATURE_BYTES."""

    def is_signed_by(self, public: bytes) -> bool:
        """Whether this key signed it."""
        return verify_text(public, self.signed, self.signature)


def read_certificate(der: bytes) -> ReadCertificate:
    """The parts of a certificate of version 3. Nothing is verified.

    Raises ValueError for other bytes, for lengths that are not written as DER has them, and for another kind of key.
    """
    start, end = _content(der, 0, len(der), _SEQUENCE)
    at, signed_end = _content(der, start, end, _SEQUENCE)
    for tag in _BEFORE_KEY:
        _, at = _content(der, at, signed_end, tag)
    key_end = at + len(_KEY_BEGIN) + KEY_BYTES
    if key_end > signed_end or not der.startswith(_KEY_BEGIN, at):
        raise ValueError("a certificate of a node has an Ed25519 key")
    signature_begin = _ED25519 + _SIGNATURE_BEGIN
    if end - signed_end != len(signature_begin) + SIGNATURE_BYTES or not der.startswith(signature_begin, signed_end):
        raise ValueError("a certificate of a node is signed with an Ed25519 key")
    if end != len(der):
        raise ValueError("a certificate is followed by more bytes")
    return ReadCertificate(der[start:signed_end], der[key_end - KEY_BYTES : key_end], der[end - SIGNATURE_BYTES : end])


def _content(der: bytes, at: int, limit: int, tag: bytes) -> tuple[int, int]:
    """Where the content of the element at `at` begins and ends. Raises ValueError for another tag, or beyond `limit`."""
    if limit - at < 2 or not der.startswith(tag, at):
        raise ValueError("this is no certificate")
    length, start = der[at + 1], at + 2
    if length >= _LONG:
        count = length - _LONG
        length = int.from_bytes(der[start : start + count], "big")
        start += count
        if not 1 <= count <= _MAX_LENGTH_BYTES or length < max(_LONG, 1 << 8 * (count - 1)):
            raise ValueError("a certificate has a length that is not written as DER has it")
    if start + length > limit:
        raise ValueError("a certificate is cut off")
    return start, start + length
