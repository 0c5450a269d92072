"""Whatever a greeted end says, in whatever order: the link ends with a sentence at most, and the log stays what it was."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.codec.messages import Synced
from peers.codec.pieces import RawPiece
from peers.codec.run_messages import Decline, Facts, Fill, Heads, Pieces, Prove, RunHave, SayHollow, ShowBlocks, ShowWay
from peers.events.entry import Entry
from peers.events.epoch import Birth, EpochEnd, Parent
from peers.events.proof import Block, Proof, Way
from peers.events.reconcile import Differ, Same
from peers.events.signature import KeySigner
from tests.support.replication.kits import MemoryKit
from tests.support.replication.small import small
from tests.support.replication.small_stories import SmallStage
from tests.support.replication.villain import honest

KEY = KeySigner.from_seed(bytes(32))
BIRTHS = [Birth(KEY.public, bytes([n]) * 16, Parent()) for n in range(3)]
EVENT = Entry((1, "x~0", 0), 1, b'{"type":"x"}')

few = st.integers(0, 4)
hashes = few.map(lambda n: bytes([n]) * 32)
heads = few.map(lambda n: bytes([n]) * 16)
seqs = st.one_of(st.integers(1, 12), st.just(2**52))
signatures = st.sampled_from([b"", bytes(64), b"\1" * 64])
ends = st.builds(EpochEnd, st.one_of(st.just(0), seqs), heads, st.one_of(st.just(b""), heads))


def words(known: list[str], births: list[Birth]) -> st.SearchStrategy[Any]:
    """Messages of every kind about epochs of which some are known."""
    epochs = st.sampled_from([*known, *(birth.epoch for birth in BIRTHS), "0" * 32])
    all_births = st.sampled_from([*births, *BIRTHS])
    items = st.lists(st.one_of(hashes, st.just(EVENT)), min_size=1, max_size=6)

    def raw(epoch: str, first: int, start: int, own: list[Any], head: bytes, signature: bytes, kind: int) -> RawPiece:
        return RawPiece(b"", epoch, first, start, bytes([kind]) * len(own), tuple(own), head, signature)

    pieces = st.builds(raw, epochs, seqs, seqs, items, hashes, signatures, st.integers(0, 4))
    spans = st.lists(st.tuples(epochs, seqs, seqs), max_size=3).map(tuple)
    blocks = st.builds(
        Block,
        seqs,
        hashes,
        st.binary(min_size=1, max_size=3),
        st.lists(hashes, min_size=1, max_size=3).map(tuple),
        signatures.filter(bool),
    )
    proofs = st.one_of(st.binary(max_size=9), st.builds(Proof.of, all_births, blocks, blocks).map(Proof.encode))
    return st.one_of(
        st.builds(
            RunHave,
            st.dictionaries(epochs, ends, max_size=3),
            spans,
            spans,
            anew=st.lists(epochs, max_size=2).map(tuple),
        ),
        st.builds(Pieces, few, st.lists(all_births, max_size=3).map(tuple), st.lists(pieces, min_size=1).map(tuple)),
        st.builds(Fill, few, st.lists(st.tuples(st.tuples(epochs, seqs), st.just(EVENT)), max_size=3).map(tuple)),
        st.builds(Synced, few),
        st.builds(
            Heads, epochs, seqs, st.lists(st.tuples(seqs, heads), max_size=3).map(tuple), is_answer=st.booleans()
        ),
        st.builds(ShowBlocks, all_births, st.lists(blocks, max_size=3).map(tuple)),
        st.builds(Prove, proofs),
        st.builds(
            ShowWay,
            st.builds(Way, epochs, seqs, hashes, st.binary(min_size=34, max_size=70)),
            st.lists(st.one_of(all_births.map(Birth.encode), st.binary(max_size=150)), max_size=2).map(tuple),
        ),
        st.builds(Decline, st.lists(st.sampled_from([KEY.public, bytes(32)]), max_size=2).map(tuple)),
        st.builds(Same, st.dictionaries(epochs, st.one_of(st.none(), ends), max_size=2)),
        st.builds(Differ, st.dictionaries(epochs, st.one_of(st.none(), ends), max_size=2), st.just(())),
        st.just(Facts((b"x",))),
        st.builds(Facts, st.just(()), st.just((b"i" * 16,)), st.booleans()),
        st.just(SayHollow()),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_words_end_the_link_at_most(data: st.DataObject) -> None:
    with small():
        stage = SmallStage(MemoryKit(), 2)
        one, other = stage.homes
        stage.write(one, 7)
        one.restart()
        stage.write(one, 3)
        speaker = stage.face()
        stage.write(speaker, 2)
        wire = stage.connect(one, speaker)
        while stage.rnd.random() < 0.95 and stage.step():
            pass
        before = one.store.ends()
        kinds = words(list(before), [birth for epoch in before if (birth := one.store.birth(epoch)) is not None])
        for message in data.draw(st.lists(kinds, min_size=1, max_size=6)):
            if wire.is_up:
                wire.ends[0].guard(wire.ends[0].hear, message)
            if data.draw(st.booleans()) and wire.is_up:
                stage.step()
        if wire.is_up:
            wire.ends[0].end()
        stage.quiet()

        after = one.store.ends()
        assert {epoch: after[epoch] for epoch in before} == before
        speaker.twist = honest
        stage.end()
        assert other.store.ends() == after
