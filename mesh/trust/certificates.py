"""Certificates of a mesh: X.509 for TLS, from the mesh's key over an admin's to that of each node.

A certificate follows from its two keys and the node id: made again, it has the same bytes. It is valid from 1970 to 9999. The
id stands as a URI in the subject's alternative names, since it does not fit into a common name. Whether a key is that of a
member is not decided here: the facts of the mesh say that, by whole public keys.
"""

from __future__ import annotations

import re
import ssl
from base64 import b64decode
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from mesh.errors import MeshError
from mesh.settings.home import KEY_FILE
from mesh.settings.home_files import check_private, write_whole
from mesh.settings.paths import CERTIFICATES_FILE
from peers.events.epoch import key_mark
from peers.events.signature import KeySigner
from peers.transport.tls.certificate import read_certificate

if TYPE_CHECKING:
    from cryptography.x509 import Name

MAX_CERTIFICATES_BYTES = 64 * 1024
"""Of the file of a home; its three certificates take about 2 KB."""
CERTIFICATES = 3
"""Of a chain."""
SERIAL_BYTES = 16

_PEM = re.compile(
    rb"(-----BEGIN (?:MESH )?CERTIFICATE-----\n)([0-9A-Za-z+/\n]+={0,2}\n)(-----END (?:MESH )?CERTIFICATE-----\n)"
)
_SERIAL_LABEL = b"peermesh serial\0"
_BEGIN = datetime(1970, 1, 1)
_END = datetime(9999, 12, 31, 23, 59, 59)
_URI = "peermesh:"
_MESH = "mesh"
_ADMIN = "admin"
_NODE = "node"
_PATH_LENGTHS = {_MESH: 1, _ADMIN: 0, _NODE: None}
"""How many certificates of others may stand between theirs and that of a node; None: they sign none."""
_NO_USE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


class CertificateChain(NamedTuple):
    """The certificates that a node shows in TLS, in the order of their file."""

    node: bytes
    """Its own, as DER, signed by the key of an admin."""
    admin: bytes
    """That of the admin, as DER, signed by the mesh's key."""
    mesh: bytes
    """That of the mesh, as DER, signed by itself: what the other end's chain has to lead to."""

    @property
    def pem(self) -> bytes:
        """The file."""
        # TLS shows those called CERTIFICATE; the last one would take 4 KiB of memory there, and the other end has it.
        shown = ssl.DER_cert_to_PEM_cert(self.node) + ssl.DER_cert_to_PEM_cert(self.admin)
        return (shown + ssl.DER_cert_to_PEM_cert(self.mesh).replace(" CERTIFICATE", " MESH CERTIFICATE")).encode()

    @property
    def mesh_key(self) -> bytes:
        """The public key of the mesh."""
        return public_key(self.mesh)

    @property
    def is_of_admin(self) -> bool:
        """Whether its key may sign certificates of others."""
        return public_key(self.admin) == public_key(self.node)


def mesh_certificate(mesh: KeySigner) -> bytes:
    """The certificate of a mesh, as DER: all others lead to it."""
    return _certificate(mesh, _MESH, mesh.public, _MESH, _MESH)


def admin_certificate(mesh: KeySigner, public: bytes, node_id: str) -> bytes:
    """The certificate of an admin by the mesh's key, as DER: with it the node of `public` makes those of others."""
    return _certificate(mesh, _MESH, public, _ADMIN, node_id)


def node_certificate(admin: KeySigner, public: bytes, node_id: str) -> bytes:
    """The certificate of a node by the key of an admin, as DER: the one that it shows."""
    return _certificate(admin, _ADMIN, public, _NODE, node_id)


def public_key(der: bytes) -> bytes:
    """The whole public key in a certificate. Raises ValueError for bytes that are none, or for another kind of key."""
    return read_certificate(der).public


# The file of a home


def write_certificates(home: Path, chain: CertificateChain) -> None:
    """Write the file of a home that has none yet; only its user may read it. Raises MeshError if there is one, or OSError."""
    path = home / CERTIFICATES_FILE
    if path.exists():
        raise MeshError(f"{path} exists already: this home is in a mesh, and has one for good; use another --home")
    replace_certificates(home, chain)


