"""Gate: the moment after a TLS handshake, before anything of it is read or answered."""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from typing import Any

from peers.transport.tls.certificate import ReadCertificate, read_certificate

MaySpeak = Callable[[ReadCertificate, str], str]
"""Why a node that proved the key of this certificate is not to be spoken to, as part of a sentence that begins with "it".

Empty if it may speak.
The second argument is the node id that it has to have: the one that was dialled, or the one that it names; empty for any.
"""
ALERT = bytes.fromhex("15 0303 0002 0246")
"""A record of TLS: the fatal alert `protocol_version` (RFC 8446, 6). It tells who speaks TLS that this port does not."""
NO_TLS_REASONS = {"TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_VERSION_NUMBER"}
"""What OpenSSL calls this alert, and an answer that is no TLS at all."""
TLS_ONLY = "TLS/1.3"
"""In the header `Upgrade` of the answer to HTTP in clear: RFC 2817, 4.2."""
_SENTENCE = b"This port takes connections over TLS only.\n"
PLAIN_ANSWER = (
    f"HTTP/1.1 426 Upgrade Required\r\nUpgrade: {TLS_ONLY}, HTTP/1.1\r\nConnection: Upgrade, close\r\n"
    f"Content-Type: text/plain\r\nContent-Length: {len(_SENTENCE)}\r\n\r\n"
).encode() + _SENTENCE
"""What a connection without TLS gets at a port with it."""

# Why another end is not spoken to, each as part of a sentence that begins with "it".
NOT_TAKEN = "it does not take this node: another mesh, revoked, or never joined"
"""The other end closed after the handshake, in which TLS 1.3 does not say that a certificate was refused."""
OTHER_IS_OPEN = "it does not speak TLS, and this node only does: it is an open node, or none"
OTHER_IS_CLOSED = "it takes only nodes of its mesh, over TLS, and this node is open"
TLS_AT_OPEN = "it speaks TLS, and this node is open: it belongs to a mesh that this node has not joined"
OTHER_MESH = "its certificate is not of this mesh, so one of the two has to join the mesh of the other"
NO_CERTIFICATE = "it shows no certificate"


TLS_BYTES = 16 * 1024
"""Of one read in a handshake: asyncio makes a buffer of that size for each connection, 256 KiB by default."""
SSLProtocol.max_size = TLS_BYTES  # of the class: nothing else sets it before a handshake


class Gate(asyncio.Protocol):
    """The protocol of a connection until its handshake is done; the one that `admit` returns takes over, None closes it."""

    def __init__(self, admit: Callable[[asyncio.Transport], asyncio.Protocol | None]) -> None:
        self._admit = admit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        protocol = self._admit(transport)
        if protocol is None:
            transport.abort()
        else:
            transport.set_protocol(protocol)
            protocol.connection_made(transport)


def spare_memory(transport: asyncio.BaseTransport, buffer: bytearray) -> None:
    """After a handshake: read into `buffer`, and forget what asyncio has decoded of the certificate.

    All connections of one loop may share a buffer, of TLS_BYTES or more, since each read is over before the next one. This
    saves 18 KiB of each.
    """
    (transport.get_extra_info("peercert") or {}).clear()
    protocol = _tls_of(transport)
    if protocol is not None:
        if not protocol._write_backlog:  # it stays short, and an empty deque takes 0.7 KiB
            protocol._write_backlog = []
        protocol._ssl_buffer, protocol._ssl_buffer_view = buffer, memoryview(buffer)[:TLS_BYTES]
        # It has too many attributes to share their names with others, and its own table of them has room for twice as many.
        protocol.__dict__ = dict(vars(protocol))


def read_at_most(transport: asyncio.BaseTransport, size: int) -> None:
    """Read at most `size` bytes of TLS at once; no more than its buffer has. Nothing happens without TLS."""
    protocol = _tls_of(transport)
    if protocol is not None:
        protocol._ssl_buffer_view = memoryview(protocol._ssl_buffer)[:size]


def _tls_of(transport: asyncio.BaseTransport) -> Any:
    """What reads TLS: in Python 3.11 to 3.13 it fills the view of its buffer, however long that is. None: on another loop."""
    protocol = getattr(transport, "_ssl_protocol", None)
    return protocol if isinstance(protocol, SSLProtocol) else None


def refuse_all(_address: str) -> asyncio.Protocol | None:
    """The `on_no_certificate` of a network that no node can join."""
    return None


def has_certificate(transport: asyncio.BaseTransport) -> bool:
    """Whether the other end showed a certificate in its handshake."""
    return bool(transport.get_extra_info("ssl_object").getpeercert(binary_form=True))


def proven_certificate(transport: asyncio.BaseTransport) -> ReadCertificate:
    """The certificate whose key the other end proved in a handshake. Raises ValueError for one that no node has."""
    der = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return read_certificate(der or b"")


def why_no_handshake(error: OSError) -> str:
    """Why the handshake of a connection that was accepted failed; empty if it was only lost."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return OTHER_MESH
    if not isinstance(error, ssl.SSLError):
        return ""
    if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return NO_CERTIFICATE
    return f"no TLS that both ends speak: {error.reason or error}"
