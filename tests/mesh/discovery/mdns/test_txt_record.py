"""The TXT record of an announcement: written by us, read without trust."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.discovery.mdns import txt_record
from tests.support.mdns_parts import KITCHEN, entries


def test_a_text_record_reads_as_it_was_written() -> None:
    record = txt_record.TextRecord(KITCHEN, "mesh-hash", "run-1", 7)

    raw = txt_record.encode(record)

    assert raw.startswith(b"\x03v=1\x13id=" + KITCHEN.encode())
    assert txt_record.decode(raw) == record
    assert len(raw) < 200


@pytest.mark.parametrize(
    ("why", "raw"),
    [
        ("empty", b""),
        ("cut off", entries(b"v=1", b"id=a", b"c=m", b"b=1")[:-1]),
        ("no id", entries(b"v=1", b"c=m", b"b=1")),
        ("no mesh", entries(b"v=1", b"id=a", b"b=1")),
        ("no instance", entries(b"v=1", b"id=a", b"c=m")),
        ("another version", entries(b"v=2", b"id=a", b"c=m", b"b=1")),
        ("no version", entries(b"id=a", b"c=m", b"b=1")),
        ("control characters", entries(b"v=1", b"id=a\x1b[2J", b"c=m", b"b=1")),
        ("not UTF-8", entries(b"v=1", b"id=\xff\xfe", b"c=m", b"b=1")),
        ("a long id", entries(b"v=1", b"id=" + b"a" * 101, b"c=m", b"b=1")),
        ("a long record", entries(b"v=1", b"id=a", b"c=m", b"b=1", b"x=" + b"a" * 200, b"y=" + b"a" * 200)),
        ("a counter that is none", entries(b"v=1", b"id=a", b"c=m", b"b=1", b"s=-1")),
        ("a huge counter", entries(b"v=1", b"id=a", b"c=m", b"b=1", b"s=" + b"9" * 200)),
    ],
)
def test_ignores_a_text_record_with(why: str, raw: bytes) -> None:
    assert txt_record.decode(raw) is None, why


def test_skips_unknown_entries_and_takes_the_first_of_two() -> None:
    raw = entries(b"V=1", b"=odd", b"flag", b"x=y", b"id=a", b"id=b", b"c=m", b"b=1")

    assert txt_record.decode(raw) == txt_record.TextRecord("a", "m", "1", 0)


@given(st.binary(max_size=500))
def test_any_bytes_can_be_decoded(raw: bytes) -> None:
    record = txt_record.decode(raw)

    assert record is None or txt_record.decode(txt_record.encode(record)) == record


def test_refuses_to_announce_what_other_nodes_would_not_accept() -> None:
    with pytest.raises(ValueError, match="cannot announce node id 'a b'"):
        txt_record.encode(txt_record.TextRecord("a b", "m", "1"))
