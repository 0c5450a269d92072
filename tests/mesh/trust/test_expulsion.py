"""What a node says when it is not in its mesh any more."""

from __future__ import annotations

import pytest

from mesh.trust.expulsion import why_out
from peers.facts.fact import Fact
from peers.facts.roster import Roster
from tests.support.mesh_of_keys import MeshOfKeys, key, node_id

MESH = MeshOfKeys()


@pytest.mark.parametrize(
    ("facts", "how"),
    [
        ([MESH.revoke("dora", by="anna")], f"(revoked by {node_id('anna')})"),
        ([MESH.revoke("dora", by="anna"), MESH.revoke("dora", by="bert")], f"(revoked by {node_id('anna')})"),
        ([MESH.leave("dora")], "(it left)"),
        ([MESH.revoke_admin("bert"), MESH.node("emil", by="bert")], ""),
    ],
)
def test_a_node_says_who_took_it_out(facts: list[Fact], how: str) -> None:
    begin = [MESH.found(), MESH.admin("anna"), MESH.admin("bert"), MESH.node("dora", by="anna")]

    why = why_out(Roster(MESH.public, [*begin, *facts]), key("dora").public)

    assert how in why
    assert bool(why) == bool(how)


def test_an_admin_that_the_recovery_code_took_out_and_a_node_that_only_such_a_one_let_in_say_so() -> None:
    facts = [MESH.found(), MESH.admin("bert"), MESH.node("emil", by="bert"), MESH.revoke_admin("bert")]
    roster = Roster(MESH.public, facts)

    assert "(revoked by the recovery code of the mesh)" in why_out(roster, key("bert").public)
    assert "(only a revoked admin let it in)" in why_out(roster, key("emil").public)
    assert why_out(roster, key("stranger").public) == ""
