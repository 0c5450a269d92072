"""A hostile member at live nodes of its mesh: what it writes, and what it claims to be. No honest node is misled."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from mesh.lab.live.homes import FoundedMesh
from mesh.node import Node
from mesh.settings.home import KEY_FILE, Home, read_signer
from mesh.settings.paths import CERTIFICATES_FILE
from mesh.trust.certificates import CertificateChain, admin_certificate, node_certificate, read_certificates
from peers.codec.messages import Ping
from peers.codec.run_messages import RunHave, Yours
from peers.events.entry import Entry, encode_event
from peers.events.epoch import END_BYTES, EpochEnd
from peers.events.leaf import HASH_BYTES
from peers.events.run import ADOPTED_FORK, OWN
from peers.events.signature import SIGNATURE_BYTES
from peers.facts.fact import Certificate, Fact, Revocation
from peers.limits import Limits
from tests.support.joining_parts import exchange
from tests.support.member_by_hand import MemberByHand
from tests.support.members import states
from tests.support.street import at, types, wait_until
from tests.support.trusted_street import TrustedStreet, trusted_homes

FUTURE_MS = 4_102_444_800_000
"""The year 2100."""
SOON_MS, NEAR_SECONDS = 2_000, 0.5
HOUR_MS = 3_600_000
WITNESS = "witness"
ENDS_PRICE = b'{"keep_last":"price"}'
REQUEST = b"GET / HTTP/1.1\r\nHost: kitchen\r\n\r\n"
HELLO = bytes.fromhex("16 0301 0200 01 0001fc 0303")
"""How a TLS handshake begins."""


@dataclass
class Trio:
    """The nodes "kitchen" and "attic", which are connected, and the home of "liar", which is a member too."""

    street: TrustedStreet
    kitchen: Node
    attic: Node
    liar: MemberByHand

    def lies(self, *events: Entry, kind: int = OWN) -> list[str]:
        """The liar brings these to the kitchen, then an event of its own. What both nodes show when that is there."""
        witness = Entry((7, self.liar.node_id, 7), 7, body(WITNESS), b"")
        with self.liar.meet(self.kitchen) as link:
            assert link.bring(self.liar.write(*events, kind=kind), self.liar.write(witness)), link.error
        wait_until(lambda: WITNESS in types(self.attic), "the witness")
        assert types(self.kitchen) == types(self.attic)
        return types(self.attic)


@pytest.fixture
def street(tmp_path: Path) -> Iterator[TrustedStreet]:
    street = TrustedStreet(tmp_path)
    trusted_homes(tmp_path, "liar")
    yield street
    street.close()


@pytest.fixture
def trio(street: TrustedStreet) -> Trio:
    kitchen = street.start("kitchen")
    attic = street.start("attic", peers=[at(kitchen)])
    return Trio(street, kitchen, attic, MemberByHand(street.path / "liar"))


def body(type_: str) -> bytes:
    return encode_event({"type": type_})


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# What it writes


def test_keep_last_of_a_member_ends_no_event_of_others_whatever_its_time_is(trio: Trio) -> None:
    for node in (trio.kitchen, trio.attic):
        node.log.add({"type": "price"}, {"reasons": ["price"]}).get()
    trio.street.converge(trio.kitchen, trio.attic, events=2)
    mine, soon = trio.liar.node_id, now_ms() + HOUR_MS

    shown = trio.lies(
        Entry((soon, mine, 0), soon, body("in an hour"), ENDS_PRICE),
        Entry((1, mine, 0), FUTURE_MS, body("in 2100"), ENDS_PRICE),
    )

    assert sorted(shown) == ["in an hour", "price", "price", WITNESS]


def test_keep_last_of_an_event_that_a_member_vouches_for_ends_nothing(trio: Trio) -> None:
    trio.attic.log.add({"type": "price"}, {"reasons": ["price"]}).get()
    trio.street.converge(trio.kitchen, trio.attic, events=1)
    later = now_ms()

    shown = trio.lies(Entry((later, trio.attic.node_id, 9), later, body("forged"), ENDS_PRICE), kind=ADOPTED_FORK)

    assert shown == [WITNESS, "price", "forged"]
    (meta,) = [meta for event, meta in trio.attic.log.each() if event["type"] == "forged"]
    assert (meta["origin"], meta["vouched"]) == (trio.liar.node_id, "fork")


@pytest.mark.parametrize("kind", [OWN, ADOPTED_FORK], ids=["as its own", "vouched for"])
def test_a_copy_of_an_event_of_another_with_an_earlier_time_replaces_nothing(trio: Trio, kind: int) -> None:
    meta: Any = trio.kitchen.log.add({"type": "original"}).get()
    trio.street.converge(trio.kitchen, trio.attic, events=1)

    shown = trio.lies(Entry(tuple(meta["created"]), 0, body("forged"), b""), kind=kind)

    assert sorted(shown) == ["original", WITNESS]


def test_an_event_in_the_name_of_another_is_not_shown(trio: Trio) -> None:
    assert trio.lies(Entry((9, trio.attic.node_id, 0), 9, body("forged"), b"")) == [WITNESS]


def test_events_from_1970_are_shown_and_those_from_2100_wait_and_are_not_sent_again(trio: Trio) -> None:
    mine = trio.liar.node_id
    trio.kitchen.log.add({"type": "milk"}).get()
    trio.street.converge(trio.kitchen, trio.attic, events=1)

    shown = trio.lies(
        Entry((0, mine, 0), 0, body("from 1970"), b""), Entry((FUTURE_MS, mine, 0), FUTURE_MS, body("from 2100"), b"")
    )

    assert shown == ["from 1970", WITNESS, "milk"]
    with trio.liar.meet(trio.attic) as link:
        held = link.ends
    with trio.liar.meet(trio.attic, newest=held) as link:
        link.tell(Ping(0))
        assert link.hear(b'["pong"')
        assert [text for text in link.heard if text.startswith(('["pieces"', '["fill"'))] == []


def test_a_member_that_says_often_that_it_is_2100_changes_no_clock(trio: Trio) -> None:
    liar = trio.liar
    with ExitStack() as stack:
        links = [
            stack.enter_context(liar.meet(trio.kitchen, clock_ms=FUTURE_MS, boot=f"b{number}", connection=f"c{number}"))
            for number in range(4)
        ]
        for link in links:
            link.bring(liar.write(Entry((FUTURE_MS, liar.node_id, 0), FUTURE_MS, body("from 2100"), b"")))

    trio.kitchen.log.add({"type": "milk"}).get()
    trio.street.converge(trio.kitchen, trio.attic, events=1)


def test_an_event_from_the_future_is_shown_when_its_time_has_come(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen", limits=Limits(max_future_seconds=NEAR_SECONDS))
    liar, soon = MemberByHand(street.path / "liar"), now_ms() + SOON_MS
    with liar.meet(kitchen) as link:
        assert link.bring(liar.write(Entry((soon, liar.node_id, 0), soon, body("soon"), b"")))
    assert types(kitchen) == []

    def is_shown() -> bool:
        with liar.meet(kitchen) as link:  # a node looks when a session begins
            link.tell(Ping(0))
            link.hear(b'["pong"')
        return types(kitchen) == ["soon"]

    wait_until(is_shown, "its time")
    assert now_ms() >= soon - NEAR_SECONDS * 1_000


# What it claims


def test_claims_about_the_epoch_of_a_node_change_nothing(trio: Trio) -> None:
    trio.kitchen.log.add({"type": "milk"}).get()
    trio.street.converge(trio.kitchen, trio.attic, events=1)
    with trio.liar.meet(trio.kitchen) as link:
        ((epoch, end),) = link.ends.items()
    claim = {epoch: EpochEnd(end.seq + 5, b"x" * END_BYTES)}

    for said in (claim, {epoch: EpochEnd(end.seq, b"x" * END_BYTES)}):
        yours = {epoch: Yours(said[epoch], bytes(HASH_BYTES), bytes(SIGNATURE_BYTES))}
        with trio.liar.meet(trio.kitchen, newest=said, yours=yours) as link:
            link.tell(RunHave(said), Ping(0))
            link.hear(b'["pong"')
    trio.kitchen.log.add({"type": "bread"}).get()

    trio.street.converge(trio.kitchen, trio.attic, events=2)
    with trio.liar.meet(trio.kitchen) as link:
        assert [(name, known.seq) for name, known in link.ends.items()] == [(epoch, end.seq + 1)]
    assert "forked" not in trio.street.kinds("kitchen") + trio.street.kinds("attic")


def test_a_member_that_is_no_admin_admits_and_removes_no_node(trio: Trio) -> None:
    liar, mesh_key = trio.liar.signer, FoundedMesh().mesh.public
    attic, friend = read_signer(trio.attic.home).public, Home(trio.street.path / "friend", name="friend")
    friend.close()
    revoked = Revocation(mesh_key, liar.public, 9, b"", attic, (), ()).signed(liar)
    facts: list[Fact] = [
        Certificate(mesh_key, liar.public, 9, b"", friend.signer.public, friend.node_id, False, "").signed(liar),
        revoked,
        structs.replace(revoked, signer=FoundedMesh().admin.public),
    ]

    for number, fact in enumerate(facts):
        with trio.liar.meet(trio.kitchen, states=(fact,)) as link:
            is_taken = link.bring(trio.liar.write(Entry((7, trio.liar.node_id, number), 7, body(WITNESS), b"")))

    assert not is_taken and "is not signed by the key that it names" in link.error
    assert types(trio.kitchen) == [WITNESS] * 2
    assert states(trio.kitchen.home) == dict.fromkeys(("admin", "kitchen", "attic", "liar"), "member")
    assert "synchronized" in [row["session"] for row in trio.kitchen.status().get()["peers"]]


# At the door


def forge(trio: Trio, *, as_admin: bool) -> Path:
    """A folder with the liar's key and a certificate that the liar signed, in which it is the attic."""
    liar, folder = trio.liar, trio.street.path / "forged"
    folder.mkdir()
    shutil.copy(trio.street.path / "liar" / KEY_FILE, folder)
    own = read_certificates(trio.street.path / "liar", liar.signer.public)
    issuer = admin_certificate(liar.signer, liar.signer.public, liar.node_id) if as_admin else own.node
    forged = node_certificate(liar.signer, liar.signer.public, trio.attic.node_id)
    (folder / CERTIFICATES_FILE).write_bytes(CertificateChain(forged, issuer, own.mesh).pem)
    return folder


