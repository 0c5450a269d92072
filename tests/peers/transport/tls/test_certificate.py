"""The key that is read from the DER of a certificate is the one that x509 finds, and other bytes have none."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from trustme import CA

from mesh.lab.live.homes import FoundedMesh
from peers.events.signature import KeySigner, is_text_signed
from peers.transport.tls.certificate import ReadCertificate, read_certificate

CHAIN = FoundedMesh().chain(KeySigner.from_seed(b"n" * 32).public, "study~" + "a" * 64)


def x509_key(der: bytes) -> bytes | None:
    """What x509 says; None for a certificate that it cannot load, or with another kind of key."""
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw) if isinstance(key, Ed25519PublicKey) else None


def read_or_none(der: bytes) -> ReadCertificate | None:
    try:
        return read_certificate(der)
    except ValueError:
        return None


@given(seed=st.binary(min_size=32, max_size=32), name=st.text("abc.-_", min_size=1, max_size=64))
def test_the_key_is_the_one_that_x509_finds(seed: bytes, name: str) -> None:
    mesh, node = FoundedMesh(name), KeySigner.from_seed(seed)
    chain = mesh.chain(node.public, f"{name}~node")

    assert [read_certificate(der).public for der in chain] == list(map(x509_key, chain))
    assert read_certificate(chain.node).public == node.public
    for der, by in zip(chain, (mesh.admin, mesh.mesh, mesh.mesh), strict=True):
        found = read_certificate(der)
        assert is_text_signed(by.public, found.signed, found.signature)


@given(data=st.data())
def test_of_a_damaged_certificate_no_other_key_is_read_than_x509_finds(data: st.DataObject) -> None:
    der = bytearray(data.draw(st.sampled_from(CHAIN)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(der) - 1))
        der[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))

    found, expected = read_or_none(bytes(der)), x509_key(bytes(der))

    assert found is None or expected is None or found.public == expected


@given(
    st.binary(max_size=300)
    | st.sampled_from(CHAIN).flatmap(lambda der: st.integers(0, len(der) - 1).map(lambda n: der[:n]))
)
def test_garbage_has_no_key(data: bytes) -> None:
    assert read_or_none(data) is None


@pytest.mark.parametrize("change", [lambda der: der + b"\0", lambda der: der[:-1], lambda _: b""])
def test_a_certificate_that_is_longer_or_shorter_is_refused(change: object) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match="certificate"):
        read_certificate(change(CHAIN.node))


def test_a_key_of_another_kind_is_refused() -> None:
    authority = x509.load_pem_x509_certificate(CA().cert_pem.bytes())

    with pytest.raises(ValueError, match="Ed25519 key"):
        read_certificate(authority.public_bytes(Encoding.DER))
