"""A hostile member relays to a live node what another member wrote: changed, mixed up, without the events. Nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs

from mesh.node import Node
from peers.codec.run_messages import Fill
from peers.events.entry import Entry, encode_event
from peers.events.piece import Piece
from tests.support.member_by_hand import LinkByHand, MemberByHand, facts_in, pieces_in
from tests.support.street import at, types
from tests.support.trusted_street import TrustedStreet, trusted_homes

FIRST_RUN, ALL = 500, 600
FORGED = encode_event({"type": "forged"})


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
def relayed(tmp_path: Path) -> Iterator[Relayed]:
    street = TrustedStreet(tmp_path)
    trusted_homes(tmp_path, "liar")
    study = street.start("study")
    cellar = street.start("cellar", peers=[at(study)])
    for count in (FIRST_RUN, ALL - FIRST_RUN):
        study.log.add_batch([({"type": "reading"}, {"reasons": ["reading"]})] * count).get()
    street.converge(study, cellar, events=ALL)
    study.stop()
    cellar.stop()
    first, second = pieces_in(study.home)
    yield Relayed(street, street.start("kitchen"), MemberByHand(street.path / "liar"), first, second)
    street.close()


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
        "body": with_item(piece, structs.replace(event, body=FORGED)),
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

    with relayed.liar.meet(relayed.kitchen, states=facts_in(relayed.street.path / "study")) as link:
        assert link.bring(*withheld, births=(relayed.first.birth,)), link.error
        forged = Entry((1, relayed.first.birth.node_id, 0), 1, FORGED, b"")
        link.tell(Fill(3, (((relayed.first.epoch, 1), forged),)))
        assert link.hear(b'["synced",3]'), link.error

    assert types(relayed.kitchen) == []
    relayed.good_neighbour_comes()
