"""What goes over one link, message by message, between homes with real stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from peers.codec.messages import Synced
from peers.codec.run_messages import Decline, Fill, Greeting, Pieces, Prove, RunConnect, RunHave, RunOptions, SayHollow
from peers.codec.runs import RunProtocol
from peers.events.entry import Entry
from peers.events.piece import Piece
from peers.protocol.runs.role import BadPeer
from peers.protocol.runs.taking import STEP_PIECES
from peers.stores.run_store import RunStore
from peers.stores.taken import Taken
from tests.support.replication.home import Home, Session
from tests.support.replication.kits import MemoryKit
from tests.support.replication.small import small
from tests.support.replication.small_stories import SmallStage, two_faces


class Heard:
    """Writes down all that homes say, in order."""

    def __init__(self, stage: SmallStage) -> None:
        self.said: list[tuple[Home, Home, Any]] = []
        for home in stage.homes:
            home.twist = self._note

    def _note(self, session: Session, message: Any) -> list[Any]:
        self.said.append((session.home, session.other.home, message))
        return [message]

    def of(self, kind: type, one: Home | None = None, other: Home | None = None) -> list[Any]:
        return [
            message
            for sender, receiver, message in self.said
            if isinstance(message, kind) and one in (None, sender) and other in (None, receiver)
        ]


@pytest.fixture(autouse=True)
def limits(request: pytest.FixtureRequest) -> Iterator[None]:
    if "real_limits" in request.fixturenames:
        yield
        return
    with small():
        yield


@pytest.fixture
def real_limits() -> None:
    """Runs of 500 entries, and so on."""


def stage_of(count: int) -> tuple[SmallStage, Heard, list[Home]]:
    stage = SmallStage(MemoryKit(), count)
    return stage, Heard(stage), stage.homes


def deliver(stage: SmallStage, until: Callable[[], object]) -> None:
    """Step until something is so."""
    while not until():
        assert stage.step(), "nothing moves any more"


def dots(pieces: list[Pieces]) -> list[tuple[str, int]]:
    return [(each.epoch, seq) for one in pieces for each in one.pieces for seq in range(each.start, each.last + 1)]


def test_where_a_walk_meets_a_run_the_whole_rest_of_it_goes(real_limits: None) -> None:
    """Five writers take turns: what the sixth gets is five pieces, not 200."""
    stage, heard, homes = stage_of(6)
    *writers, reader = homes
    hub = writers[0]
    for writer in writers[1:]:
        stage.connect(hub, writer)
    for _ in range(40):
        for writer in writers:
            stage.write(writer, 1)
            stage.quiet()

    stage.meet(hub, reader)

    assert len(reader.store.each()) == 200
    assert sum(len(each.pieces) for each in heard.of(Pieces, hub, reader)) == 5


def test_no_entry_goes_over_a_link_twice_or_back() -> None:
    stage, heard, (one, other, third) = stage_of(3)
    stage.connect(one, other)
    stage.connect(other, third)
    stage.quiet()
    for _ in range(9):
        stage.write(one, 1)
        stage.write(third, 2)
        stage.quiet()

    for sender, receiver in (one, other), (other, third):
        sent = dots(heard.of(Pieces, sender, receiver)) + dots(heard.of(Pieces, receiver, sender))
        assert len(sent) == len(set(sent)) == 27


def test_what_came_from_others_is_told_to_all_but_the_end_that_sent_it() -> None:
    stage, heard, (one, other, third) = stage_of(3)
    stage.connect(one, other)
    stage.connect(other, third)
    stage.write(one, 1)
    stage.quiet()

    assert not heard.of(RunHave, other, one)
    assert not heard.of(RunHave, one)
    assert all(list(have.ends) == [one.epoch] for have in heard.of(RunHave, other, third))


def test_own_entries_overtake_those_of_others_that_wait() -> None:
    stage, heard, (one, other, third) = stage_of(3)
    stage.meet(one, other)
    wire = stage.connect(other, third)
    stage.quiet()
    held_at = [other.last_position]
    wire.ends[0].walk_limit = lambda: held_at[0]
    stage.write(one, 2)
    stage.connect(one, other)
    deliver(stage, lambda: one.epoch in other.ends)
    stage.write(other, 1)
    deliver(stage, lambda: other.epoch in third.ends)

    assert one.epoch not in third.ends
    assert {epoch for epoch, _ in dots(heard.of(Pieces, other, third))} == {other.epoch}
    held_at[0] = other.last_position
    wire.ends[0].replication.go_on()
    stage.quiet()
    assert len(third.store.each()) == 3


def test_nothing_is_confirmed_or_claimed_that_the_disk_refused() -> None:
    stage, heard, (one, other, third) = stage_of(3)
    stage.connect(other, third)
    stage.connect(one, other)
    stage.quiet()
    stage.room.disk_errors = 1.0
    stage.write(one, 1)
    deliver(stage, lambda: not one.sessions)

    assert not heard.of(Synced, other)
    assert not heard.of(RunHave, other)
    assert not other.store.ends()


def first_words(stage: SmallStage, one: Home, other: Home) -> Session:
    """The session of `other` after both have greeted; nothing else is delivered."""
    wire = stage.connect(one, other)
    deliver(stage, lambda: all(end.replication.is_settled for end in wire.ends))
    return wire.ends[1]


def pieces_of(home: Home, number: int) -> Pieces:
    """All that a home has, as one message."""
    store = home.store
    session = home.sessions[0]
    raw = [session.encode(piece) for epoch in store.ends() if (piece := store.piece(epoch, 1)) is not None]
    return Pieces(number, tuple(store.birth(each.epoch) for each in raw), tuple(raw))  # type: ignore[arg-type]


def test_a_fourth_message_before_the_first_is_confirmed_ends_the_link() -> None:
    stage, _, (one, other) = stage_of(2)
    session = first_words(stage, one, other)
    one.add(1)
    one.mailbox.step()
    for number in range(1, 4):
        session.replication.hear(pieces_of(one, number))

    with pytest.raises(BadPeer, match="more than 3 messages before the first of them was confirmed"):
        session.replication.hear(pieces_of(one, 4))


def test_after_something_bad_nothing_that_waits_is_taken() -> None:
    from msgspec.structs import replace

    stage, _, (one, other) = stage_of(2)
    session = first_words(stage, one, other)
    one.add(1)
    one.mailbox.step()
    good = pieces_of(one, 3)
    bad = replace(good, number=1, pieces=(replace(good.pieces[0], signature=bytes(64)),))
    session.replication.hear(bad)
    session.replication.hear(good)
    stage.quiet()

    assert not session.is_open
    assert not other.store.ends()


def test_a_link_that_ends_in_the_middle_goes_on_where_it_was_committed() -> None:
    stage, heard, (one, other) = stage_of(2)
    stage.write(one, 60)
    wire = stage.connect(one, other)
    deliver(stage, lambda: len(other.store.each()) >= 20)
    wire.ends[0].end()
    while other.mailbox.is_busy:
        other.mailbox.step()
    held = len(other.store.each())
    before = len(dots(heard.of(Pieces)))

    stage.meet(one, other)

    assert len(dots(heard.of(Pieces))) - before == 60 - held
    assert len(other.store.each()) == 60


def test_what_was_declined_comes_over_the_same_link_when_the_limits_admit_it() -> None:
    stage, heard, (one, other) = stage_of(2)
    other.limit = 3
    for _ in range(6):
        stage.write(one, 1)
        one.restart()
    wire = stage.connect(one, other)
    stage.quiet()
    assert len(other.store.ends()) == 3
    assert [message.keys for message in heard.of(Decline)] == [(one.signer.public,)]

    other.limit = 6
    wire.ends[1].replication.accept()
    stage.quiet()

    assert other.store.ends() == one.store.ends()
    assert heard.of(Decline)[-1].keys == ()


def test_a_body_that_comes_later_is_passed_on_to_all_that_want_it() -> None:
    """n0 cleaned an event before n1 and n2 heard of it; then n3 comes, who has it."""
    stage, heard, (one, other, third, last) = stage_of(4)
    stage.write(one, 3)
    stage.meet(one, last)
    one.clean([one.store.each()[0].created])
    stage.quiet()
    stage.connect(one, other)
    stage.connect(other, third)
    stage.quiet()
    assert (other.store.state.hollow, third.store.state.hollow) == (1, 1)

    stage.connect(last, other)
    stage.quiet()

    assert (other.store.state.hollow, third.store.state.hollow) == (0, 0)
    assert len(third.store.each()) == 3
    assert [len(fill.events) for fill in heard.of(Fill, other, third)] == [1]
    assert not heard.of(Fill, other, one)


def test_a_proof_goes_before_the_events_that_end_at_its_cut() -> None:
    stage, one, other = two_faces(MemoryKit(), 3, 2, 4)
    stage.meet(stage.homes[0], one)
    stage.meet(stage.homes[1], other)
    stage.meet(*stage.homes[:2])
    newcomer = stage.home("late")
    heard = Heard(stage)

    stage.meet(stage.homes[0], newcomer)

    words = [message for _, receiver, message in heard.said if receiver is newcomer]
    proof = next(index for index, message in enumerate(words) if isinstance(message, Prove))
    at_cut = [
        index
        for index, message in enumerate(words)
        if isinstance(message, Pieces) and any(not piece.signature for piece in message.pieces)
    ]
    assert at_cut
    assert proof < min(at_cut)


def test_what_an_end_had_at_its_greeting_is_not_sent_when_it_counts_no_more() -> None:
    """n0 and n1 have one branch of a fork. n0 says where it was cut, and n1 walks on before it has the proof."""
    stage, one, other = two_faces(MemoryKit(), 3, 4, 2)
    epoch = one.epoch or ""
    heard, (first, second) = Heard(stage), stage.homes[:2]
    stage.write(second, 1)
    for home in first, second:
        stage.meet(home, one)
    sender = stage.connect(first, second).ends[1]
    sender.walk_limit = lambda: 0
    deliver(stage, lambda: sender.replication.is_settled)
    first.twist = lambda session, message: [] if isinstance(message, Prove) else [message]  # it takes long
    stage.connect(first, other)
    deliver(stage, lambda: sender.replication.other.view.get(epoch).mark)
    assert first.ends.get(epoch).seq == 3 < second.ends.get(epoch).seq

    sender.walk_limit = lambda: second.last_position
    sender.replication.go_on()
    deliver(stage, lambda: sender.replication.is_idle)

    assert dots(heard.of(Pieces, second, first)) == [(second.epoch, 1)]


def frames(heard: Heard, one: Home, other: Home) -> int:
    """Bytes of all that one home said to another."""
    protocol = RunProtocol()
    protocol.other_node_id = "x"
    size = 0
    for said in heard.of(object, one, other):
        message = RunConnect(2, one.node_id, 0, RunOptions(runs=said)) if isinstance(said, Greeting) else said
        size += len(protocol.encode(message))
    return size


def test_after_many_restarts_a_reconnect_with_nothing_new_is_small(real_limits: None) -> None:
    stage, heard, (one, other) = stage_of(2)
    for _ in range(300):
        stage.write(one, 1)
        one.restart()
    stage.meet(one, other)
    heard.said.clear()

    stage.meet(one, other)

    assert not heard.of(Pieces)
    assert frames(heard, one, other) < 1_000
    assert frames(heard, other, one) < 1_000


def test_many_short_runs_of_one_message_are_committed_in_parts_and_confirmed_once(
    real_limits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit of hundreds of signatures would make others wait."""
    stage, heard, (one, other) = stage_of(2)
    for _ in range(300):
        stage.write(one, 1)
        one.restart()
    taken: list[int] = []
    take = other.store.take

    def counted(pieces: Sequence[Piece], **options: int) -> Taken:
        taken.append(len(pieces))
        return take(pieces, **options)

    monkeypatch.setattr(other.store, "take", counted)
    stage.meet(one, other)

    assert max(taken) == STEP_PIECES and sum(taken) == 300
    sent = [message.number for message in heard.of(Pieces, one, other)]
    confirmed = [message.added for message in heard.of(Synced, other, one)]
    assert confirmed == sorted(set(confirmed)) and confirmed[-1] == sent[-1]
    assert max(len(message.pieces) for message in heard.of(Pieces)) > STEP_PIECES


