"""Small stories with one villain that does one thing; each says what the honest home thinks of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from peers.codec.messages import Synced
from peers.codec.run_messages import Fill, Greeting, Heads, Pieces, Prove, RunHave, ShowBlocks, Yours
from peers.events.entry import Entry
from peers.events.epoch import END_BYTES, EpochEnd
from peers.events.leaf import HASH_BYTES, leaf_of
from peers.events.proof import Block, Proof
from peers.events.signature import SIGNATURE_BYTES
from tests.support.replication.home import Home, Session
from tests.support.replication.kits import Kit
from tests.support.replication.small_stories import SmallStage

Said = Sequence[Any]


def leaf(item: Entry | bytes) -> bytes:
    return item if isinstance(item, bytes) else leaf_of(item.created, item.time, item.extra, item.body)


def bad_meeting(kit: Kit, twist: Callable[[Session, Any], Said], *, count: int = 3) -> tuple[SmallStage, Home, Home]:
    """An honest home n0 meets a villain that wrote `count` events; then an honest n1 with the same events as well."""
    stage = SmallStage(kit, 2)
    one = stage.homes[0]
    villain = stage.face()
    stage.write(villain, count)
    villain.twist = twist
    stage.meet(one, villain)
    return stage, one, villain


def on(kind: type, change: Callable[[Any], Said]) -> Callable[[Session, Any], Said]:
    """A villain that changes messages of one kind."""
    return lambda session, message: change(message) if isinstance(message, kind) else [message]


def each_piece(**changes: Callable[[Any], Any]) -> Callable[[Session, Any], Said]:
    def change(message: Pieces) -> Said:
        pieces = [
            replace(piece, **{name: function(piece) for name, function in changes.items()}) for piece in message.pieces
        ]
        return [replace(message, pieces=tuple(pieces))]

    return on(Pieces, change)


def other_signature(kit: Kit) -> str:
    stage, one, _ = bad_meeting(kit, each_piece(signature=lambda _: bytes(SIGNATURE_BYTES)))
    stage.end()
    return one.troubles[0]


def other_entries(kit: Kit) -> str:
    """A leaf is altered, the signature kept: the villain is asked for the run, and shows it unaltered."""
    stage, one, _ = bad_meeting(kit, each_piece(items=lambda piece: (bytes(HASH_BYTES), *piece.items[1:])))
    assert not one.store.ends()
    stage.end()
    return one.troubles[0]


def other_entries_after_good_ones(kit: Kit) -> str:
    """The same, when the first part of the run is known here."""
    stage, one, villain = bad_meeting(kit, lambda session, message: [message])
    villain.twist = each_piece(items=lambda piece: (*piece.items[:-1], bytes(HASH_BYTES)))
    stage.write(villain, 1)
    stage.meet(one, villain)
    assert [end.seq for end in one.store.ends().values()] == [3]
    stage.end()
    return one.troubles[0]


def withheld_bodies(kit: Kit) -> str:
    """Leaves come instead of events: they are hollow, until a node gives the events."""
    twist = each_piece(items=lambda piece: tuple(map(leaf, piece.items)))
    stage, one, villain = bad_meeting(
        kit, lambda session, message: [] if isinstance(message, Fill) else twist(session, message)
    )
    assert one.store.state.hollow == 3
    assert not one.store.each()
    villain.twist = lambda session, message: [message]
    stage.meet(stage.homes[1], villain)
    stage.end()
    assert len(one.store.each()) == 3
    return "".join(one.troubles)


def other_events_as_fill(kit: Kit) -> str:
    """What is given for a hollow entry is another event: it stays hollow."""
    other = Entry((1, "x~0", 0), 1, b'{"type":"x"}')
    hide = each_piece(items=lambda piece: tuple(map(leaf, piece.items)))

    def twist(session: Session, message: Any) -> Said:
        if isinstance(message, Fill):
            return [replace(message, events=tuple((dot, other) for dot, _ in message.events))]
        return hide(session, message)

    stage, one, _ = bad_meeting(kit, twist)
    assert one.store.state.hollow == 3
    stage.end()
    return "".join(one.troubles)


def claimed_of_our_epoch(kit: Kit) -> str:
    """The villain says that it holds more of our epoch than we wrote, without our signature: we go on in it."""

    def twist(session: Session, message: Any) -> Said:
        if not isinstance(message, Greeting) or not message.yours:
            return [message]
        claimed = {
            epoch: Yours(EpochEnd(said.end.seq + 5, said.end.head), said.head, said.signature)
            for epoch, said in message.yours.items()
        }
        return [replace(message, yours=claimed)]

    stage, one, villain = bad_meeting(kit, lambda session, message: [message])
    stage.write(one, 2)
    stage.meet(one, villain)
    before = one.epoch
    villain.twist = twist
    stage.meet(one, villain)
    assert one.epoch == before
    stage.end()
    return "".join(one.troubles)


def proof_of_one_history(kit: Kit) -> str:
    """Two blocks of one history are called a fork."""

    def twist(session: Session, message: Any) -> Said:
        if not isinstance(message, Synced | Pieces):
            return [message]
        epoch, birth = next((epoch, session.home.store.birth(epoch)) for epoch in session.home.store.ends())
        block = session.home.store.blocks(epoch)[0]
        return [message, Prove(Proof.of(birth, block, block).encode())]

    stage, one, _ = bad_meeting(kit, twist)
    stage.end()
    return one.troubles[0]


def proof_that_is_none(kit: Kit) -> str:
    stage, one, _ = bad_meeting(kit, on(Pieces, lambda message: [Prove(b"x")]))
    stage.end()
    return one.troubles[0]


def block_that_is_not_signed(kit: Kit) -> str:
    def twist(session: Session, message: Any) -> Said:
        if not isinstance(message, Pieces):
            return [message]
        birth = message.births[0]
        return [ShowBlocks(birth, (Block(1, bytes(HASH_BYTES), b"\0", (bytes(HASH_BYTES),), bytes(SIGNATURE_BYTES)),))]

    stage, one, _ = bad_meeting(kit, twist)
    stage.end()
    return one.troubles[0]


def confirmed_what_was_not_sent(kit: Kit) -> str:
    stage, one, _ = bad_meeting(kit, on(Pieces, lambda message: [message, Synced(77)]))
    stage.end()
    return one.troubles[0]


def words_before_the_greeting(kit: Kit) -> str:
    stage, one, _ = bad_meeting(kit, on(Greeting, lambda message: [RunHave({}), message]))
    stage.end()
    return one.troubles[0]


def second_greeting(kit: Kit) -> str:
    stage, one, _ = bad_meeting(kit, on(Greeting, lambda message: [message, message]))
    stage.end()
    return one.troubles[0]


def heads_of_nothing(kit: Kit) -> str:
    """Heads of an epoch that no node knows, and of one where nothing differs: they are answered or dropped."""

    def twist(session: Session, message: Any) -> Said:
        if not isinstance(message, Pieces):
            return [message]
        known = message.births[0].epoch
        return [message, Heads("0" * 32, 5, ()), Heads(known, 5, ()), Heads(known, 5, ((3, bytes(END_BYTES)),), True)]

    stage, one, _ = bad_meeting(kit, twist)
    stage.end()
    return "".join(one.troubles)


HOSTILE_STORIES: dict[Callable[[Kit], str], str] = {
    other_signature: "is not what its owner signed",
    other_entries: "holds other entries than those that its owner signed",
    other_entries_after_good_ones: "holds other entries than those that its owner signed",
    withheld_bodies: "^$",
    other_events_as_fill: "^$",
    claimed_of_our_epoch: "^$",
    proof_of_one_history: "the proof that epoch .* forked does not hold",
    proof_that_is_none: "it sent a proof that is none",
    block_that_is_not_signed: "it showed a block of epoch .* that its owner did not sign",
    confirmed_what_was_not_sent: "it confirmed message 77, which does not wait for it",
    words_before_the_greeting: "it sent a message before its greeting",
    second_greeting: "it greeted twice",
    heads_of_nothing: "^$",
}
"""What the honest home says of the villain, as a pattern."""
