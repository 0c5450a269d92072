"""What tests of joining share: codes of live nodes, homes that join by them, and requests made by hand."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh import MeshError, Node
from mesh.control.client import ControlClient
from mesh.joining.join import Joined, join
from mesh.settings.home import read_signer
from mesh.trust.certificates import read_certificates
from mesh.trust.invitations import invitation_key, join_proof
from mesh.trust.invite_code import InviteCode
from mesh.trust.join_messages import JoinCall, Wish, decode_answer
from peers.events.epoch import key_mark
from peers.events.signature import KeySigner
from tests.support.street import at

SECONDS = 15.0
ANNA, BERT = (KeySigner.from_seed(bytes([number] * 32)) for number in (1, 2))


def invited(node: Node, ttl_seconds: int = 600, uses: int = 1, **options: Any) -> str:
    with ControlClient(node.home) as client:
        return client.invite(ttl_seconds, uses, **options).code


def joined(home: Path, code: str, node: Node | str, *, with_log: bool = False) -> Joined:
    where = node if isinstance(node, str) else at(node)
    return asyncio.run(join(home, home.name, code, where, with_log=with_log))


def why_not(home: Path, code: str, node: Node | str, *, with_log: bool = False) -> str:
    with pytest.raises(MeshError) as caught:
        joined(home, code, node, with_log=with_log)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def files(home: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in home.iterdir() if file.name != "lock"} if home.exists() else {}


def anonymous(cert: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if cert is not None:
        context.load_cert_chain(cert / "certificates.pem", cert / "node.key")
    return context


def exchange(node: Node, line: bytes, cert: Path | None = None) -> bytes:
    """What a node answers over TLS; empty if it only closes."""
    answer = b""
    try:
        with (
            socket.create_connection(("127.0.0.1", node.port), timeout=SECONDS) as wire,
            anonymous(cert).wrap_socket(wire) as secure,
        ):
            secure.sendall(line)
            while more := secure.recv(65536):
                answer += more
    except OSError:
        pass
    return answer


def call_of(node: Node, key: KeySigner, code: str, name: str = "anna") -> JoinCall:
    wish = msgspec.json.encode(Wish(1, key.public, f"{name}~{key_mark(key.public)}"))
    certificate = read_certificates(node.home, read_signer(node.home).public).node
    return JoinCall(wish, join_proof(invitation_key(InviteCode.read(code).secret), certificate, wish))


def asked(node: Node, call: JoinCall) -> Any:
    return decode_answer.decode(exchange(node, msgspec.json.encode(call) + b"\n"))