def replace_certificates(home: Path, chain: CertificateChain) -> None:
    """Write the file of a home in place of the one that is there, if there is one. Raises OSError."""
    write_whole(home / CERTIFICATES_FILE, chain.pem, mode=0o600)


def mesh_key_of(home: Path, public: bytes) -> bytes:
    """The public key of the mesh of a home whose key is `public`; empty if it is in none. Raises as `read_certificates`."""
    return read_certificates(home, public).mesh_key if (home / CERTIFICATES_FILE).exists() else b""


def read_certificates(home: Path, public: bytes) -> CertificateChain:
    """The chain of a home whose key is `public`; nothing is changed.

    Raises MeshError, a sentence, if its file is missing, damaged, too open or of another key, or if its key file is too open.
    """
    path = home / CERTIFICATES_FILE
    remedy = "put it back from a backup with keys, or start a new node in another --home"
    try:
        for private in (home / KEY_FILE, path):
            check_private(private)
        with path.open("rb") as file:
            text = file.read(MAX_CERTIFICATES_BYTES + 1)
    except FileNotFoundError as error:
        raise MeshError(f"{error.filename} is missing: {remedy}") from None
    except OSError as error:
        rights = "run this as the user whose home it is, or " if isinstance(error, PermissionError) else ""
        raise MeshError(f"{path} cannot be read ({error.strerror or error}): {rights}{remedy}") from None
    try:
        chain = _read(text)
        keys = [public_key(der) for der in chain]
        check_signatures(chain)
    except ValueError as error:
        raise MeshError(f"{path} is damaged ({error}): {remedy}") from None
    if keys[0] != public:
        raise MeshError(f"{path} is of another key than {home / KEY_FILE}: {remedy}")
    return chain


def _read(text: bytes) -> CertificateChain:
    if len(text) > MAX_CERTIFICATES_BYTES:
        raise ValueError(f"it has more than {MAX_CERTIFICATES_BYTES} bytes")
    found = _PEM.findall(text)
    if b"".join(b"".join(part) for part in found) != text or not found:
        raise ValueError("it is not the whole of three certificates")
    if len(found) != CERTIFICATES:
        raise ValueError(f"it has {len(found)} certificates, not {CERTIFICATES}")
    return CertificateChain(*[b64decode(body) for _, body, _ in found])


def check_signatures(chain: CertificateChain) -> None:
    """Raise ValueError unless the mesh's key has signed for the admin, and the admin for the node."""
    node, admin, mesh = map(read_certificate, chain)
    for one, by in ((node, admin), (admin, mesh), (mesh, mesh)):
        if not one.is_signed_by(by.public):
            raise ValueError("its certificates do not belong together")


# Making


def load_making() -> None:
    """Load what making certificates takes, 14 MB, so that the first one is made as fast as the others."""
    from cryptography import x509

    del x509


def _certificate(by: KeySigner, issuer_role: str, public: bytes, role: str, node_id: str) -> bytes:
    from cryptography import x509

    is_authority = role != _NODE
    key = Ed25519PublicKey.from_public_bytes(public)
    usage = _NO_USE | {"key_cert_sign" if is_authority else "digital_signature": True}
    builder = (
        x509.CertificateBuilder(_name(issuer_role, by.public), _name(role, public), key)
        .serial_number(_serial(by.public, role, public, node_id))
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(is_authority, _PATH_LENGTHS[role]), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(_URI + node_id)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier(_key_id(public)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(_key_id(by.public), None, None), critical=False)
    )
    return builder.sign(by.key, None).public_bytes(Encoding.DER)


def _name(role: str, public: bytes) -> Name:
    """The name of a subject: that of an admin and that of the same machine's node differ, though their key is one."""
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"peermesh {role} {key_mark(public)}")])


def _key_id(public: bytes) -> bytes:
    return sha256(public).digest()[:SERIAL_BYTES]


def _serial(issuer: bytes, role: str, public: bytes, node_id: str) -> int:
    text = b"".join((_SERIAL_LABEL, issuer, public, role.encode(), b"\0", node_id.encode()))
    return int.from_bytes(sha256(text).digest()[:SERIAL_BYTES], "big") >> 1 | 1
