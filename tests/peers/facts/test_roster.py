"""What holds follows from the set of facts alone: in any order, over any exchange."""

from __future__ import annotations

from itertools import pairwise, permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.facts import fact_set
from peers.facts.fact import Certificate, Fact, Leave, Revocation, Tip
from peers.facts.fact_set import MAX_LEAVES, FactSet
from peers.facts.roster import Roster
from tests.support.mesh_of_keys import MeshOfKeys, key, node_id

ADMINS, NODES = ("anna", "bert", "carl"), ("dora", "emil", "fred", "gina")
NAMES = (*ADMINS, *NODES)


def set_of(mesh: MeshOfKeys, *facts: Fact) -> FactSet:
    made = FactSet(mesh.public)
    for fact in facts:
        made.add(fact)
    return made


def roster(facts: FactSet) -> Roster:
    return Roster(facts.mesh, facts)


def members(facts: FactSet) -> list[str]:
    return sorted(node.partition("~")[0] for node in roster(facts).members.values())


def states(facts: FactSet) -> dict[str, str]:
    return {row.node_id.partition("~")[0]: row.state for row in roster(facts).rows.values()}


def tips(numbers: list[int]) -> tuple[Tip, ...]:
    return tuple(
        Tip(f"{number % 3:032x}", number + 1, bytes([number]) * 32) for number in sorted({n % 3 for n in numbers})
    )


@st.composite
def stories(draw: st.DrawFn) -> tuple[MeshOfKeys, list[Fact]]:
    """What admins, nodes, thieves of their keys and the mesh's key may sign, in the order of their times."""
    mesh = MeshOfKeys()
    facts: list[Fact] = [mesh.found()]
    for _ in range(draw(st.integers(1, 14))):
        who, by = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
        cut = tips(draw(st.lists(st.integers(0, 9), max_size=3)))
        match draw(st.integers(0, 5)):
            case 0:
                facts.append(mesh.admin(who))
            case 1 | 2:
                facts.append(mesh.node(who, by=by))
            case 3:
                facts.append(mesh.revoke(who, by=by, cut=cut))
            case 4:
                standing = draw(st.lists(st.sampled_from(facts), max_size=3, unique=True))
                facts.append(mesh.revoke_admin(who, *(fact.id for fact in standing), cut=cut))
            case _ if sum(isinstance(fact, Leave) for fact in facts) < MAX_LEAVES:
                facts.append(mesh.leave(who, cut))
    return mesh, facts


def exchange(one: FactSet, other: FactSet) -> None:
    """Each gets what it lacks, in the order of the other's set."""
    theirs, ours = list(other), list(one)
    for fact in theirs:
        one.add(fact)
    for fact in ours:
        other.add(fact)


@given(stories(), st.randoms(use_true_random=False))
def test_in_whatever_order_facts_come_the_same_holds(story: tuple[MeshOfKeys, list[Fact]], random: Random) -> None:
    mesh, facts = story
    once = set_of(mesh, *facts)
    shuffled = random.sample(facts, len(facts))

    again = set_of(mesh, *shuffled, *shuffled)

    assert again.end == once.end
    assert (roster(again).rows, roster(again).void) == (roster(once).rows, roster(once).void)


