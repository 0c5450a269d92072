"""A hostile member at live nodes of its mesh: what it writes, relays, withholds and claims. No honest node is misled."""

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

from mesh.node import Node
from mesh.settings.home import KEY_FILE
from mesh.settings.paths import CERTIFICATES_FILE
from mesh.trust.certificates import CertificateChain, admin_certificate, node_certificate, read_certificates
from peers.codec.messages import Ping
from peers.codec.run_messages import RunHave
from peers.events.entry import Entry, encode_event
from peers.events.epoch import END_BYTES, EpochEnd
from peers.events.piece import Piece
from peers.events.run import ADOPTED_FORK, OWN
from peers.limits import Limits
from tests.support.joining_parts import exchange
from tests.support.member_by_hand import LinkByHand, MemberByHand, facts_in, pieces_in
from tests.support.street import at, types, wait_until
from tests.support.trusted_street import TrustedStreet, trusted_homes

FUTURE_MS = 4_102_444_800_000
"""The year 2100."""
SOON_MS, NEAR_SECONDS = 2_000, 0.5
HOUR_MS = 3_600_000
WITNESS = "witness"
ENDS_PRICE = b'{"keep_last":"price"}'
FIRST_RUN, ALL = 500, 600
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


# What it relays


@dataclass
class Relayed:
    """A live kitchen, the two runs of the study, which is off, and the home of a good neighbour that has them."""

    street: TrustedStreet
    kitchen: Node
    liar: MemberByHand
    first: Piece
    second: Piece

    def bring(self, *pieces: Piece) -> LinkByHand:
        """The liar sends these, with the births of all; what it heard."""
        births = tuple({piece.birth for piece in pieces})
        with self.liar.meet(self.kitchen, states=facts_in(self.street.path / "study")) as link:
            link.bring(*pieces, births=births)
            return link

    def good_neighbour_comes(self) -> None:
        """It fills in all that is lacking."""
        cellar = self.street.start("cellar", peers=[at(self.kitchen)])
        self.street.converge(cellar, self.kitchen, events=ALL)


@pytest.fixture
def relayed(street: TrustedStreet) -> Relayed:
    study = street.start("study")
    cellar = street.start("cellar", peers=[at(study)])
    for count in (FIRST_RUN, ALL - FIRST_RUN):
        study.log.add_batch([({"type": "reading"}, {"reasons": ["reading"]})] * count).get()
    street.converge(study, cellar, events=ALL)
    study.stop()
    cellar.stop()
    first, second = pieces_in(study.home)
    return Relayed(street, street.start("kitchen"), MemberByHand(street.path / "liar"), first, second)


def flipped(data: bytes, at_: int = 0) -> bytes:
    return bytes([*data[:at_], data[at_] ^ 1, *data[at_ + 1 :]])


def with_item(piece: Piece, item: Entry | bytes) -> Piece:
    return structs.replace(piece, items=(item, *piece.items[1:]))


def changed(piece: Piece) -> dict[str, Piece]:
    """A piece with each kind of its bytes changed."""
    event, birth = piece.items[0], piece.birth
    assert isinstance(event, Entry)
    ms, node_id, number = event.created
    other = birth._replace(nonce=flipped(birth.nonce))
    return {
        "first": structs.replace(piece, first=2, start=2),
        "start": structs.replace(piece, start=2),
        "kind": structs.replace(piece, kinds=flipped(piece.kinds)),
        "head": structs.replace(piece, head=flipped(piece.head)),
        "signature": structs.replace(piece, signature=flipped(piece.signature)),
        "no signature": structs.replace(piece, signature=b""),
        "ms": with_item(piece, structs.replace(event, created=(ms + 1, node_id, number))),
        "node": with_item(piece, structs.replace(event, created=(ms, f"x{node_id}", number))),
        "number": with_item(piece, structs.replace(event, created=(ms, node_id, number + 1_000))),
        "time": with_item(piece, structs.replace(event, time=event.time + 1)),
        "body": with_item(piece, structs.replace(event, body=body("forged"))),
        "meta": with_item(piece, structs.replace(event, extra=b'{"reasons":["other"]}')),
        "leaf": with_item(piece, flipped(piece.leaves[0])),
        "order": structs.replace(piece, items=(piece.items[1], event, *piece.items[2:])),
        "length": structs.replace(piece, items=piece.items[:-1], kinds=piece.kinds[:-1]),
        "nonce of the birth": structs.replace(piece, birth=other),
        "key of the birth": structs.replace(piece, birth=birth._replace(key=flipped(birth.key))),
        "node of the birth": structs.replace(piece, birth=birth._replace(node_id=f"x{birth.node_id}")),
        "another epoch": structs.replace(piece, birth=other, epoch=other.epoch),
    }