def test_who_shows_no_certificate_of_the_mesh_or_one_that_a_member_made_gets_no_byte_after_tls(trio: Trio) -> None:
    trusted_homes(trio.street.path, "stranger", seed="another mesh")
    shown = [None, trio.street.path / "stranger", forge(trio, as_admin=False)]

    assert [exchange(trio.kitchen, REQUEST, cert=home) for home in shown] == [b"", b"", b""]
    shutil.rmtree(trio.street.path / "forged")
    assert exchange(trio.kitchen, REQUEST, cert=forge(trio, as_admin=True)) == b""

    assert exchange(trio.kitchen, REQUEST, cert=trio.street.path / "liar") != b""
    assert [row["session"] for row in trio.kitchen.status().get()["peers"]] == ["synchronized"]


@pytest.mark.parametrize("said", ["node_id", "key"])
def test_a_member_that_greets_as_another_is_refused_and_the_other_one_keeps_its_session(trio: Trio, said: str) -> None:
    attic: dict[str, Any] = {"node_id": trio.attic.node_id, "key": read_signer(trio.attic.home).public}

    with trio.liar.meet(trio.kitchen, **{said: attic[said]}) as link:
        assert link.ends == {} and '["error","wrong-credentials"' in link.error

    why = "its key is that of another node, ~" if said == "node_id" else "with another key than the one that it proved"
    wait_until(lambda: any(f", but {why}" in line for line in trio.street.said("kitchen")), "the line")
    # Each end may be sending something at any time.
    wait_until(
        lambda: [row["session"] for row in trio.kitchen.status().get()["peers"]] == ["synchronized"], "a session"
    )
    assert sum(f"connected to {trio.attic.node_id}" in line for line in trio.street.said("kitchen")) == 1


@pytest.mark.parametrize("sent", [b"", HELLO], ids=["silent", "slow in TLS"])
def test_a_member_comes_in_while_the_door_is_full_of_slow_connections_and_these_are_ended(
    street: TrustedStreet, sent: bytes
) -> None:
    limits = Limits(greeting_seconds=1.0, strangers_of_address=64, handshakes=8)
    kitchen = street.start("kitchen", limits=limits)
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", kitchen.port))) for _ in range(20)]
        for wire in slow:
            wire.sendall(sent)
            wire.settimeout(15)

        attic = street.start("attic", peers=[at(kitchen)])
        attic.log.add({"type": "milk"}).get()
        street.converge(kitchen, attic, events=1)

        for wire in slow:
            with suppress(ConnectionResetError):
                assert wire.recv(100) == b""
    hit = {row["limit"] for row in kitchen.status().get()["limits"]}
    assert hit and hit <= {"greeting_seconds", "handshakes"}
