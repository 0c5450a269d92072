"""Connections between nodes that prove keys: who is spoken to, who is not, and what each end says of it."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from mesh.lab.live.homes import FoundedMesh
from mesh.settings.home import KEY_FILE, Home
from mesh.settings.paths import CERTIFICATES_FILE
from peers.limits import Limits
from peers.transport.accepting.listening_socket import AcceptedSocket
from peers.transport.large_frames import LEAST_READ_BYTES, MOST_READ_BYTES
from peers.transport.port import Listening
from peers.transport.tls.certificate import ReadCertificate
from peers.transport.tls.gate import (
    NO_CERTIFICATE,
    NOT_TAKEN,
    OTHER_IS_CLOSED,
    OTHER_IS_OPEN,
    OTHER_MESH,
    PLAIN_ANSWER,
    TLS_AT_OPEN,
    MaySpeak,
)
from tests.support.trusted_street import tls_options, trusted_homes
from tests.support.web_socket_room import Record, Room

KNOWN = "127.0.0.2"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Doors:
    """A room with doors of homes, all of one mesh but "stranger", which founded its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ids = trusted_homes(path, "kitchen", "study") | trusted_homes(path, "stranger", seed="another mesh")
        self.room = Room()
        self.stack = ExitStack()
        self.hits: list[tuple[str, str]] = []
        self.refused: list[str] = []

    def open(self, home: str = "kitchen", *, may_speak: MaySpeak | None = None, **limits: Any) -> Listening:
        """The door of a home; "" is one without certificates."""
        options = tls_options(self.path / home) if home else {}
        network = self.room.also(
            **options | ({"may_speak": may_speak} if may_speak is not None else {}),
            limits=Limits(**limits),
            note=lambda limit, who: self.hits.append((limit, who)),
            on_refused=lambda _, why: self.refused.append(why),
            known={KNOWN},
        )
        return self.room.listen(network=network, is_welcome=False)

    def dial(self, door: Listening, home: str = "study", *, node_id: str = "") -> Record:
        """Dial a door as a node with a home, until it is open or failed."""
        network = self.room.also(**tls_options(self.path / home) if home else {})
        record = Record(network.dial(f"127.0.0.1:{door.port}", node_id=node_id))
        record.connection.connect()
        self.room.until(lambda: record.connection.connected or record.reasons)
        return record

    def plain(self, door: Listening, *parts: bytes, source: str = "127.0.0.1") -> socket.socket:
        """A socket that sends something and waits."""
        wire = self.stack.enter_context(socket.create_connection(("127.0.0.1", door.port), source_address=(source, 0)))
        wire.setblocking(False)
        for part in parts:
            wire.sendall(part)
        return wire

    def until_closed(self, wire: socket.socket) -> bytes:
        """What the door still sent, once it has closed."""
        parts: list[bytes] = []

        def is_closed() -> bool:
            with suppress(BlockingIOError):
                try:
                    parts.append(wire.recv(65_536))
                except ConnectionError:
                    parts.append(b"")
                return not parts[-1]
            return False

        self.room.until(is_closed)
        return b"".join(parts)

    def answer_after_tls(self, door: Listening, context: ssl.SSLContext) -> bytes:
        """What the door answers over TLS to a request, up to the end. Raises ssl.SSLError."""
        wire, incoming, outgoing = self.plain(door), ssl.MemoryBIO(), ssl.MemoryBIO()
        over = context.wrap_bio(incoming, outgoing)
        answer: list[bytes] = []
        steps: list[Callable[[], Any]] = [over.do_handshake, lambda: over.write(REQUEST)]

        def is_over() -> bool:
            with suppress(ssl.SSLWantReadError):
                while steps:
                    steps[0]()
                    del steps[0]
                answer.append(over.read())
            with suppress(OSError):
                wire.sendall(outgoing.read())
            try:
                data = wire.recv(65_536)
            except BlockingIOError:
                return False
            except ConnectionError:
                return True
            incoming.write(data)
            return not data

        self.room.until(is_over)
        assert steps == []  # this end of TLS 1.3 does not learn that the other one refuses it
        return b"".join(answer)

    def close(self) -> None:
        self.stack.close()
        self.room.leave()


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    doors = Doors(tmp_path)
    yield doors
    doors.close()


