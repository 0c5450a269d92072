"""Live nodes of a mesh, and members that are in it no more, or whose clocks are wrong: what counts is the same everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from hashlib import sha256
from itertools import permutations
from pathlib import Path

import pytest

from mesh.control.client import ControlClient
from mesh.lab.live.homes import FoundedMesh
from mesh.node import Node
from mesh.settings.home import Home, read_signer
from mesh.trust.certificates import (
    CertificateChain,
    admin_certificate,
    mesh_certificate,
    node_certificate,
    write_certificates,
)
from mesh.trust.shown import member_rows
from peers.clock import LoopClock
from peers.codec.messages import Ping
from peers.codec.run_messages import Facts
from peers.events.entry import Entry, encode_event
from peers.events.epoch import key_mark
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate, Fact, Revocation, Tip
from peers.transport.tls.gate import NOT_TAKEN
from tests.support.member_by_hand import MemberByHand, ends_of, facts_in, pieces_in
from tests.support.mesh_of_homes import put_facts
from tests.support.street import at, types, wait_until
from tests.support.trusted_street import TrustedStreet, trusted_homes

MESH = FoundedMesh()
SOON_MS = 500.0


@pytest.fixture
def street(tmp_path: Path) -> Iterator[TrustedStreet]:
    street = TrustedStreet(tmp_path)
    yield street
    street.close()


def revocation(key: bytes, *cut: Tip, by: KeySigner = MESH.admin) -> Fact:
    """By an admin whose clock says 1970."""
    return Revocation(MESH.mesh.public, by.public, 0, b"", key, cut, ()).signed(by)


def until_logs_agree(*nodes: Node) -> None:
    """They have the same entries, and show the same events."""
    wait_until(
        lambda: len({(frozenset(ends_of(node.home).items()), tuple(types(node))) for node in nodes}) == 1, "equal logs"
    )


# Revoked nodes


@pytest.mark.parametrize("is_restored", [False, True], ids=["was off", "is restored from before"])
def test_what_a_revoked_node_wrote_above_the_cut_is_vouched_for_by_a_third_that_missed_it_and_the_rest_is_refused(
    street: TrustedStreet, monkeypatch: pytest.MonkeyPatch, *, is_restored: bool
) -> None:
    monkeypatch.setattr("mesh.actors.log_keeper.MAX_ADOPT_BEYOND_MS", SOON_MS)
    kitchen = street.start("kitchen")
    study = street.start("study", peers=[at(kitchen)])
    attic = street.start("attic", peers=[at(kitchen), at(study)])
    study.log.add({"type": "before"}).get()
    street.converge(kitchen, study, attic, events=1)
    attic.stop()
    study.stop()
    if is_restored:
        shutil.copytree(attic.home, street.path / "backup", ignore=shutil.ignore_patterns("*.sock", "lock"))
    key = read_signer(study.home).public
    with ControlClient(kitchen.home) as client:
        cut = [Tip(*tip) for tip in client.cut(key)]
        client.state([revocation(key, *cut).data])
    if is_restored:
        attic = street.start("attic", peers=[at(kitchen)])
        attic.log.add({"type": "bread"}).get()
        wait_until(lambda: types(kitchen)[-1] == "bread", "it is in the kitchen")
        attic.stop()
        shutil.rmtree(attic.home)
        shutil.copytree(street.path / "backup", attic.home)

    study = street.start("study")
    attic = street.start("attic", peers=[at(study)])
    study.log.add({"type": "after"}).get()
    wait_until(lambda: "after" in types(attic), "the attic takes it")
    attic.add_peer(at(kitchen)).get()

    others = ["bread"] if is_restored else []
    wait_until(lambda: sorted(types(kitchen)) == ["after", "before", *others], "the attic vouches for it")
    until_logs_agree(kitchen, attic)
    assert [meta.get("vouched") for event, meta in kitchen.log.each() if event["type"] == "after"] == ["revoke"]
    wait_until(
        lambda: any("revoked" in said or NOT_TAKEN in said for said in street.said("study")), "the study hears it"
    )
    study.stop()
    attic.stop()
    by_study = MemberByHand(study.home)
    too_late = by_study.write(written(by_study, 0, "too late"))
    with MemberByHand(attic.home).meet(kitchen) as link:
        assert link.bring(*pieces_in(study.home), too_late), link.error
    assert sorted(types(kitchen)) == ["after", "before", *others]


def test_a_revoked_node_that_signs_another_past_changes_no_event_of_others_and_all_logs_agree(
    street: TrustedStreet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.actors.log_keeper.MAX_ADOPT_BEYOND_MS", SOON_MS)
    trusted_homes(street.path, "study", "liar")
    study, liar = (MemberByHand(street.path / name) for name in ("study", "liar"))
    kitchen, attic = street.start("kitchen"), street.start("attic")
    kitchen.log.add({"type": "milk"}).get()
    told = study.write(*[written(study, number, "told") for number in range(3)])
    signed_later = study.write(*[written(study, number, "signed later") for number in range(2)], birth=told.birth)
    revoked = revocation(study.signer.public, Tip(told.epoch, told.last, told.head))
    with liar.meet(kitchen, states=(*facts_in(street.path / "study"), revoked)) as link:
        assert link.bring(told), link.error
    with liar.meet(attic, states=(*facts_in(street.path / "study"), revoked)) as link:
        assert link.bring(signed_later), link.error

    attic.add_peer(at(kitchen)).get()

    wait_until(lambda: len(types(kitchen)) == len(types(attic)) == 4, "both have all")
    until_logs_agree(kitchen, attic)
    assert "milk" in types(attic) and types(attic).count("told") >= 1


def written(member: MemberByHand, number: int, type_: str) -> Entry:
    return Entry((1, member.node_id, number), 1, encode_event({"type": type_}), b"")


def certificate(by: KeySigner, of: bytes, node_id: str, *, is_admin: bool) -> Fact:
    return Certificate(MESH.mesh.public, by.public, 0, b"", of, node_id, is_admin, "").signed(by)


def home_by(admin: KeySigner, admin_id: str, path: Path) -> Home:
    """The home of a node that this admin has let in."""
    home = Home(path, name=path.name)
    home.close()
    put_facts(path, MESH.mesh.public, [])
    own = node_certificate(admin, home.signer.public, home.node_id)
    issuer = admin_certificate(MESH.mesh, admin.public, admin_id)
    write_certificates(path, CertificateChain(own, issuer, mesh_certificate(MESH.mesh)))
    return home


def test_a_revoked_admin_made_a_node_and_revoked_three_and_all_nodes_have_the_same_members_in_six_orders(
    street: TrustedStreet,
) -> None:
    bert = KeySigner.from_seed(sha256(b"bert").digest())
    bert_id = f"bert~{key_mark(bert.public)}"
    gina = home_by(bert, bert_id, street.path / "gina")
    trusted_homes(street.path, "dora", "emil", "fred", "teller")
    homes = [street.path / name for name in ("dora", "emil", "fred")]
    begin = certificate(MESH.mesh, bert.public, bert_id, is_admin=True), *[f for home in homes for f in facts_in(home)]
    heard = (
        [certificate(bert, gina.signer.public, gina.node_id, is_admin=False)],
        [revocation(read_signer(home).public, by=bert) for home in homes],
        [revocation(bert.public, by=MESH.mesh)],
    )
    dora, of_gina, teller = (MemberByHand(street.path / name) for name in ("dora", "gina", "teller"))

    shown = []
    for number, order in enumerate(permutations(heard)):
        node = street.start(f"node{number}")
        with teller.meet(node, states=begin) as link:
            for facts in order:
                link.tell(Facts(tuple(fact.data for fact in facts)))
            link.tell(Ping(0))
            assert link.hear(b'["pong"'), link.error
            wait_until(lambda: {f.data for some in heard for f in some} <= {*texts_of(node)}, "all facts")  # noqa: B023
        rows = member_rows(texts_of(node), {})
        shown.append({row["node_id"].partition("~")[0]: row["state"] for row in rows if row["node_id"] != node.node_id})
        with dora.meet(node) as link:
            assert link.heard and not link.error
        with of_gina.meet(node) as link:
            assert link.heard == []

    members = dict.fromkeys(("admin", "dora", "emil", "fred", "teller"), "member")
    assert shown == [members | {"bert": "revoked", "gina": "void"}] * 6


def texts_of(node: Node) -> list[bytes]:
    """The facts that a node has."""
    with ControlClient(node.home) as client:
        return client.texts().facts


# Wrong clocks


YEARS = {1970: 0, 2090: 3_786_912_000_000}
"""In ms."""


@pytest.mark.parametrize("is_dialling", [False, True], ids=["is dialled", "dials"])
@pytest.mark.parametrize("year", YEARS)
def test_a_node_whose_clock_is_wrong_comes_into_the_mesh_and_what_others_write_is_unharmed(
    street: TrustedStreet, monkeypatch: pytest.MonkeyPatch, year: int, *, is_dialling: bool
) -> None:
    def in_that_year(self: LoopClock) -> int:
        return YEARS[year] + int(self.elapsed_ms())

    kitchen = street.start("kitchen")
    attic = street.start("attic", peers=[at(kitchen)])
    kitchen.log.add({"type": "milk"}, {"reasons": ["list"]}).get()
    with monkeypatch.context() as patch:
        wrong = type("WrongClock", (LoopClock,), {"now_ms": in_that_year})
        patch.setattr("mesh.node_resources.LoopClock", wrong)
        study = street.start("study", peers=[at(kitchen)] if is_dialling else [])
    if not is_dialling:
        kitchen.add_peer(at(study)).get()

    wait_until(lambda: types(study) == ["milk"], "the study takes part")
    study.log.add({"type": "wrong"}, {"keep_last": "list"}).get()
    attic.log.add({"type": "bread"}, {"reasons": ["list"]}).get()

    honest = ["wrong", "milk", "bread"] if year == 1970 else ["milk", "bread"]
    wait_until(lambda: types(kitchen) == types(attic) == honest, "all that may be shown")
    wait_until(lambda: sorted(types(study)) == ["bread", "milk", "wrong"], "the study has all")
    until_logs_agree(kitchen, attic)
