"""How the facts of a mesh go over links, message by message, between homes with real stores."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from peers.codec import run_messages
from peers.codec.run_messages import MAX_FACTS, Facts, Greeting, Pieces
from peers.facts.fact import Fact
from peers.facts.roster import Roster
from peers.protocol.runs import fact_exchange
from peers.stores.taken import Taken
from tests.support.mesh_of_keys import MeshOfKeys
from tests.support.replication.home import Home
from tests.support.replication.mesh_stage import enter, learn, stage_of

MESH = MeshOfKeys()


def facts_of(said: Iterable[tuple[Home, Home, Any]], sender: Home, receiver: Home) -> list[Facts]:
    return [each for one, other, each in said if (one, other) == (sender, receiver) and isinstance(each, Facts)]


def kinds(home: Home) -> list[str]:
    return [fact.kind for fact in home.store.facts()]


def begin() -> list[Fact]:
    return [MESH.found(), MESH.admin("anna"), MESH.node("dora", by="anna")]


def test_facts_go_before_any_event_and_each_end_gets_what_it_lacks() -> None:
    stage, (one, other), said = stage_of(MESH, 2)
    common = begin()
    learn(one, *common, MESH.node("emil", by="anna"))
    learn(other, *common, MESH.revoke("fred", by="anna"))
    stage.write(one, 3)
    stage.write(other, 2)

    stage.meet(one, other)

    assert one.store.mesh_end() == other.store.mesh_end()
    assert sorted(kinds(one)) == ["certificate"] * 3 + ["found", "revoke"]
    for sender, receiver in (one, other), (other, one):
        ids, lacked = facts_of(said, sender, receiver)
        assert (len(ids.ids), ids.is_last, len(lacked.facts)) == (4, True, 1)
        types = [type(each) for home, _, each in said if home is sender]
        assert types.index(Pieces) > max(at for at, kind in enumerate(types) if kind is Facts)


def test_two_ends_with_the_same_facts_say_nothing_of_them() -> None:
    stage, (one, other), said = stage_of(MESH, 2)
    common = begin()
    learn(one, *common)
    learn(other, *reversed(common))
    stage.write(one, 1)

    stage.meet(one, other)

    assert not facts_of(said, one, other) + facts_of(said, other, one)
    assert len(other.store.each()) == 1


def test_a_new_fact_goes_on_at_once_to_all_but_the_end_that_sent_it() -> None:
    stage, (one, other, third), said = stage_of(MESH, 3)
    stage.connect(one, other)
    stage.connect(other, third)
    stage.quiet()
    said.clear()

    learn(one, *begin())
    stage.quiet()

    assert kinds(third) == ["found", "certificate", "certificate"]
    assert [len(each.facts) for each in facts_of(said, other, third)] == [3]
    assert not facts_of(said, other, one) + facts_of(said, third, other)


def test_a_fact_that_came_between_two_greetings_is_not_forgotten() -> None:
    stage, (one, other), _ = stage_of(MESH, 2)
    stage.connect(one, other)
    learn(one, *begin())  # its greeting is on its way

    stage.quiet()

    assert kinds(other) == ["found", "certificate", "certificate"]


def test_a_fact_of_a_commit_after_the_log_was_read_for_a_greeting_is_not_forgotten() -> None:
    stage, (one, other), _ = stage_of(MESH, 2)
    learn(one, *begin())
    fact = MESH.node("emil", by="anna")
    wire = stage.connect(one, other)
    wire.ends[0].replication.committed(Taken(facts=(fact,)))  # heard before the answer of that read

    stage.quiet()

    assert kinds(other) == ["found", "certificate", "certificate", "certificate"]


@pytest.mark.parametrize("without", [(0,), (1,), (0, 1)])
def test_an_end_without_a_mesh_gets_no_facts_and_all_events(without: tuple[int, ...]) -> None:
    stage, (one, other), said = stage_of(MESH, 2, without=without)
    learn(one, *begin())
    stage.write(one, 2)
    stage.write(other, 2)

    stage.meet(one, other)

    assert not facts_of(said, one, other) + facts_of(said, other, one)
    assert kinds(other) == []
    assert len(one.store.each()) == len(other.store.each()) == 4


def test_ends_of_two_meshes_exchange_no_facts() -> None:
    stage, (one, other), said = stage_of(MESH, 2, without=(1,))
    another = MeshOfKeys("other")
    enter(other, another)
    learn(one, *begin())
    learn(other, another.found())

    stage.meet(one, other)

    assert not facts_of(said, one, other) + facts_of(said, other, one)
    assert (len(kinds(one)), kinds(other)) == (3, ["found"])


def test_many_facts_go_in_messages_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_messages, "FACTS_BYTES", 2_000)
    monkeypatch.setattr(fact_exchange, "MAX_FACTS", 10)
    stage, (one, other), said = stage_of(MESH, 2)
    learn(one, *begin(), *(MESH.node(f"n{number}", by="anna") for number in range(30)))

    stage.meet(one, other)

    assert len(kinds(other)) == 33
    sent = facts_of(said, one, other)
    assert [(len(each.ids), each.is_last) for each in sent if each.ids] == [(10, False)] * 3 + [(3, True)]
    assert max(sum(map(len, each.facts)) for each in sent) <= 2_000
    assert MAX_FACTS >= 1_000


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"x", "no fact that this release knows"),
        (b"x" * 2_000, "a fact of 2000 bytes: at most 1024"),
        (replace(MESH.found(), signature=b"s" * 64).data, "not signed by the key that it names"),
    ],
)
def test_a_fact_that_does_not_hold_ends_the_link_with_a_sentence_and_nothing_of_its_message_is_kept(
    data: bytes, sentence: str
) -> None:
    stage, (one, other), said = stage_of(MESH, 2)
    stage.connect(one, other)
    stage.quiet()

    other.sessions[0].send(Facts((MESH.found().data, data)))
    stage.quiet()

    assert not one.sessions
    assert "it sent a fact of the mesh that does not hold: " in one.troubles[0]
    assert sentence in one.troubles[0]
    assert kinds(one) == []
    assert said


def test_ids_that_an_end_names_without_end_are_not_kept() -> None:
    stage, (one, other), said = stage_of(MESH, 2)
    learn(one, *begin())
    other.twist = lambda _, message: [] if isinstance(message, Facts) and message.ids else [message]
    stage.connect(one, other)
    stage.quiet()

    for number in range(50):  # never the last one
        stage.homes[1].twist = None
        other.sessions[0].send(Facts((), tuple(bytes([number, at]) * 8 for at in range(100))))
        stage.quiet()

    assert one.sessions
    other.sessions[0].send(Facts((), (), is_last=True))
    stage.quiet()
    assert [len(each.facts) for each in facts_of(said, one, other) if each.facts] == [3]


def test_an_end_that_never_says_its_facts_gets_no_events_and_gives_its_own() -> None:
    stage, (one, other), _ = stage_of(MESH, 2)
    learn(one, *begin())
    stage.write(one, 1)
    stage.write(other, 2)
    other.twist = lambda _, message: [] if isinstance(message, Facts) else [message]

    stage.connect(one, other)
    stage.quiet()

    assert len(one.store.each()) == 3
    assert len(other.store.each()) == 2


def test_facts_are_kept_where_no_room_for_events_of_others_is_left() -> None:
    stage, (one, other), _ = stage_of(MESH, 2)
    learn(one, *begin())
    stage.write(one, 2)
    wire = stage.connect(one, other)
    has_room = [False]
    wire.ends[1].has_room = lambda: has_room[0]
    stage.quiet()

    learn(one, MESH.revoke("dora", by="anna"))
    stage.quiet()
    assert kinds(other) == ["found", "certificate", "certificate", "revoke"]
    assert not other.store.each()

    has_room[0] = True
    wire.ends[1].replication.on_room()
    stage.quiet()
    assert len(other.store.each()) == 2


def test_a_greeting_says_the_whole_key_of_the_mesh() -> None:
    stage, (one, other), said = stage_of(MESH, 2, without=(1,))
    stage.meet(one, other)

    greetings = {home: each for home, _, each in said if isinstance(each, Greeting)}
    assert greetings[one].facts == one.store.mesh_end()
    assert greetings[other].facts is None


NAMES = ("anna", "bert", "dora", "emil", "fred")


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["fact", "link", "break", "step"]), st.integers(0, 3), st.integers(0, 3)), max_size=40
    ),
    st.randoms(use_true_random=False),
)
def test_over_any_links_that_come_and_go_all_homes_end_with_the_same_facts(
    steps: list[tuple[str, int, int]], random: Any
) -> None:
    stage, homes, _ = stage_of(MESH, 4)
    mesh = MeshOfKeys()  # the same one, whose times begin anew
    learn(homes[0], mesh.found(), mesh.admin("anna"), mesh.admin("bert"))
    for what, at, to in steps:
        if what == "fact":
            name = random.choice(NAMES)
            fact = random.choice([mesh.node(name, by="anna"), mesh.revoke(name, by="bert"), mesh.revoke_admin("anna")])
            learn(homes[at], fact)
        elif what == "link" and at != to and not any(each.other.home is homes[to] for each in homes[at].sessions):
            stage.connect(homes[at], homes[to])
        elif what == "break" and homes[at].sessions:
            homes[at].sessions[0].end()
        else:
            for _ in range(to):
                stage.step()
    for home in homes:
        for session in list(home.sessions):
            session.end()
    for _ in homes:  # what waited for an admin that had not come goes again
        for one, other in pairwise(homes):
            stage.meet(one, other)

    assert len({home.store.mesh_end() for home in homes}) == 1
    assert len({tuple(Roster(mesh.public, home.store.facts()).members) for home in homes}) == 1