def key_of(home: Path) -> bytes:
    opened = Home(home)
    opened.close()
    return opened.signer.public


def client(*, cert: Path | None = None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """The context of a stranger that does not look whom it speaks to; `cert` is a home."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if cert is not None:
        context.load_cert_chain(cert / CERTIFICATES_FILE, cert / KEY_FILE)
    return context


def first_message(context: ssl.SSLContext) -> bytes:
    """With which a connection begins."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


HELLO = first_message(client())


def test_nodes_of_one_mesh_carry_frames_and_know_the_key_that_the_other_one_proved(doors: Doors) -> None:
    left = doors.dial(doors.open(), node_id=doors.ids["kitchen"])
    doors.room.until(lambda: doors.room.accepted)
    right = doors.room.accepted[0]

    left.connection.send(b"[1]")
    right.connection.send(b"[2]")
    doors.room.until(lambda: left.frames and right.frames)

    assert left.connection.proven_key == key_of(doors.path / "kitchen")
    assert right.connection.proven_key == key_of(doors.path / "study")
    left.connection.disconnect()
    doors.room.until(lambda: left.reasons)
    assert left.connection.proven_key is None


def test_over_tls_little_is_read_at_first_and_more_while_a_large_frame_comes(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    receive = AcceptedSocket.recv_into

    def note_and_receive(self: AcceptedSocket, buffer: Any, *rest: int) -> int:
        reads.append(len(buffer))
        return receive(self, buffer, *rest)

    monkeypatch.setattr(AcceptedSocket, "recv_into", note_and_receive)
    left = doors.dial(doors.open())
    doors.room.until(lambda: doors.room.accepted)
    right = doors.room.accepted[0]
    right.connection.welcome()
    in_handshake = len(reads)

    left.connection.send(b"[1]")
    doors.room.until(lambda: right.frames)
    small = reads[in_handshake:]
    left.connection.send(b"[%b]" % (b"2" * 400_000))
    doors.room.until(lambda: len(right.frames) == 2)

    assert set(small) == {LEAST_READ_BYTES}
    assert reads[-1] == MOST_READ_BYTES


@pytest.mark.parametrize(("home", "why"), [("", NO_CERTIFICATE), ("stranger", OTHER_MESH)])
def test_a_stranger_gets_no_byte_after_the_handshake(doors: Doors, home: str, why: str) -> None:
    answer = doors.answer_after_tls(doors.open(), client(cert=doors.path / home if home else None))

    assert answer == b""
    assert (doors.refused, doors.room.accepted) == ([why], [])


def test_neither_does_a_member_that_may_not_speak_any_more(doors: Doors) -> None:
    asked: list[tuple[bytes, str]] = []

    def is_revoked(certificate: ReadCertificate, node_id: str) -> str:
        asked.append((certificate.public, node_id))
        return "it is revoked"

    answer = doors.answer_after_tls(doors.open(may_speak=is_revoked), client(cert=doors.path / "study"))

    assert answer == b""
    assert (doors.refused, doors.room.accepted) == (["it is revoked"], [])
    assert asked == [(key_of(doors.path / "study"), "")]


def test_who_dials_says_why_it_is_not_taken(doors: Doors) -> None:
    refused = doors.dial(doors.open(may_speak=lambda *_: "it is revoked"))

    assert refused.reasons == [NOT_TAKEN]
    assert refused.all("error") == []


def test_nothing_is_sent_to_a_node_of_another_mesh(doors: Doors) -> None:
    assert doors.dial(doors.open("stranger")).reasons == [OTHER_MESH]
    assert doors.room.accepted == []


def test_nothing_is_sent_to_another_node_than_the_one_that_was_dialled(doors: Doors) -> None:
    mark = doors.ids["kitchen"].partition("~")[2]

    left = doors.dial(doors.open(), node_id="attic~" + "a" * 16)

    assert left.reasons == [f"its key is that of another node, ~{mark}"]
    assert doors.room.accepted == []


def test_an_open_node_and_one_with_certificates_refuse_each_other_with_a_sentence(doors: Doors) -> None:
    assert doors.dial(doors.open(), "").reasons == [OTHER_IS_CLOSED]
    assert doors.dial(doors.open("")).reasons == [OTHER_IS_OPEN]

    assert doors.refused == [OTHER_IS_OPEN, TLS_AT_OPEN]
    assert doors.room.accepted == []


def test_a_browser_learns_that_a_port_needs_tls(doors: Doors) -> None:
    assert doors.until_closed(doors.plain(doors.open(), REQUEST)) == PLAIN_ANSWER


def test_an_older_version_of_tls_is_refused(doors: Doors) -> None:
    older = client(version=ssl.TLSVersion.TLSv1_2)
    first = first_message(older)

    assert doors.until_closed(doors.plain(doors.open(), first)) == b""
    assert doors.refused == ["no TLS that both ends speak: UNSUPPORTED_PROTOCOL"]


@pytest.mark.parametrize("sent", [b"", HELLO[:4], HELLO[:5], HELLO[:-1], HELLO])
def test_a_stranger_that_is_slow_in_tls_is_ended_by_the_deadline_of_the_door(doors: Doors, sent: bytes) -> None:
    wire = doors.plain(doors.open(greeting_seconds=0.3), sent)

    doors.until_closed(wire)

    assert doors.hits == [("greeting_seconds", "127.0.0.1")]
    assert doors.refused == []


def test_handshakes_wait_for_a_place_and_the_oldest_has_to_leave_after_half_of_its_time(doors: Doors) -> None:
    door = doors.open(handshakes=2, greeting_seconds=4)
    slow = [doors.plain(door, HELLO[:-1]) for _ in range(2)]

    assert doors.dial(door).connection.connected

    assert doors.hits == [("handshakes", "127.0.0.1")]
    assert doors.until_closed(slow[0]) == b""


def test_a_known_address_does_not_wait_behind_strangers(doors: Doors) -> None:
    door = doors.open(handshakes=1, greeting_seconds=4)
    for _ in range(4):
        doors.plain(door, HELLO[:-1])
    known = doors.plain(door, HELLO, source=KNOWN)
    answer: list[bytes] = []

    def has_answer() -> bool:
        with suppress(BlockingIOError):
            answer.append(known.recv(65_536))
        return bool(answer)

    doors.room.until(has_answer)

    assert answer[0].startswith(b"\x16\x03")
    assert doors.hits == [("handshakes", "127.0.0.1")]


def test_a_greeting_over_tls_that_is_late_ends_with_a_reason(doors: Doors) -> None:
    left = doors.dial(doors.open())
    doors.room.until(lambda: doors.room.accepted)

    doors.room.pass_time(Limits().greeting_seconds)

    doors.room.until(lambda: left.reasons and doors.room.accepted[0].reasons)

    assert left.reasons == ["no greeting in time"]


def test_who_sends_too_much_in_a_handshake_is_cut(doors: Doors) -> None:
    record = b"\x16\x03\x01\x20\x00\x01\x00\x1f\xfc" + bytes(0x1FFC)

    assert doors.until_closed(doors.plain(doors.open(handshake_bytes=4_000), record[:8_000])) == b""
    assert doors.hits == [("handshake_bytes", "127.0.0.1")]
    assert doors.refused == []


def test_a_closed_network_keeps_no_connection_that_waits_for_tls(doors: Doors) -> None:
    network = doors.room.also(**tls_options(doors.path / "kitchen"), limits=Limits(greeting_seconds=60, handshakes=1))
    door = doors.room.listen(network=network)
    wires = [doors.plain(door, sent) for sent in (b"", HELLO[:-1], HELLO[:-1])]
    doors.room.until(lambda: len(list(network.descriptors())) == 1 + len(wires))

    async def close() -> None:
        await network.close()

    doors.room.run(close())

    for wire in wires:
        doors.until_closed(wire)


def test_one_that_vanishes_before_or_in_its_handshake_leaves_nothing(doors: Doors) -> None:
    network = doors.room.also(**tls_options(doors.path / "kitchen"))
    door = doors.room.listen(network=network)
    for sent in (b"", HELLO[:3], HELLO[:-1], HELLO):
        wire = doors.plain(door, sent)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()

    doors.room.until(lambda: len(list(network.descriptors())) == 1)

    assert doors.dial(door).connection.connected


def test_the_mesh_of_a_seed_is_always_the_same(tmp_path: Path) -> None:
    assert FoundedMesh("a").mesh.public == FoundedMesh("a").mesh.public != FoundedMesh("b").mesh.public
