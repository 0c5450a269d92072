"""Live nodes: what strangers, members and recorded requests achieve while a code is open, and while none is."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest

from mesh import MeshError
from mesh.control.client import ControlClient
from mesh.joining.inviting import WRONG_CODE, Inviting
from mesh.joining.join import join
from mesh.settings.home import Home, read_signer
from mesh.trust.certificates import read_certificates
from mesh.trust.invitations import INVITATIONS_FILE, invitation_key, join_proof
from mesh.trust.invite_code import INVITE_SECRET_BYTES, InviteCode
from mesh.trust.join_messages import JoinCall, NotWelcome, Welcome, decode_answer
from mesh.trust.recovery_code import mesh_signer
from peers.facts.fact import Revocation
from tests.support.joining_parts import ANNA, BERT, SECONDS, anonymous, asked, call_of, exchange, files, invited, joined
from tests.support.mesh_of_homes import RECOVERY_CODE, put_facts
from tests.support.street import wait_until
from tests.support.trusted_street import TrustedStreet, tls_options


def test_a_stranger_without_a_certificate_gets_no_byte_while_no_code_is_open(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")

    assert exchange(kitchen, b"GET / HTTP/1.1\r\nHost: kitchen\r\n\r\n") == b""
    wait_until(lambda: any("it shows no certificate" in said for said in street.said("kitchen")), "the line")


def test_while_a_code_is_open_a_stranger_can_only_ask_to_join(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    invited(kitchen)

    said = decode_answer.decode(exchange(kitchen, b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"))

    assert isinstance(said, NotWelcome) and "cannot be understood" in said.why
    assert exchange(kitchen, b"x" * 100_000).strip() == b""  # the greeting of the door, and nothing else
    assert kitchen.status().get()["sessions"] == []


def test_while_a_code_is_open_certificates_of_another_mesh_are_refused_as_ever(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen)
    street.make("foreign", mesh="another")
    line = msgspec.json.encode(call_of(kitchen, ANNA, code)) + b"\n"

    assert exchange(kitchen, line, cert=street.path / "foreign") == b""
    assert isinstance(asked(kitchen, call_of(kitchen, ANNA, code)), Welcome)


def test_a_node_that_was_revoked_does_not_join_again_with_its_key(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    assert isinstance(asked(kitchen, call_of(kitchen, ANNA, invited(kitchen))), Welcome)
    kitchen.stop()
    signer = read_signer(kitchen.home)
    mesh_key = read_certificates(kitchen.home, signer.public).mesh_key
    put_facts(kitchen.home, mesh_key, [Revocation(mesh_key, signer.public, 9, b"", ANNA.public, (), ()).signed(signer)])
    kitchen = street.start("kitchen")

    said = asked(kitchen, call_of(kitchen, ANNA, invited(kitchen)))

    assert isinstance(said, NotWelcome) and "it is revoked; start a new node in another --home" in said.why


def test_an_admin_that_was_revoked_lets_none_in_by_its_open_codes_and_opens_no_more(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code, mesh = invited(kitchen), mesh_signer(RECOVERY_CODE)
    own = read_signer(kitchen.home).public
    end = Revocation(mesh.public, mesh.public, 9, b"", own, (), ()).signed(mesh)
    with ControlClient(kitchen.home) as client:
        client.state([end.data])

    said = asked(kitchen, call_of(kitchen, ANNA, code))

    assert isinstance(said, NotWelcome) and said.why.startswith(f"{kitchen.node_id} is no admin any more: ")
    with pytest.raises(MeshError, match="this node is not in its mesh any more"):
        invited(kitchen)


def test_a_request_that_is_not_answered_does_not_keep_its_node_from_stopping(
    street: TrustedStreet, monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchen = street.start("kitchen")
    call, is_asked = call_of(kitchen, ANNA, invited(kitchen)), Event()
    monkeypatch.setattr(Inviting, "_state", lambda *_: is_asked.set())  # as where the disk does not answer
    stopping = Thread(target=kitchen.stop)

    with anonymous().wrap_socket(socket.create_connection(("127.0.0.1", kitchen.port), SECONDS)) as wire:
        wire.sendall(msgspec.json.encode(call) + b"\n")
        assert is_asked.wait(SECONDS)
        stopping.start()
        stopping.join(SECONDS)
        is_stopped = not stopping.is_alive()

    assert is_stopped


def test_wrong_tries_do_not_end_a_code(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen)
    wrong = InviteCode(InviteCode.read(code).mark, bytes(INVITE_SECRET_BYTES)).write()

    for _ in range(20):
        assert asked(kitchen, call_of(kitchen, BERT, wrong)) == NotWelcome(WRONG_CODE)
    bad_id = asked(kitchen, call_of(kitchen, BERT, code, name="no name!"))
    assert isinstance(bad_id, NotWelcome) and "cannot be used" in bad_id.why

    joined(street.path / "study", code, kitchen)


def test_a_request_that_was_recorded_lets_no_other_key_in(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen, uses=5)
    seen = call_of(kitchen, ANNA, code)
    assert isinstance(asked(kitchen, seen), Welcome)

    forged = msgspec.structs.replace(seen, wish=call_of(kitchen, BERT, code).wish)

    assert asked(kitchen, forged) == NotWelcome(WRONG_CODE)
    replayed = asked(kitchen, seen)
    assert isinstance(replayed, Welcome)
    kept = json.loads((kitchen.home / INVITATIONS_FILE).read_bytes())["invitations"]
    assert [len(one["joined"]) for one in kept] == [1]


def test_a_request_for_one_inviter_is_no_request_for_another(street: TrustedStreet) -> None:
    """Proofs are bound to the certificate that was seen: passed on, they prove nothing."""
    kitchen = street.start("kitchen")
    code = invited(kitchen)
    wish = call_of(kitchen, ANNA, code).wish
    seen = join_proof(invitation_key(InviteCode.read(code).secret), b"certificate of another", wish)

    assert asked(kitchen, JoinCall(wish, seen)) == NotWelcome(WRONG_CODE)


class Middle:
    """Takes TLS connections in place of a node, with certificates of another home, and keeps what it is sent."""

    def __init__(self, home: Path) -> None:
        self._context = tls_options(home)["tls"]
        self._context.verify_mode = ssl.CERT_NONE
        self.received = b""

    async def trick(self, victim: Path, code: str) -> str:
        """Let a home join here; why it does not."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0, ssl=self._context)
        port = server.sockets[0].getsockname()[1]
        try:
            await join(victim, victim.name, code, f"127.0.0.1:{port}")
        except MeshError as error:
            return str(error)
        finally:
            server.close()
        return ""

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            self.received += await reader.read()
        writer.close()


@pytest.mark.parametrize("is_member", [False, True], ids=["a stranger", "a member"])
def test_who_answers_in_place_of_the_inviter_gets_no_proof_and_the_home_is_as_before(
    street: TrustedStreet, is_member: bool
) -> None:
    kitchen = street.start("kitchen")
    if is_member:
        joined(street.path / "middle", invited(kitchen), kitchen)
    else:
        street.make("middle", mesh="another")
    home = Home(street.path / "victim", name="victim")
    home.close()
    before = files(home.path)
    middle = Middle(street.path / "middle")

    why = asyncio.run(middle.trick(home.path, invited(kitchen)))

    assert "is not the one that made this code" in why
    assert middle.received == b""
    assert files(home.path) == before