def test_a_newcomer_to_a_half_cleaned_log_is_sent_no_event_at_its_second_meeting(real_limits: None) -> None:
    stage, heard, (one, other) = stage_of(2)

    def thousand(store: RunStore) -> list[Taken]:
        return [store.append([one.event(ms) for ms in range(1, 1_001)], one.pen)]

    one.write(thousand)
    one.clean([(ms, one.node_id, 0) for ms in range(1, 1_001, 2)])
    stage.quiet()
    stage.meet(one, other)
    assert (len(other.store.each()), other.store.state.hollow) == (500, 500)
    heard.said.clear()

    stage.meet(one, other)

    assert not heard.of(Pieces)
    assert not heard.of(Fill)
    assert len(heard.of(SayHollow, one)) == 1
    heard.said.clear()

    stage.meet(one, other)

    assert not heard.of(SayHollow)
    assert frames(heard, other, one) < 1_000


def test_an_end_that_wants_nothing_new_is_asked_when_there_is_something(real_limits: None) -> None:
    """n0 cleaned every second event, and meets n1 again and again; then n2 comes, who has them all."""
    stage, _, (one, other, last) = stage_of(3)
    stage.write(one, 300)
    stage.meet(one, last)
    one.clean([entry.created for entry in one.store.each()][::2])
    stage.quiet()
    third = stage.home("n3")
    for _ in range(3):
        stage.meet(one, other)
        stage.meet(other, third)
    assert (other.store.state.hollow, third.store.state.hollow) == (150, 150)
    stage.connect(other, third)
    stage.quiet()

    stage.connect(last, other)
    stage.quiet()

    assert (other.store.state.hollow, third.store.state.hollow) == (0, 0)


def test_how_many_entries_are_missing_is_known_until_they_are_here() -> None:
    stage, _, (one, other) = stage_of(2)
    stage.write(one, 30)
    session = first_words(stage, one, other)
    assert session.replication.missing == 30
    deliver(stage, lambda: other.ends.get(one.epoch or ""))
    assert 0 < session.replication.missing < 30
    stage.quiet()
    assert session.replication.missing == 0


def test_an_event_of_a_quarter_megabyte_goes_alone(real_limits: None) -> None:
    stage, heard, (one, other) = stage_of(2)
    one.pad = 255 * 1024
    stage.write(one, 4)
    stage.room.is_coded = True

    stage.meet(one, other)

    assert [each.body for each in other.store.each()] == [each.body for each in one.store.each()]
    assert [len(message.pieces) for message in heard.of(Pieces)] == [1] * 4
    assert all(isinstance(item, Entry) for message in heard.of(Pieces) for item in message.pieces[0].items)
