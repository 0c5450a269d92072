"""The TLS of a node with certificates: its two contexts, and who may speak to it."""

from __future__ import annotations

import ssl
from pathlib import Path

from mesh.settings.home import KEY_FILE
from mesh.settings.paths import CERTIFICATES_FILE
from mesh.trust.certificates import CertificateChain
from peers.events.epoch import is_id_of_key, key_mark

_NO_DATES = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL: clocks may be wrong, and certificates are valid until their key is revoked."""


def tls_contexts(home: Path, chain: CertificateChain) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For accepting and for dialling: TLS 1.3, both ends with certificates of one mesh, without tickets, dates and host names.

    `chain` is what `read_certificates` found in the home.
    """
    accepting, dialling = (ssl.SSLContext(kind) for kind in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    dialling.check_hostname = False
    for context in (accepting, dialling):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= _NO_DATES
        context.load_cert_chain(home / CERTIFICATES_FILE, home / KEY_FILE)
        context.load_verify_locations(cadata=chain.mesh)
    accepting.num_tickets = 0
    return accepting, dialling


def may_speak(key: bytes, node_id: str) -> str:
    """Why an end with this key is not to be spoken to, as in a MaySpeak: the id is of another key."""
    if not node_id or is_id_of_key(node_id, key):
        return ""
    return f"its key is that of another node, ~{key_mark(key)}"
