"""SimGate: what a node with certificates shows and asks in the handshake of a simulated connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peers.transport.accepting.door import note_nothing
from peers.transport.tls.certificate import ReadCertificate
from peers.transport.tls.gate import OTHER_IS_CLOSED, OTHER_IS_OPEN, OTHER_MESH, TLS_AT_OPEN, MaySpeak


@dataclass(frozen=True)
class SimGate:
    """Stands for the two TLS contexts of a node and the `may_speak` of its WebSocketNetwork.

    That the certificates of one end lead to the mesh of the other one, which TLS verifies, is here that both name one mesh. All
    else is decided by the code that decides it on a LAN.
    """

    mesh: bytes
    """The public key of the mesh."""
    certificate: ReadCertificate
    """That of the node. It proves the key in it."""
    may_speak: MaySpeak
    on_refused: Callable[[str, str], None] = note_nothing
    """See WebSocketNetwork."""


def why_not_dialled(ours: SimGate | None, theirs: SimGate | None, node_id: str) -> str:
    """Why the end that dials leaves the connection, as in a MaySpeak; `node_id` is the one that it expects, if it does.

    An end without a gate is that of an open node or of a Logux client.
    """
    if ours is None:
        return OTHER_IS_CLOSED if theirs is not None else ""
    return OTHER_IS_OPEN if theirs is None else _why_not_member(ours, theirs, node_id)


def why_not_accepted(ours: SimGate | None, theirs: SimGate | None) -> str:
    """The same of the end that accepts."""
    if ours is None:
        return TLS_AT_OPEN if theirs is not None else ""
    return OTHER_IS_OPEN if theirs is None else _why_not_member(ours, theirs, "")


def _why_not_member(ours: SimGate, theirs: SimGate, node_id: str) -> str:
    return OTHER_MESH if ours.mesh != theirs.mesh else ours.may_speak(theirs.certificate, node_id)