@settings(deadline=None)
@given(stories(), st.lists(st.integers(0, 15), max_size=40), st.randoms(use_true_random=False))
def test_nodes_that_got_parts_and_exchange_them_in_any_way_end_with_the_same_members(
    story: tuple[MeshOfKeys, list[Fact]], places: list[int], random: Random
) -> None:
    mesh, facts = story
    whole = set_of(mesh, *facts)
    nodes = [FactSet(mesh.public) for _ in range(4)]
    for fact in whole:  # each fact begins at a node that has what its signer needs, as where it was made
        first = random.choice([node for node in nodes if node.add(fact)] or nodes)
        exchange(first, random.choice(nodes))
    for place in places:
        exchange(nodes[place % 4], nodes[place // 4])
    for _ in nodes:  # then a line of links, until all has gone through it
        for one, other in pairwise(nodes):
            exchange(one, other)

    assert [node.end for node in nodes] == [whole.end] * 4
    assert [roster(node).rows for node in nodes] == [roster(whole).rows] * 4


@given(stories())
def test_every_set_can_be_sent_in_its_own_order_and_nothing_has_to_wait(
    story: tuple[MeshOfKeys, list[Fact]],
) -> None:
    mesh, facts = story
    first = set_of(mesh, *facts)

    other = FactSet(mesh.public)
    for fact in first:
        assert other.add(fact) == [fact]


@given(stories(), st.data())
def test_a_revoked_key_never_comes_back_by_a_certificate(
    story: tuple[MeshOfKeys, list[Fact]], data: st.DataObject
) -> None:
    mesh, facts = story
    before = set_of(mesh, *facts)
    gone = {public for public, row in roster(before).rows.items() if row.state in ("revoked", "left")}
    by = data.draw(st.sampled_from(ADMINS))
    who = data.draw(st.sampled_from(NAMES))

    before.add(mesh.node(who, by=by))

    assert not gone & roster(before).members.keys()


def the_case() -> tuple[MeshOfKeys, list[Fact]]:
    """A revoked admin who minted a node and revoked three; its revocation lets one certificate and one revocation stand."""
    mesh = MeshOfKeys()
    begin: list[Fact] = [mesh.found(), mesh.admin("anna"), mesh.admin("bert")]
    begin += [mesh.node(name, by="anna") for name in ("dora", "emil", "fred")]
    early = mesh.node("gina", by="bert")
    minted = mesh.node("hugo", by="bert")
    revoked = [mesh.revoke(name, by="bert") for name in ("dora", "emil", "fred")]
    end = mesh.revoke_admin("bert", early.id, revoked[2].id)
    return mesh, [*begin, early, minted, *revoked, end]


def test_a_revoked_admin_who_minted_a_node_and_revoked_three_leaves_what_its_revocation_lists() -> None:
    mesh, facts = the_case()

    made = set_of(mesh, *facts)

    assert members(made) == ["anna", "dora", "emil", "gina"]
    assert states(made) == {
        **dict.fromkeys(("anna", "dora", "emil", "gina"), "member"),
        "bert": "revoked",
        "fred": "revoked",
        "hugo": "void",
    }
    void = [fact for fact in facts if fact.id in roster(made).void]
    assert [fact.kind for fact in void] == ["certificate", "revoke", "revoke"]
    assert set(roster(made).void.values()) == {f"{node_id('bert')}, which signed it, is revoked"}


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_the_case_in_six_orders_of_arrival_has_the_same_members(order: tuple[int, int, int]) -> None:
    mesh, facts = the_case()
    parts = [facts[:3], facts[3:-1], facts[-1:]]  # who is who; what the admins signed; the end of one of them

    made = set_of(mesh, *(fact for part in order for fact in reversed(parts[part])))

    assert members(made) == ["anna", "dora", "emil", "gina"]
    assert made.end == set_of(mesh, *facts).end


def test_an_admin_cannot_revoke_an_admin_and_the_mesh_key_revokes_no_node() -> None:
    mesh = MeshOfKeys()
    made = set_of(
        mesh,
        mesh.found(),
        mesh.admin("anna"),
        mesh.admin("bert"),
        mesh.node("dora", by="anna"),
        mesh.revoke("anna", by="bert"),
        mesh.revoke_admin("dora"),
    )

    assert members(made) == ["anna", "bert", "dora"]
    assert sorted(roster(made).void.values()) == [
        "only the mesh's key revokes an admin",
        "the mesh's key revokes admins only",
    ]
    assert [row.node_id for row in roster(made).rows.values() if row.is_admin] == [node_id("anna"), node_id("bert")]


def test_an_admin_cannot_give_another_admin_another_name() -> None:
    mesh = MeshOfKeys()
    anna = key("anna").public
    first, admins = mesh.found(), [mesh.admin("anna"), mesh.admin("bert")]
    other_name = node_id("anna").replace("anna", "eve")
    lie = Certificate(mesh.public, key("bert").public, 0, b"", anna, other_name, False, "").signed(key("bert"))

    made = roster(set_of(mesh, first, *admins, lie))

    assert made.members[anna] == made.id_of(anna) == node_id("anna")


def test_a_node_that_leaves_is_no_member_and_its_cut_gives_way_to_that_of_a_revocation() -> None:
    mesh = MeshOfKeys()
    high, low = Tip("ab" * 16, 900, b"h" * 32), Tip("ab" * 16, 7, b"l" * 32)
    made = set_of(mesh, mesh.found(), mesh.admin("anna"), mesh.node("dora", by="anna"), mesh.leave("dora", (high,)))
    dora = key("dora").public

    assert (states(made)["dora"], roster(made).rows[dora].cut) == ("left", (high,))

    made.add(mesh.revoke("dora", by="anna", cut=(low,)))

    assert (states(made)["dora"], roster(made).rows[dora].cut) == ("revoked", (low,))


def test_of_several_revocations_the_highest_cut_of_each_epoch_counts() -> None:
    mesh = MeshOfKeys()
    one, other = Tip("ab" * 16, 7, b"l" * 32), Tip("cd" * 16, 2, b"l" * 32)
    higher = Tip("ab" * 16, 9, b"a" * 32)
    made = set_of(mesh, mesh.found(), mesh.admin("anna"), mesh.admin("bert"), mesh.node("dora", by="anna"))
    made.add(mesh.revoke("dora", by="anna", cut=(one, other)))
    made.add(mesh.revoke("dora", by="bert", cut=(higher,)))

    assert roster(made).rows[key("dora").public].cut == (higher, other)


def test_a_fact_of_another_mesh_is_refused() -> None:
    with pytest.raises(ValueError, match="another mesh"):
        FactSet(MeshOfKeys().public).add(MeshOfKeys("other").found())


def test_facts_of_keys_that_are_not_in_the_mesh_wait_and_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_set, "MAX_WAITING_FACTS", 5)
    mesh = MeshOfKeys()
    made = set_of(mesh, mesh.found(), *(mesh.node(f"n{number}", by="eve") for number in range(20)))

    assert len(made) == 1

    made.add(mesh.admin("eve"))  # the mesh's key says that it is one after all

    assert len(made) == 1 + 5 + 1


def test_the_certificates_of_one_signer_are_bounded_and_leave_room_for_revocations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fact_set, "MAX_FACTS_OF_SIGNER", 3)
    mesh = MeshOfKeys()
    made = set_of(mesh, mesh.found(), mesh.admin("anna"), *(mesh.node(name, by="anna") for name in NODES[:3]))

    with pytest.raises(ValueError, match="a signer that has 3 of the kind certificate"):
        made.add(mesh.node("gina", by="anna"))
    made.add(mesh.revoke("dora", by="anna"))
    assert "dora" not in members(made)
    assert (
        sum(isinstance(fact, Certificate) for fact in made),
        sum(isinstance(fact, Revocation) for fact in made),
    ) == (4, 1)


