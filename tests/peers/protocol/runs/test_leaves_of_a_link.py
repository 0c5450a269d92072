"""What links do with epochs of a key that has left: all that its leave names comes, from whoever has it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import pytest

from peers.codec.run_messages import Greeting, Heads, Pieces, ShowWay
from peers.events.epoch import key_mark
from peers.protocol.runs.fork_search import MAX_LED
from tests.support.disk_of_key import DiskOfKey, disk_of_dora
from tests.support.mesh_of_keys import MeshOfKeys, key
from tests.support.replication.home import Home, Session
from tests.support.replication.mesh_stage import learn, settle, stage_of
from tests.support.replication.small import LIMITS, small
from tests.support.replication.small_stories import SmallStage
from tests.support.run_house import event, pieces_for, shown_by, types

END = 13
NODE = f"~{key_mark(key('dora').public)}"


@pytest.fixture(autouse=True)
def runs_of_five() -> Iterator[None]:
    with small():
        yield


disk = partial(disk_of_dora, node=NODE)


def give(home: Home, disk: DiskOfKey, upto: int = 10**9) -> None:
    for _ in range(2):
        pieces = [piece for piece in pieces_for(disk.store, {}) if piece.last <= upto]
        home.write(lambda store, pieces=pieces: [store.take(pieces)])
        while home.mailbox.is_busy:
            home.mailbox.step()


def begin(stage: SmallStage, mesh: MeshOfKeys, *homes: Home) -> None:
    facts = [mesh.found(), mesh.admin("anna"), *[mesh.node(name, by="anna") for name in ("dora", "emil", "fred")]]
    for home in homes:
        learn(home, *facts)
        stage.quiet()


def anna_with_all_of_dora() -> tuple[SmallStage, Home, Home, DiskOfKey, Sequence[tuple[Home, Home, Any]]]:
    """Dora wrote three epochs and left; emil is a newcomer; and what is said."""
    mesh = MeshOfKeys()
    stage, (anna, _, emil), said = stage_of(mesh, 3)
    begin(stage, mesh, anna)
    dora = disk(12, 7, END)
    give(anna, dora)
    learn(anna, mesh.leave("dora", (dora.tip(2, END),)))
    return stage, anna, emil, dora, said


def test_a_newcomer_gets_all_epochs_of_a_node_that_left_over_one_link_and_each_entry_once() -> None:
    stage, anna, emil, dora, said = anna_with_all_of_dora()

    stage.meet(anna, emil)

    assert dora.counting_in(emil.store) == [12, 7, END]
    assert anna.store.ends() == emil.store.ends()
    ways = [message for _, _, message in said if isinstance(message, ShowWay)]
    assert ways
    sent = [len(piece.items) for _, _, message in said if isinstance(message, Pieces) for piece in message.pieces]
    assert sum(sent) <= 12 + 7 + END + 10


def test_who_had_a_part_of_many_epochs_when_its_leave_came_is_told_few_births_twice() -> None:
    mesh = MeshOfKeys()
    stage, (anna, _, emil), said = stage_of(mesh, 3)
    begin(stage, mesh, anna, emil)
    dora = disk(*[2] * 20)
    give(emil, disk(*[2] * 10))
    learn(anna, mesh.leave("dora", (dora.tip(19, 2),)))
    give(anna, dora)

    stage.connect(anna, emil)
    stage.quiet()

    assert dora.counting_in(emil.store) == [2] * 20
    births = [birth for _, _, message in said if isinstance(message, ShowWay) for birth in message.births]
    assert len(births) <= 20 * 10 / LIMITS["MAX_HAVE"], (
        "each of them once for each message that says which epochs do not count"
    )


def test_births_go_with_the_next_way_where_the_way_of_one_epoch_was_shown_too_often() -> None:
    stage, anna, emil, dora, said = anna_with_all_of_dora()
    asks = [Heads(dora.epochs[0], 1, ())] * MAX_LED
    emil.twist = lambda _, message: [message, *asks] if isinstance(message, Greeting) else [message]

    stage.meet(anna, emil)

    births = {birth for _, _, message in said if isinstance(message, ShowWay) for birth in message.births}
    assert births >= {birth.encode() for epoch in dora.epochs[1:] if (birth := dora.store.birth(epoch)) is not None}


def test_a_newcomer_gets_them_from_a_release_that_shows_no_way() -> None:
    stage, anna, emil, dora, _ = anna_with_all_of_dora()
    anna.twist = _without_ways

    for _ in range(3):
        stage.meet(anna, emil)

    assert dora.counting_in(emil.store) == [12, 7, END]
    assert anna.store.ends() == emil.store.ends()


def _without_ways(session: Session, message: Any) -> list[Any]:
    return [] if isinstance(message, ShowWay) else [message]


@pytest.mark.parametrize("held", [0, 3, 5, 8, 10])
@pytest.mark.parametrize("shows_ways", [True, False])
def test_who_is_connected_and_has_a_part_when_the_leave_comes_gets_the_rest(held: int, shows_ways: bool) -> None:
    mesh = MeshOfKeys()
    stage, (anna, _, emil), _ = stage_of(mesh, 3)
    if not shows_ways:
        anna.twist = _without_ways
    begin(stage, mesh, anna, emil)
    dora = disk(END)
    give(emil, disk(held) if held else disk())
    wire = stage.connect(anna, emil)
    stage.quiet()

    learn(emil, mesh.leave("dora", (dora.tip(0, END),)))
    give(anna, dora)
    stage.quiet()

    assert wire.is_up
    assert dora.counting_in(anna.store) == dora.counting_in(emil.store) == [END]
    assert anna.store.ends() == emil.store.ends()


@pytest.mark.parametrize(("seed", "steps"), [(23, 12), (56, 12), (56, 20), (1, 0), (2, 30)])
def test_what_was_read_for_an_end_before_it_takes_an_epoch_anew_is_read_again(seed: int, steps: int) -> None:
    mesh = MeshOfKeys()
    stage, (anna, _, emil), _ = stage_of(mesh, 3)
    begin(stage, mesh, anna, emil)
    dora = disk(40)
    give(emil, dora)
    stage.rnd.seed(seed)
    wire = stage.connect(anna, emil)
    for _ in range(steps):
        stage.step()

    learn(emil, mesh.leave("dora", (dora.tip(0, 40),)))
    stage.quiet()

    assert wire.is_up
    assert dora.counting_in(anna.store) == [40]


@pytest.mark.parametrize(("order", "forged"), [*zip(permutations(range(3)), [8, END, END + 2] * 2, strict=True)])
def test_logs_end_with_what_the_leave_names_in_whatever_order_all_comes(order: Sequence[int], forged: int) -> None:
    mesh = MeshOfKeys()
    stage, (anna, _, emil, fred), _ = stage_of(mesh, 4)
    begin(stage, mesh, anna, emil, fred)
    dora, other = disk(7, END + 2), disk(7, forged, what=" forged")
    give(anna, dora)
    give(emil, other)
    steps = [
        lambda: stage.meet(fred, anna),
        lambda: stage.meet(fred, emil),
        lambda: learn(fred, mesh.leave("dora", (dora.tip(1, END),))),
    ]

    for at in order:
        steps[at]()
    settle(stage, anna, emil, fred)

    assert [home.troubles for home in (anna, emil, fred)] == [[]] * 3
    assert [dora.counting_in(home.store) for home in (anna, emil, fred)] == [[7, END]] * 3
    assert anna.store.ends() == emil.store.ends() == fred.store.ends()
    assert shown_by(anna.store) == shown_by(emil.store) == shown_by(fred.store)
    assert {f"1.{seq}" for seq in range(1, END + 1)} <= set(types(fred.store.each()))


@pytest.mark.parametrize("order", list(permutations(range(4)))[::4])
def test_where_two_copies_of_a_home_leave_all_that_was_shown_stays_on_every_node(order: Sequence[int]) -> None:
    mesh = MeshOfKeys()
    stage, (anna, _, emil, fred), _ = stage_of(mesh, 4)
    begin(stage, mesh, anna, emil, fred)
    dora, copy = disk(END), disk(7)
    copy.write(event(1_000, "of the copy", node=NODE), is_new_epoch=True)
    give(anna, dora)
    give(emil, copy)
    shown = shown_by(anna.store) | shown_by(emil.store)
    steps = [
        lambda: stage.meet(fred, anna),
        lambda: stage.meet(fred, emil),
        lambda: learn(anna, mesh.leave("dora", (dora.tip(0, END),))),
        lambda: learn(emil, mesh.leave("dora", (copy.tip(1, 1),))),
    ]

    for at in order:
        steps[at]()
    settle(stage, anna, emil, fred)

    assert [home.troubles for home in (anna, emil, fred)] == [[]] * 3
    assert [shown_by(home.store) for home in (anna, emil, fred)] == [shown] * 3
    assert anna.store.ends() == emil.store.ends() == fred.store.ends()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_nobody_can_prove_is_vouched_for_as_far_as_it_was_here_and_what_is_written_later_is_not_taken(
    order: Sequence[int],
) -> None:
    mesh = MeshOfKeys()
    stage, (anna, _, emil, fred), _ = stage_of(mesh, 4)
    begin(stage, mesh, anna, emil, fred)
    whole, short = disk(END + 5), disk(7)
    give(anna, disk(10))
    give(emil, short)
    steps = [
        lambda: stage.meet(fred, anna),
        lambda: stage.meet(fred, emil),
        lambda: learn(fred, mesh.leave("dora", (whole.tip(0, END)._replace(head=bytes(32)),))),
    ]

    for at in order:
        steps[at]()
    settle(stage, anna, emil, fred)
    give(emil, whole)
    settle(stage, anna, emil, fred)

    assert [home.troubles for home in (anna, emil, fred)] == [[]] * 3
    assert [whole.counting_in(home.store) for home in (anna, emil, fred)] == [[0]] * 3
    assert anna.store.ends() == emil.store.ends() == fred.store.ends()
    assert shown_by(anna.store) == shown_by(emil.store) == shown_by(fred.store)
    assert sorted(types(fred.store.each())) == sorted(f"0.{seq}" for seq in range(1, 11))
