"""KeyJudge: whose keys a node speaks to, by the facts of its mesh."""

from __future__ import annotations

from mesh.lab.live.homes import FoundedMesh
from mesh.trust.certificates import node_certificate
from mesh.trust.founding import first_facts
from mesh.trust.judge import UNKNOWN, KeyJudge, OwnMembership
from peers.events.epoch import key_mark
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate, Fact, Leave, Revocation
from peers.transport.tls.certificate import read_certificate

MESH = FoundedMesh()
OWN, OTHER, NEW_ADMIN, UNHEARD = (KeySigner.from_seed(bytes([number] * 32)) for number in (1, 2, 3, 4))


def node_id(key: KeySigner) -> str:
    return f"node~{key_mark(key.public)}"


def joined(key: KeySigner, admin: KeySigner = MESH.admin) -> Fact:
    made = Certificate(MESH.mesh.public, admin.public, 5, b"", key.public, node_id(key), False, "")
    return made.signed(admin)


def revoked(key: KeySigner, by: KeySigner) -> Fact:
    return Revocation(MESH.mesh.public, by.public, 9, b"", key.public, (), ()).signed(by)


def founded() -> list[Fact]:
    return first_facts(MESH.mesh, MESH.admin, node_id(MESH.admin), "home", 1)


def judge(*facts: Fact) -> KeyJudge:
    known = [*founded(), *facts]
    return KeyJudge(MESH.mesh.public, OWN.public, lambda: known)


def why(asked: KeyJudge, key: KeySigner, by: KeySigner = MESH.admin, name: str = "") -> str:
    return asked.may_enter(read_certificate(node_certificate(by, key.public, node_id(key))), name)


def test_a_member_may_speak_under_its_own_id_alone() -> None:
    asked = judge(joined(OWN), joined(OTHER))

    assert why(asked, OTHER) == why(asked, OTHER, name=node_id(OTHER)) == ""
    assert "its key is that of another node" in why(asked, OTHER, name=node_id(OWN))


def test_a_key_that_is_revoked_or_has_left_may_not_speak_whatever_certificate_it_shows() -> None:
    left = Leave(MESH.mesh.public, OTHER.public, 9, b"", ()).signed(OTHER)

    assert why(judge(joined(OWN), joined(OTHER), revoked(OTHER, MESH.admin)), OTHER) == "it is revoked"
    assert why(judge(joined(OWN), revoked(OTHER, MESH.admin)), OTHER) == "it is revoked"  # its certificate never came
    assert why(judge(joined(OWN), joined(OTHER), left), OTHER) == "it has left this mesh"


def test_a_key_that_only_a_revoked_admin_has_let_in_may_not_speak() -> None:
    admin = first_facts(MESH.mesh, NEW_ADMIN, node_id(NEW_ADMIN), "home", 2)
    known = [joined(OWN), *admin, revoked(NEW_ADMIN, MESH.mesh)]

    assert why(judge(*known, joined(OTHER, NEW_ADMIN)), OTHER, NEW_ADMIN) != ""
    assert why(judge(*known), OTHER, NEW_ADMIN) == UNKNOWN
    assert why(judge(*known), NEW_ADMIN, NEW_ADMIN) == "it is revoked"


def test_a_key_of_which_no_fact_came_yet_may_speak_if_an_admin_signed_its_certificate() -> None:
    asked = judge(joined(OWN))

    assert why(asked, OTHER) == ""
    assert why(asked, OTHER, by=NEW_ADMIN) == UNKNOWN


def test_an_admin_that_the_recovery_code_just_made_may_speak() -> None:
    assert why(judge(joined(OWN)), NEW_ADMIN, by=NEW_ADMIN) == ""


def test_a_node_that_has_no_facts_about_itself_yet_speaks_to_all_that_are_not_revoked() -> None:
    asked = judge(revoked(OTHER, MESH.admin))

    assert why(asked, NEW_ADMIN, by=UNHEARD) == ""
    assert why(asked, OTHER) == "it is revoked"


def test_so_does_an_admin_by_the_recovery_code_that_knows_no_other_member_yet() -> None:
    known = first_facts(MESH.mesh, OWN, node_id(OWN), "home", 1)

    assert why(KeyJudge(MESH.mesh.public, OWN.public, lambda: known), OTHER) == ""


def test_facts_that_come_later_count_at_once() -> None:
    known = [*founded(), joined(OWN)]
    asked = KeyJudge(MESH.mesh.public, OWN.public, lambda: known)
    assert why(asked, OTHER, by=NEW_ADMIN) == UNKNOWN

    known.append(joined(OTHER))
    assert why(asked, OTHER, by=NEW_ADMIN) == ""
    known.append(revoked(OTHER, MESH.admin))
    assert why(asked, OTHER, by=NEW_ADMIN) == asked.may_greet(OTHER.public, "") == "it is revoked"


def test_a_node_says_that_it_was_taken_out_and_again_if_it_was_in_the_mesh_meanwhile() -> None:
    mesh = MESH.mesh
    other_admin = Certificate(mesh.public, mesh.public, 5, b"", NEW_ADMIN.public, node_id(NEW_ADMIN), True, "")
    known, said, names = [*founded(), joined(OWN), other_admin.signed(mesh)], list[str](), list[str]()
    own = OwnMembership(KeyJudge(mesh.public, OWN.public, lambda: known), node_id(OWN), said.append, names.append)

    counts = []
    for fact in (revoked(OWN, NEW_ADMIN), joined(OTHER), revoked(NEW_ADMIN, mesh), revoked(OWN, MESH.admin)):
        known.append(fact)
        own.check()
        counts.append(len(said))

    assert counts == [1, 1, 1, 2]
    assert names == ["home"] * 4
