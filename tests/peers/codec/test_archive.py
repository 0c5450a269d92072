"""The file of an archive: it is read back whole, or not without an error."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.codec.archive import ArchiveError, ArchiveHeader, is_archive, read_frames, read_header, write_archive

HEADER = ArchiveHeader(node_id="till~x", made_ms=1, events=2, entries=2, facts=0, proofs=0)
FRAMES = st.lists(st.binary(max_size=40) | st.sampled_from([b"\n", b"end ", b"12 \n"]), max_size=5)


def written(frames: list[bytes]) -> bytes:
    parts: list[bytes] = []
    write_archive(HEADER, frames, parts.append)
    return b"".join(parts)


def read(data: bytes) -> list[bytes]:
    file = BytesIO(data)
    first = file.readline()
    read_header(first)
    return list(read_frames(first, file))


@given(FRAMES)
def test_what_was_written_is_read_back(frames: list[bytes]) -> None:
    assert read(written(frames)) == frames


@given(FRAMES, st.data())
def test_an_archive_that_was_cut_short_is_noticed(frames: list[bytes], data: st.DataObject) -> None:
    whole = written(frames)
    at = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(ArchiveError):
        read(whole[:at])


@given(FRAMES, st.data(), st.integers(1, 255))
def test_a_changed_byte_is_noticed(frames: list[bytes], data: st.DataObject, change: int) -> None:
    whole = bytearray(written(frames))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= change

    with pytest.raises(ArchiveError):
        read(bytes(whole))


def test_an_archive_of_a_later_version_says_what_to_do() -> None:
    line = b'{"archive":2,"all":"else"}\n'

    assert is_archive(line)
    with pytest.raises(ArchiveError, match="version 2 of archives, and this release reads version 1: import it with"):
        read_header(line)
