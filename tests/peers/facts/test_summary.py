"""The bytes of a summary: what goes in comes out, within 300 bytes, and no other key can sign it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.events.created import MAX_MS
from peers.events.epoch import KEY_BYTES, key_mark
from peers.events.signature import SIGNATURE_BYTES, KeySigner
from peers.facts.summary import MAX_SUMMARY_BYTES, SHORT_KEY_BYTES, Measures, make_summary, read_summary

SIGNER = KeySigner.from_seed(bytes(32))
NUMBERS = st.integers(0, MAX_MS)
MEASURES = st.builds(
    Measures,
    st.text(max_size=40),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.integers(0, 100),
    st.integers(-MAX_MS, MAX_MS),
    NUMBERS,
)


def id_of(name: str) -> str:
    return f"{name}~{key_mark(SIGNER.public)}"


@given(
    MEASURES,
    st.text("abcdefghij0123456789.-_", min_size=1, max_size=64),
    st.lists(st.tuples(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES), st.integers(0, 2**53)), max_size=80),
)
def test_what_goes_in_comes_out_of_at_most_300_bytes(
    measures: Measures, name: str, links: list[tuple[bytes, int]]
) -> None:
    made = make_summary(SIGNER, id_of(name), 5, measures, links)

    read = read_summary(made.data)
    assert read == made and read.is_genuine
    assert len(made.data) <= MAX_SUMMARY_BYTES
    assert (read.key, read.node_id, read.made_ms) == (SIGNER.public, id_of(name), 5)
    assert read.measures == measures._replace(version=measures.version[:24])
    assert read.link_count == len(links)
    lags = sorted([lag for _, lag in links], reverse=True)[: len(read.links)]
    assert all(said <= lag <= said + said / 8 for (_, said), lag in zip(read.links, lags, strict=True) if lag < 2**34)


def test_with_usual_names_there_is_room_for_the_links_of_thirty_nodes() -> None:
    links = [(number.to_bytes(KEY_BYTES, "little"), 10**6) for number in range(29)]
    measures = Measures("0.12.0", 1_796_006_255_140, 10**8, 100, 97, -3_600_000, 10**7)

    made = make_summary(SIGNER, id_of("kitchen"), 1_796_006_255_140, measures, links)

    assert {key for key, _ in made.links} == {key[:SHORT_KEY_BYTES] for key, _ in links}


@given(st.integers(0, MAX_SUMMARY_BYTES - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    data = bytearray(make_summary(SIGNER, id_of("kitchen"), 5, Measures("1"), [(bytes(32), 3)]).data)
    data[place % len(data)] ^= change

    try:
        read = read_summary(bytes(data))
    except ValueError:
        return
    assert not read.is_genuine


@given(st.binary(max_size=MAX_SUMMARY_BYTES + 50))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read_summary(data)
    except ValueError:
        return


def test_more_than_300_bytes_are_none() -> None:
    with pytest.raises(ValueError, match="a summary of 301 bytes"):
        read_summary(bytes(KEY_BYTES + SIGNATURE_BYTES) + bytes(MAX_SUMMARY_BYTES + 1 - KEY_BYTES - SIGNATURE_BYTES))