SAYS_TOO_LITTLE = {"first", "no signature", "nonce of the birth", "key of the birth", "node of the birth"}
"""Such a piece follows nothing that is here, or its epoch has another name: it is left aside, and the link goes on."""


def test_a_run_that_was_changed_on_its_way_is_not_taken_and_a_good_neighbour_fills_in(relayed: Relayed) -> None:
    for name, piece in changed(relayed.first).items():
        link = relayed.bring(piece)

        is_ended = '["error","wrong-format"' in link.error
        assert is_ended != (name in SAYS_TOO_LITTLE), (name, link.heard)
        assert types(relayed.kitchen) == [], name
    assert any("other entries than those that its owner signed" in said for said in relayed.street.said("kitchen"))
    relayed.good_neighbour_comes()


def test_runs_that_changed_places_or_epochs_are_not_taken_and_a_good_neighbour_fills_in(relayed: Relayed) -> None:
    first, second, liar = relayed.first, relayed.second, relayed.liar
    mine = liar.write(*first.items)  # type: ignore[arg-type]  # all are events

    assert relayed.bring(second).error == ""  # what comes before it is not here yet
    for piece in (
        structs.replace(first, items=second.items, kinds=second.kinds),
        structs.replace(second, first=1, start=1),
        structs.replace(first, epoch=mine.epoch, birth=mine.birth),
        structs.replace(mine, epoch=first.epoch, birth=first.birth),
    ):
        assert "is not what its owner signed" in relayed.bring(piece).error

    assert types(relayed.kitchen) == []
    relayed.good_neighbour_comes()


def test_a_run_that_one_member_signs_as_its_own_shows_no_event_of_another(relayed: Relayed) -> None:
    assert relayed.bring(relayed.liar.write(*relayed.first.items)).error == ""  # type: ignore[arg-type]

    assert types(relayed.kitchen) == []
    relayed.good_neighbour_comes()


def test_events_that_are_withheld_come_from_another_neighbour(relayed: Relayed) -> None:
    withheld = [structs.replace(each, items=tuple(each.leaves)) for each in (relayed.first, relayed.second)]

    assert relayed.bring(*withheld).error == ""

    assert types(relayed.kitchen) == []
    relayed.good_neighbour_comes()


# What it claims


def test_claims_about_the_epoch_of_a_node_change_nothing(trio: Trio) -> None:
    trio.kitchen.log.add({"type": "milk"}).get()
    trio.street.converge(trio.kitchen, trio.attic, events=1)
    with trio.liar.meet(trio.kitchen) as link:
        ((epoch, end),) = link.ends.items()
    claim = {epoch: EpochEnd(end.seq + 5, b"x" * END_BYTES)}

    for said in (claim, {epoch: EpochEnd(end.seq, b"x" * END_BYTES)}):
        with trio.liar.meet(trio.kitchen, newest=said) as link:
            link.tell(RunHave(said), Ping(0))
            link.hear(b'["pong"')
    trio.kitchen.log.add({"type": "bread"}).get()

    trio.street.converge(trio.kitchen, trio.attic, events=2)
    with trio.liar.meet(trio.kitchen) as link:
        assert [(name, known.seq) for name, known in link.ends.items()] == [(epoch, end.seq + 1)]
    assert "forked" not in trio.street.kinds("kitchen") + trio.street.kinds("attic")


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


def test_a_member_that_greets_as_another_is_refused_and_the_other_one_keeps_its_session(trio: Trio) -> None:
    with trio.liar.meet(trio.kitchen, node_id=trio.attic.node_id) as link:
        assert link.ends == {} and '["error","wrong-credentials"' in link.error

    assert [row["session"] for row in trio.kitchen.status().get()["peers"]] == ["synchronized"]


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
