"""Leaves, births, heads, signatures and proofs: what they depend on, and what they refuse."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.events.epoch import (
    BIRTH_BYTES,
    MAX_BIRTH_BYTES,
    NO_EPOCH,
    NO_HEAD,
    NO_KEY,
    Birth,
    EpochEnd,
    Parent,
    item_digest,
    key_mark,
)
from peers.events.leaf import leaf_of
from peers.events.proof import Block, Cut, Proof, parting
from peers.events.run import OWN, RUN_BYTES, RUN_ENTRIES, RunHash, head_of
from peers.events.signature import KeySigner, is_signed

KEY = KeySigner.from_seed(bytes(32))
OTHER_KEY = KeySigner.from_seed(bytes(31) + b"\1")
BIRTH = Birth(KEY.public, bytes(16))

leaves = st.lists(st.integers(0, 2).map(lambda n: sha256(bytes([n])).digest()), min_size=1, max_size=6)


def block(first: int, before: bytes, own: list[bytes], key: KeySigner = KEY) -> Block:
    unsigned = Block(first, before, bytes([OWN] * len(own)), tuple(own), b"")
    head = unsigned.head(BIRTH.epoch)
    return Block(first, before, unsigned.kinds, unsigned.leaves, key.sign(BIRTH.epoch, unsigned.last, head))


def test_each_part_of_an_event_changes_its_leaf() -> None:
    own = ((5, "kitchen~a", 0), 5, b'{"reasons":["a"]}', b'{"type":"x"}')
    others = [
        ((6, "kitchen~a", 0), *own[1:]),
        ((5, "kitchen~b", 0), *own[1:]),
        ((5, "kitchen~a", 1), *own[1:]),
        (own[0], 6, *own[2:]),
        (own[0], 5, b"", own[3]),
        (*own[:3], b'{"type":"y"}'),
        (own[0], 5, own[2] + own[3], b""),
    ]
    assert len({leaf_of(*each) for each in [own, *others]}) == len(others) + 1  # type: ignore[arg-type]


def test_a_birth_is_read_as_it_was_written_and_gives_the_name() -> None:
    birth = Birth(KEY.public, b"n" * 16, Parent("ab" * 16, 7, b"h" * 32))
    assert len(birth.encode()) == BIRTH_BYTES
    assert Birth.decode(birth.encode()) == birth
    assert Birth.decode(birth.encode()).epoch == birth.epoch
    changed = [birth._replace(key=OTHER_KEY.public), birth._replace(nonce=b"m" * 16), birth._replace(parent=Parent())]
    named = birth._replace(node_id="küche")
    assert Birth.decode(named.encode()) == named
    assert len({each.epoch for each in [birth, named, *changed]}) == 5
    assert BIRTH.parent.epoch == NO_EPOCH


@pytest.mark.parametrize("size", [0, BIRTH_BYTES - 1, MAX_BIRTH_BYTES + 1])
def test_a_birth_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"has {BIRTH_BYTES} to {MAX_BIRTH_BYTES} bytes"):
        Birth.decode(bytes(size))


@pytest.mark.parametrize("node_id", [b"a\nb", b"\xff", b"x" * 201])
def test_a_birth_with_a_node_id_that_cannot_be_printed_is_refused(node_id: bytes) -> None:
    with pytest.raises(ValueError):
        Birth.decode(BIRTH.encode() + node_id)


def test_the_origin_of_an_epoch_is_the_node_id_that_belongs_to_its_key() -> None:
    mark = key_mark(KEY.public)
    for node_id in (f"kitchen~{mark}", f"kitchen~{mark[:8]}", "phone"):
        assert BIRTH._replace(node_id=node_id).origin == node_id
    for lie in (f"kitchen~{key_mark(OTHER_KEY.public)}", f"kitchen~{mark[:7]}", "kitchen~", ""):
        assert BIRTH._replace(node_id=lie).origin == f"~{mark}"
    assert BIRTH._replace(key=NO_KEY, node_id="kitchen").origin is None


@given(leaves, leaves)
def test_the_head_is_the_same_however_many_commits_a_run_took(first: list[bytes], second: list[bytes]) -> None:
    at_once, in_two = RunHash(BIRTH.epoch, 1), RunHash(BIRTH.epoch, 1)
    at_once.add([OWN] * len(first + second), first + second)
    in_two.add([OWN] * len(first), first)
    before = in_two.copy()
    in_two.add([OWN] * len(second), second)
    assert in_two.head == at_once.head
    inner = sha256(b"".join(b"\0" + leaf for leaf in first + second)).digest()
    assert at_once.head == head_of(BIRTH.epoch, 1, NO_HEAD, inner)
    assert before.head != in_two.head
    assert before.last == len(first)


def test_a_run_without_entries_has_the_head_before_it() -> None:
    assert RunHash(BIRTH.epoch, 8, b"x" * 32).head == b"x" * 32


def test_a_run_has_room_for_500_entries_and_256_kib_or_for_one_entry() -> None:
    run = RunHash(BIRTH.epoch, 1)
    assert run.has_room(10 * RUN_BYTES)
    run.add([OWN] * (RUN_ENTRIES - 1), [bytes(32)] * (RUN_ENTRIES - 1), RUN_BYTES - 1)
    assert run.has_room(1)
    assert not run.has_room(2)
    run.add([OWN], [bytes(32)], 1)
    assert not run.has_room(0)


def test_a_signature_is_good_for_one_head_of_one_epoch_at_one_seq() -> None:
    signature = KEY.sign(BIRTH.epoch, 3, b"h" * 32)
    assert is_signed(KEY.public, BIRTH.epoch, 3, b"h" * 32, signature)
    assert not is_signed(KEY.public, BIRTH.epoch, 4, b"h" * 32, signature)
    assert not is_signed(KEY.public, BIRTH.epoch, 3, b"i" * 32, signature)
    assert not is_signed(KEY.public, NO_EPOCH, 3, b"h" * 32, signature)
    assert not is_signed(OTHER_KEY.public, BIRTH.epoch, 3, b"h" * 32, signature)
    assert not is_signed(KEY.public, BIRTH.epoch, 3, b"h" * 32, signature[:-1])
    assert not is_signed(b"short", BIRTH.epoch, 3, b"h" * 32, signature)


@given(leaves, leaves, leaves)
def test_the_cut_of_a_proof_is_where_two_histories_part(
    common: list[bytes], left: list[bytes], right: list[bytes]
) -> None:
    one, other = block(1, NO_HEAD, common + left), block(1, NO_HEAD, common + right)
    pairs = list(zip(common + left, common + right, strict=False))
    same = next((n for n, (a, b) in enumerate(pairs) if a != b), None)

    cut = parting(BIRTH.epoch, one, other)

    assert cut == parting(BIRTH.epoch, other, one)
    if same is None:
        assert cut is None
        with pytest.raises(ValueError, match="belong to one history"):
            Proof.of(BIRTH, one, other).check()
        return
    proof = Proof.of(BIRTH, one, other)
    assert proof == Proof.of(BIRTH, other, one)
    assert Proof.decode(proof.encode()) == proof
    assert proof.check() == cut == Cut(same, one.head(BIRTH.epoch, same) if same else NO_HEAD)


@given(leaves, leaves, st.booleans())
def test_a_run_that_begins_inside_another_is_a_fork(first: list[bytes], second: list[bytes], is_same: bool) -> None:
    whole = block(1, NO_HEAD, first + second)
    before = whole.head(BIRTH.epoch, len(first)) if is_same else b"x" * 32
    inside = block(len(first) + 1, before, second)

    cut = parting(BIRTH.epoch, whole, inside)

    assert cut == (Cut(len(first), before) if is_same else Cut(0, NO_HEAD))


@given(leaves, leaves, st.booleans())
def test_runs_that_follow_each_other_are_a_fork_only_with_another_head_between(
    first: list[bytes], second: list[bytes], is_same: bool
) -> None:
    one = block(1, NO_HEAD, first)
    other = block(len(first) + 1, one.head(BIRTH.epoch) if is_same else b"x" * 32, second)
    assert parting(BIRTH.epoch, one, other) == (None if is_same else Cut(0, NO_HEAD))
    assert parting(BIRTH.epoch, one, block(len(first) + 2, b"x" * 32, second)) is None


def test_a_proof_that_another_key_signed_is_refused() -> None:
    one, other = block(1, NO_HEAD, [b"a" * 32]), block(1, NO_HEAD, [b"b" * 32], OTHER_KEY)
    with pytest.raises(ValueError, match="not signed by its key"):
        Proof.of(BIRTH, one, other).check()


@given(st.binary(max_size=300))
def test_bytes_that_are_no_proof_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        Proof.decode(data)


def test_a_proof_with_its_blocks_in_the_wrong_order_is_refused() -> None:
    proof = Proof.of(BIRTH, block(1, NO_HEAD, [b"a" * 32]), block(1, NO_HEAD, [b"b" * 32]))
    with pytest.raises(ValueError, match="wrong order"):
        Proof.decode(Proof(proof.birth_data, proof.other, proof.one).encode())


def test_a_block_with_fewer_kinds_than_leaves_is_not_genuine() -> None:
    good = block(1, NO_HEAD, [b"a" * 32, b"b" * 32])
    assert good.is_genuine(BIRTH)
    assert not Block(1, NO_HEAD, b"\0", good.leaves, good.signature).is_genuine(BIRTH)
    assert not Block(1, NO_HEAD, b"\0\x09", good.leaves, good.signature).is_genuine(BIRTH)


def test_an_item_of_a_vector_depends_on_epoch_seq_head_and_mark() -> None:
    end = EpochEnd(3, b"h" * 16)
    digests = {
        item_digest(BIRTH.epoch, end),
        item_digest(NO_EPOCH, end),
        item_digest(BIRTH.epoch, end._replace(seq=4)),
        item_digest(BIRTH.epoch, end._replace(head=b"i" * 16)),
        item_digest(BIRTH.epoch, end._replace(mark=b"m" * 16)),
    }
    assert len(digests) == 5
