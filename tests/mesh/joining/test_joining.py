"""Live nodes: joining a mesh by an invite code, and what others may try meanwhile."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh import MeshError, Node
from mesh.control.client import ControlClient
from mesh.joining.inviting import USED_UP, WRONG_CODE
from mesh.joining.join import Joined, join
from mesh.settings.home import Home, read_identity, read_signer
from mesh.trust.certificates import read_certificates
from mesh.trust.founding import found_mesh
from mesh.trust.invitations import INVITATIONS_FILE, invitation_key, join_proof
from mesh.trust.invite_code import INVITE_SECRET_BYTES, InviteCode
from mesh.trust.join_messages import JoinCall, NotWelcome, Welcome, Wish, decode_answer
from peers.events.epoch import key_mark
from peers.events.signature import KeySigner
from peers.facts.fact import Revocation
from tests.support.mesh_of_homes import homes_of_one_mesh, put_facts
from tests.support.street import at, wait_until
from tests.support.trusted_street import TrustedStreet, tls_options

SECONDS = 15.0
ANNA, BERT = (KeySigner.from_seed(bytes([number] * 32)) for number in (1, 2))


@pytest.fixture
def street(tmp_path: Path) -> Iterator[TrustedStreet]:
    """With the home of an admin, "kitchen"."""
    homes_of_one_mesh(tmp_path, "kitchen")
    street = TrustedStreet(tmp_path)
    yield street
    street.close()


def invited(node: Node, ttl_seconds: int = 600, uses: int = 1) -> str:
    with ControlClient(node.home) as client:
        return client.invite(ttl_seconds, uses).code


def joined(home: Path, code: str, node: Node | str) -> Joined:
    where = node if isinstance(node, str) else at(node)
    return asyncio.run(join(home, home.name, code, where))


def why_not(home: Path, code: str, node: Node | str) -> str:
    with pytest.raises(MeshError) as caught:
        joined(home, code, node)
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


# Joining


def test_a_new_machine_joins_by_a_code_and_both_synchronize(street: TrustedStreet) -> None:
    kitchen, study_home = street.start("kitchen"), street.path / "study"
    kitchen.log.add({"type": "milk"}).get()

    done = joined(study_home, invited(kitchen), kitchen)

    assert (done.node_id, done.mesh) == (read_identity(study_home)[0], "home")
    wait_until(lambda: f"{done.node_id} joined this mesh from 127.0.0.1" in street.said("kitchen"), "the notice")
    study = street.start("study", peers=[at(kitchen)])
    study.log.add({"type": "bread"}).get()
    street.converge(kitchen, study, events=2)
    assert (study_home / "certificates.pem").stat().st_mode & 0o777 == 0o600


def test_a_home_with_a_log_joins_and_brings_it_along(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    porch = street.start("porch", mesh="")
    porch.log.add({"type": "doorbell"}).get()
    porch.stop()

    joined(street.path / "porch", invited(kitchen), kitchen)

    street.start("porch", peers=[at(kitchen)])
    wait_until(lambda: [event["type"] for event, _ in kitchen.log.each()] == ["doorbell"], "the event")


def test_two_machines_that_joined_meet_while_the_one_that_invited_them_is_off(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    for name in ("study", "attic"):
        joined(street.path / name, invited(kitchen), kitchen)
    kitchen.stop()

    study = street.start("study")  # has not heard of the attic
    attic = street.start("attic", peers=[at(study)])
    study.log.add({"type": "milk"}).get()

    street.converge(study, attic, events=1)


def test_a_restart_honours_a_code_for_the_rest_of_its_time(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen)
    kitchen.stop()
    secret = InviteCode.read(code).secret
    kept = kitchen.home / INVITATIONS_FILE
    assert kept.stat().st_mode & 0o777 == 0o600 and secret.hex().encode() not in kept.read_bytes()

    again = street.start("kitchen")

    joined(street.path / "study", code, again)


def test_a_node_does_not_start_with_a_damaged_file_of_codes(street: TrustedStreet) -> None:
    (street.path / "kitchen" / INVITATIONS_FILE).write_bytes(b'{"version": 1, "invit')

    with pytest.raises(
        MeshError, match=r"invitations.json is damaged .*: delete it, and the invite codes that are open end"
    ):
        street.start("kitchen")


def test_the_same_machine_gets_the_same_certificate_again_and_another_one_hears_that_the_code_was_used(
    street: TrustedStreet,
) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen)

    first, again = (asked(kitchen, call_of(kitchen, ANNA, code)) for _ in range(2))

    assert isinstance(first, Welcome) and first == again
    assert asked(kitchen, call_of(kitchen, BERT, code)) == NotWelcome(USED_UP)
    assert why_not(street.path / "study", code, kitchen).endswith(USED_UP)
    assert not (street.path / "study").exists()


async def join_with_a_lost_answer(home: Path, code: str, port: int) -> Joined:
    """Join through a relay that swallows the answer on its first connection."""
    relays: list[asyncio.Task[None]] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        is_first, sent = len(relays) == 1, 0

        async def answer() -> None:
            while data := await there.read(65536):
                if is_first and sent > 1:  # the handshake is over: this is the answer
                    break
                writer.write(data)
            writer.close()

        answering = asyncio.ensure_future(answer())
        with suppress(OSError):
            while data := await reader.read(65536):
                sent += 1
                back.write(data)
        back.close()
        await answering
        for end in (writer, back):
            with suppress(OSError):
                await end.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relays.append(asyncio.ensure_future(relay(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        return await join(home, home.name, code, f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*relays)
        server.close()
        await server.wait_closed()
        assert len(relays) == 2


def test_an_answer_that_was_lost_is_asked_for_again(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")

    asyncio.run(join_with_a_lost_answer(street.path / "study", invited(kitchen), kitchen.port))

    study = street.start("study", peers=[at(kitchen)])
    study.log.add({"type": "milk"}).get()
    street.converge(kitchen, study, events=1)


def test_a_code_with_two_uses_lets_two_machines_in(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen, uses=2)

    joined(street.path / "study", code, kitchen)
    joined(street.path / "attic", code, kitchen)

    assert why_not(street.path / "porch", code, kitchen).endswith(USED_UP)


# What does not work is said in a sentence, and the home is as before


def test_a_code_that_has_ended_is_refused_with_a_sentence(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen, ttl_seconds=1)
    wait_until(lambda: exchange(kitchen, b"{}\n") == b"", "the end of the code")

    assert "lets nobody in now: the code has ended" in why_not(street.path / "study", code, kitchen)
    invited(kitchen)
    assert why_not(street.path / "study", code, kitchen).endswith(WRONG_CODE)
    assert not (street.path / "study").exists()


def test_a_code_that_was_mistyped_is_refused_without_a_network(tmp_path: Path) -> None:
    code = InviteCode.of(ANNA.public, bytes(INVITE_SECRET_BYTES)).write()
    wrong = ("A" if code[7] != "A" else "B").join((code[:7], code[8:]))

    assert "mistyped: compare group 2" in why_not(tmp_path / "study", wrong, "127.0.0.1:1")


def test_a_home_whose_node_runs_or_whose_mesh_has_others_does_not_join(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen)

    porch = street.start("porch", mesh="")
    assert "runs: stop it with `mesh stop`, then join" in why_not(porch.home, code, kitchen)
    joined(street.path / "study", code, kitchen)
    before = files(street.path / "study")
    assert "is in a mesh with others already" in why_not(street.path / "study", invited(kitchen), kitchen)
    assert files(street.path / "study") == before


def test_a_mesh_of_one_gives_way_and_keeps_what_it_wrote(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    alone = Home(street.path / "shed", name="shed", mesh="garden")
    found_mesh(alone, bytes(16), 1_000, lambda _: None)
    alone.close()
    shed = street.start("shed")
    shed.log.add({"type": "rake"}).get()
    shed.stop()

    joined(shed.home, invited(kitchen), kitchen)

    assert street.start("shed", peers=[at(kitchen)]).mesh == "home"
    wait_until(lambda: [event["type"] for event, _ in kitchen.log.each()] == ["rake"], "the event")


def test_only_an_admin_invites_and_another_one_names_one(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    joined(street.path / "study", invited(kitchen), kitchen)
    study, porch = street.start("study"), street.start("porch", mesh="")

    with pytest.raises(MeshError, match=f"only an admin invites, and {study.node_id} is none: .* on {kitchen.node_id}"):
        invited(study)
    with pytest.raises(MeshError, match="in no mesh that it could invite to: `mesh found` makes one"):
        invited(porch)


# Attacks


def test_a_stranger_without_a_certificate_gets_no_byte_while_no_code_is_open(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")

    assert exchange(kitchen, b"GET / HTTP/1.1\r\nHost: kitchen\r\n\r\n") == b""
    wait_until(lambda: any("it shows no certificate" in said for said in street.said("kitchen")), "the line")


def test_while_a_code_is_open_a_stranger_can_only_ask_to_join(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    invited(kitchen)

    said = decode_answer.decode(exchange(kitchen, b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"))

    assert isinstance(said, NotWelcome) and "cannot be understood" in said.why
    assert exchange(kitchen, b"x" * 100_000) == b""
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