def test_the_facts_of_a_mesh_are_bounded_and_leave_room_for_revocations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_set, "MAX_FACTS_IN_SET", 2)
    mesh = MeshOfKeys()
    made = set_of(mesh, mesh.found(), mesh.admin("anna"), mesh.node("dora", by="anna"), mesh.node("emil", by="anna"))

    with pytest.raises(ValueError, match="beyond the 2 of the kind certificate"):
        made.add(mesh.node("fred", by="anna"))
    assert made.add(mesh.revoke("emil", by="anna"))
    assert made.add(mesh.leave("dora")) and made.add(mesh.leave("emil"))
    with pytest.raises(ValueError, match="beyond the 2 of the kind leave"):
        made.add(mesh.leave("anna"))
    assert made.add(mesh.revoke("dora", by="anna"))
    with pytest.raises(ValueError, match="beyond the 2 of the kind revoke"):
        made.add(mesh.revoke("fred", by="anna"))
    assert made.add(mesh.admin("bert")) and made.add(mesh.revoke_admin("anna"))  # the mesh's key always has room


def test_a_key_may_leave_only_a_few_times() -> None:
    mesh = MeshOfKeys()
    made = set_of(mesh, mesh.found(), mesh.admin("anna"), *(mesh.leave("anna") for _ in range(fact_set.MAX_LEAVES)))

    with pytest.raises(ValueError, match="8 of the kind leave"):
        made.add(mesh.leave("anna"))
    assert members(made) == []
