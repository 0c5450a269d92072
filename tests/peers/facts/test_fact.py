"""One fact: what is signed, what it may say, and what becomes of bytes that are none."""

from __future__ import annotations

from collections import Counter
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.events.epoch import NO_KEY
from peers.facts.fact import (
    MAX_FACT_BYTES,
    MAX_STANDING,
    MAX_TIPS,
    Certificate,
    Fact,
    Found,
    Leave,
    Revocation,
    Tip,
    checked_fact,
    decode_fact,
)
from tests.support.mesh_of_keys import MeshOfKeys, key, node_id

DAMAGED = 4_000
MESH = MeshOfKeys()
TIP = Tip("ab" * 16, 7, b"h" * 32)


def samples() -> list[Fact]:
    admin = MESH.admin("kitchen")
    return [
        MESH.found(),
        admin,
        MESH.node("study", by="kitchen"),
        MESH.revoke("study", by="kitchen", cut=(TIP,)),
        MESH.revoke_admin("kitchen", admin.id, MESH.found().id),
        MESH.leave("study", (TIP,)),
    ]


SAMPLES = samples()


@pytest.mark.parametrize("fact", SAMPLES, ids=lambda fact: fact.kind)
def test_a_fact_is_read_back_from_its_bytes_and_its_signature_holds(fact: Fact) -> None:
    read = checked_fact(fact.data)

    assert read == fact
    assert (read.id, len(read.id)) == (fact.id, 16)


@given(st.binary(max_size=40), st.integers(0, 200), st.integers(1, 255))
def test_a_fact_with_any_other_byte_is_refused(more: bytes, at: int, change: int) -> None:
    for fact in SAMPLES:
        flipped = bytearray(fact.data)
        flipped[at % len(flipped)] ^= change
        with pytest.raises(ValueError):
            checked_fact(bytes(flipped))
        if more:
            with pytest.raises(ValueError):
                decode_fact(fact.data + more)


@given(st.binary(max_size=2 * MAX_FACT_BYTES))
def test_bytes_that_are_no_fact_are_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(ValueError, match="fact"):
        decode_fact(data)


def damaged(random: Random) -> bytes:
    """The bytes of a fact with one to three values changed, removed or put in."""
    values = msgspec.msgpack.decode(random.choice(SAMPLES).data)
    for _ in range(random.randint(1, 3)):
        odd = random.choice(
            [None, -1, 2**64 - 1, b"", b"x" * 32, b"x" * 64, "a", [], {}, [[]] * 50, 1.5, True, "~" * 2_000]
        )
        at = random.randrange(len(values))
        match random.randint(0, 2):
            case 0:
                values[at] = odd
            case 1:
                values.insert(at, odd)
            case _ if len(values) > 1:
                del values[at]
    data = msgspec.msgpack.encode(values)
    if random.random() < 0.3:
        data = data[: random.randrange(len(data) + 1)] + random.randbytes(random.randint(0, 3))
    return data


def test_a_damaged_fact_is_refused_by_the_one_declared_error() -> None:
    random = Random(1)
    outcomes = Counter[str]()
    for _ in range(DAMAGED):
        data = damaged(random)
        if any(data == fact.data for fact in SAMPLES):
            outcomes["whole"] += 1  # one damage took back another one
            continue
        try:
            fact = decode_fact(data)
            outcomes["read"] += 1
            assert fact.data == data
            fact.check()
        except ValueError as error:
            outcomes["refused"] += 1
            assert len(str(error)) < 300
    assert outcomes["refused"] + outcomes["whole"] == DAMAGED
    assert outcomes["read"] > 0


def test_a_fact_written_in_another_way_is_none() -> None:
    values = msgspec.msgpack.decode(MESH.found().data)
    in_long_form = b"\xdc\x00" + bytes([len(values)]) + msgspec.msgpack.encode(values)[1:]

    assert msgspec.msgpack.decode(in_long_form) == values
    with pytest.raises(ValueError, match="written in another way"):
        decode_fact(in_long_form)


def test_no_fact_is_larger_than_a_kibibyte() -> None:
    tips = tuple(Tip(f"{number:032x}", 2**50, b"h" * 32) for number in range(MAX_TIPS))
    standing = [bytes([number]) * 16 for number in range(MAX_STANDING)]

    assert len(MESH.revoke_admin("kitchen", *standing).data) <= MAX_FACT_BYTES
    assert len(MESH.leave("kitchen", tips).data) <= MAX_FACT_BYTES
    with pytest.raises(ValueError, match="at most 1024 are taken"):
        MESH.revoke_admin("kitchen", *standing, cut=tips)


MESH_KEY, KITCHEN = key("mesh"), key("kitchen")
M, K = MESH_KEY.public, KITCHEN.public


@pytest.mark.parametrize(
    ("fact", "by", "sentence"),
    [
        (Found(M, K, 1, b"", "home"), KITCHEN, "not of the mesh's own key"),
        (Certificate(M, K, 1, b"", K, node_id("kitchen"), True, ""), KITCHEN, "only the mesh's key does"),
        (Certificate(M, M, 1, b"", K, node_id("kitchen"), False, ""), MESH_KEY, "a node by the mesh's key"),
        (Certificate(M, M, 1, b"", M, node_id("mesh"), True, ""), MESH_KEY, "a key that no node has"),
        (Certificate(M, M, 1, b"", NO_KEY, node_id("kitchen"), True, ""), MESH_KEY, "a key that no node has"),
        (Certificate(M, M, 1, b"", K, node_id("study"), True, ""), MESH_KEY, "which has another key"),
        (Revocation(M, K, 1, b"", M, (), ()), KITCHEN, "the mesh's own key"),
        (Revocation(M, K, 1, b"", K, (), (b"x" * 16,)), KITCHEN, "which only the mesh's key does"),
        (Revocation(M, M, 1, b"", K, (), (b"x" * 16, b"x" * 16)), MESH_KEY, "not in order"),
        (Revocation(M, M, 1, b"", K, (TIP, TIP), ()), MESH_KEY, "not in order"),
        (Leave(M, M, 1, b"", ()), MESH_KEY, "which is no node"),
        (Leave(M, K, 1, b"", (TIP, TIP)), KITCHEN, "not in order"),
    ],
)
def test_what_a_signer_may_never_say_is_refused_though_it_is_signed(fact: Fact, by: object, sentence: str) -> None:
    assert by in (KITCHEN, MESH_KEY)
    with pytest.raises(ValueError, match=sentence):
        fact.signed(KITCHEN if by is KITCHEN else MESH_KEY)


def test_a_signature_of_one_kind_is_none_of_another() -> None:
    leave = MESH.leave("kitchen")
    as_other = Revocation(M, K, leave.time_ms, leave.signature, key("study").public, (), ())

    assert leave.text.startswith(b"peermesh leave\0")
    with pytest.raises(ValueError, match="not signed by the key that it names"):
        as_other.check()


def test_a_fact_of_another_key_is_refused() -> None:
    by_another = msgspec.structs.replace(MESH.node("study", by="kitchen"), signer=key("attic").public)

    with pytest.raises(ValueError, match="not signed by the key that it names"):
        checked_fact(by_another.data)
