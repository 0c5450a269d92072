"""Pieces and proofs that no honest node sends end the link with a sentence, and change nothing."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from peers.codec.run_messages import READ_TOGETHER, Prove, ShowBlocks
from peers.events.piece import Piece
from peers.protocol.sync import WINDOW
from peers.stores.runs.memory import MemoryRunStore
from tests.support.neighbour import Author, Neighbour, names_of
from tests.support.pair import HeldDisk, sentences


def changed(piece: Piece, **parts: Any) -> Piece:
    return structs.replace(piece, **parts)


def refused_by(stranger: Neighbour, *pieces: Piece) -> str:
    """The sentence that these pieces end the link with."""
    stranger.sends(*pieces)
    assert not stranger.connected and stranger.log.types == []
    ((name, type_, why),) = stranger.heard
    assert (name, type_) == ("error", "wrong-format")
    assert sentences(stranger.errors) == [f"stranger: wrong-format (Wrong message format in {why})"]
    return str(why)


def test_a_piece_that_its_owner_did_not_sign_ends_the_link_with_a_sentence() -> None:
    stranger = Neighbour().greet()
    piece = stranger.own.write("a", "b")

    why = refused_by(stranger, changed(piece, signature=bytes(64)))

    assert why == f"a piece of epoch {piece.epoch} that begins at 1 is not what its owner signed"


def test_a_piece_with_a_changed_event_ends_the_link_with_a_sentence() -> None:
    stranger = Neighbour().greet()
    piece = stranger.attic.write("a", "b")
    forged = Author("attic").write("a", "forged")

    why = refused_by(stranger, changed(piece, items=forged.items))

    assert why == f"a piece of epoch {piece.epoch} holds other entries than those that its owner signed"


def test_a_changed_event_behind_what_is_held_here_ends_the_link_once_the_runs_were_compared() -> None:
    stranger = Neighbour().greet()
    stranger.sends(stranger.own.write("a"))
    piece = stranger.own.write("b")
    forger = Author("stranger", 100)
    forger.write("a")
    stranger.heard.clear()

    stranger.sends(changed(piece, items=forger.write("forged").items))
    assert names_of(stranger.heard) == ["heads", "synced"]
    stranger.tell(ShowBlocks(piece.birth, tuple(stranger.own.store.blocks(piece.epoch))))

    why = f"a piece of epoch {piece.epoch} holds other entries than those that its owner signed"
    assert stranger.heard[-1] == ["error", "wrong-format", why]
    assert stranger.log.types == ["a"]


def test_what_came_before_a_bad_piece_is_kept() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    disk.is_holding = False
    stranger = Neighbour(store=store, disk=disk).greet()
    disk.is_holding = True

    stranger.sends(stranger.own.write("good"))
    stranger.sends(changed(stranger.attic.write("bad"), signature=bytes(64)))
    while disk.waiting:
        disk.release()

    assert stranger.log.types == ["good"]
    assert not stranger.connected


def test_a_proof_of_nothing_ends_the_link_with_a_sentence() -> None:
    stranger = Neighbour().greet().tell(Prove(b"nonsense"))

    ((_, _, why),) = stranger.heard
    assert why.startswith("it sent a proof that is none")
    assert not stranger.connected


def test_more_messages_than_the_window_has_end_the_link_with_a_sentence() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    disk.is_holding = False
    stranger = Neighbour(store=store, disk=disk).greet()
    disk.is_holding = True

    for _ in range(WINDOW + 1):
        stranger.brings()

    why = f"it sent more than {WINDOW} messages before the first of them was confirmed"
    assert stranger.heard == [["error", "wrong-format", why]]


def test_more_entries_than_a_message_may_have_are_refused() -> None:
    stranger = Neighbour().greet()
    authors = [Author(f"n{number}", number) for number in range(READ_TOGETHER // 500 + 1)]

    stranger.sends(*[author.write(*["a"] * 500) for author in authors])

    assert stranger.heard[0][:2] == ["error", "wrong-format"]
    assert stranger.log.types == []


def test_as_many_entries_as_a_message_may_have_are_taken() -> None:
    stranger = Neighbour().greet()
    authors = [Author(f"n{number}", number) for number in range(READ_TOGETHER // 500)]

    stranger.sends(*[author.write(*["a"] * 500) for author in authors])

    assert stranger.heard == [["synced", 1]]
    assert len(stranger.log.types) == READ_TOGETHER
