"""What is in an archive of a store, and what another store takes of it."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import HealthCheck, given, settings

from peers.codec.pieces import encode_piece
from peers.codec.run_messages import Decline, Facts, ShowWay
from peers.codec.runs import RunProtocol
from peers.events.entry import Entry, encode_event
from peers.events.epoch import BIRTH_BYTES, NO_HEAD
from peers.events.proof import Way
from peers.events.run import RUN_BYTES, RUN_ENTRIES
from peers.protocol.runs.archiving import ArchivedFrames, TakenArchive, frames_of
from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from tests.support.disk_of_key import DiskOfKey, enter, learn
from tests.support.mesh_of_keys import MeshOfKeys
from tests.support.replication.small import small
from tests.support.run_histories import History, Step, histories
from tests.support.run_house import ALL, Writer, event, fresh, piece_of, pieces_for, put, shown_by, take


def restored(source: RunStore, *, together: int = 3) -> tuple[MemoryRunStore, TakenArchive]:
    """A new store that took an archive, and what became of its last records."""
    target, taken = MemoryRunStore(), TakenArchive()
    target.open()
    frames = [frame for frame, _ in frames_of(source)]
    for start in range(0, len(frames), together):
        archived = ArchivedFrames(frames[start : start + together])
        with target.transaction():
            archived.work(target)
        taken = archived.outcome()
        assert not taken.bad
    return target, taken


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories)
def test_an_archive_has_all_that_counts_of_any_history(steps: list[Step]) -> None:
    history = History(MemoryRunStore, deepcopy)
    history.play(steps)
    for node in history.nodes:
        store = node.store

        target, _ = restored(store)

        orphans = {each.created for each in store.orphans()}
        shown = shown_by(target)
        assert target.ends() == {epoch: end for epoch, end in store.ends().items() if end.seq or end.mark}
        assert {
            created: body for created, body in shown_by(store).items() if created not in orphans
        }.items() <= shown.items()


@pytest.mark.parametrize("tip_seq", [13, 99])
@pytest.mark.parametrize("has_ways", [True, False])
def test_what_a_node_wrote_that_left_is_taken_at_once_or_from_an_earlier_release_when_it_came_twice(
    tip_seq: int, has_ways: bool
) -> None:
    mesh, dora = MeshOfKeys(), DiskOfKey("dora")
    with small():  # runs of five entries
        for at, length in enumerate((12, 3, 13)):
            dora.write(*[event(100 * at + seq) for seq in range(length)], is_new_epoch=True)
    source, target = MemoryRunStore(), MemoryRunStore()
    for store in (source, target):
        enter(store, mesh)
    facts = mesh.found(), mesh.admin("anna"), mesh.node("dora", by="anna")
    learn(source, *facts, mesh.leave("dora", (dora.tip(2, 13)._replace(seq=tip_seq),)))
    for _ in range(3):
        take(source, *pieces_for(dora.store, {}))
    assert dora.counting_in(source) == [12, 3, 13 if tip_seq == 13 else 0]

    frames = [frame for frame, _ in frames_of(source)]
    before = [frame for frame in frames if RunProtocol().decode(frame) != Facts(())]
    assert len(frames) - len(before) == (3 if tip_seq == 13 else 2), (
        "an earlier release reads ways as lists of no facts"
    )

    left = 1
    for _ in range(1 if has_ways else 2):
        archived = ArchivedFrames(frames if has_ways else before)
        with target.transaction():
            archived.work(target)
        left = sum(archived.outcome().left.values())

    assert left == 0
    assert target.ends() == source.ends()


def test_it_may_be_taken_again_and_in_parts() -> None:
    source, _ = fresh(Writer(1), *[event(ms) for ms in range(1, 1_200)])
    target, first = restored(source, together=1)

    archived = ArchivedFrames([frame for frame, _ in frames_of(source)])
    with target.transaction():
        archived.work(target)

    assert first.new > 0
    assert archived.outcome() == TakenArchive(entries=1_199)
    assert target.each(limit=ALL) == source.each(limit=ALL)


def test_events_for_which_a_piece_has_no_room_are_in_it_too() -> None:
    names = ["\N{GRINNING FACE}" * 196 + f"{number:03}" for number in range(RUN_ENTRIES)]
    body = encode_event({"type": "a", "x": "x" * (RUN_BYTES // RUN_ENTRIES - 40)})
    source, epoch = fresh(Writer(1), *[Entry((ms, name, 0), ms, body) for ms, name in enumerate(names, 1)])
    with pytest.raises(ValueError, match="a piece of"):
        encode_piece(piece_of(source, epoch))

    target, _ = restored(source)

    assert shown_by(target) == shown_by(source)
    assert target.state.hollow == 0


def test_two_histories_of_one_epoch_are_proven_as_over_a_link() -> None:
    writers = [Writer(9), Writer(9)]  # of one key, whose home was copied
    (left, epoch), (right, _) = [fresh(writer, event(1)) for writer in writers]
    put(left, writers[0], event(2, "left"))
    put(right, writers[1], event(2, "right"))
    archived = ArchivedFrames([frame for frame, _ in frames_of(right)])

    with left.transaction():
        takens = archived.work(left)

    assert [taken.proven for taken in takens if taken.proven] == [(epoch,)]
    assert archived.outcome() == TakenArchive(entries=2, left={"mismatch": 2})
    assert left.proof(epoch) is not None


def test_a_frame_that_does_not_belong_into_an_archive_is_an_error_with_a_sentence() -> None:
    encode = RunProtocol().encode
    way = ShowWay(Way.of("ab" * 16, 1, NO_HEAD, [(1, bytes(32))]), (b"\xff" * BIRTH_BYTES + b"\xff",))
    for frame in (b"nonsense", b'["dance"]', encode(Decline(())), encode(way)):
        with pytest.raises(ValueError, match="take another copy of"):
            ArchivedFrames([frame])
