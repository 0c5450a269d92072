"""The file of an archive: a line that says what it is, the frames of a link of nodes, and the hash of all that.

The first line is ArchiveHeader as JSON. Each record is the number of bytes of its frame in decimal digits, a space, the frame
as RunProtocol encodes it, and a line end. The last line is `end`, a space, and the SHA-256 of all bytes before it in
hexadecimal digits. Frames may have line breaks of their own, since an event keeps the text that its writer gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta

from peers.codec.messages import Count
from peers.codec.run_messages import NODE_FRAME_BYTES

ARCHIVE_VERSION = 1
"""Rises with each change of the records, or of what is in them, that earlier releases do not read over."""
_BEGINNING = b'{"archive":'
_END = b"end "
_MAX_DIGITS = len(str(NODE_FRAME_BYTES))


class ArchiveError(ValueError):
    """What is read is no whole archive of this version; the sentence says where, without the name of the file."""


class ArchiveHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. A later release may add fields."""

    archive: Annotated[int, Meta(ge=1)] = ARCHIVE_VERSION
    mesh: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    """The public key of the mesh in hexadecimal digits; empty without a mesh."""
    node_id: str
    """Of the node that made it."""
    made_ms: Count
    """When, in ms since 1970."""
    events: Count
    """That the log of that node showed."""
    entries: Count
    """Of all epochs, as far as they count."""
    facts: Count
    proofs: Count


class _Version(msgspec.Struct):
    archive: Annotated[int, Meta(ge=1)]


_decode_header = msgspec.json.Decoder(ArchiveHeader).decode
_decode_version = msgspec.json.Decoder(_Version).decode


def is_archive(line: bytes) -> bool:
    """Whether a first line may be that of an archive, of any version."""
    return line.startswith(_BEGINNING)


def read_header(line: bytes) -> ArchiveHeader:
    """Raises ArchiveError for another version and for what is no such line."""
    try:
        version = _decode_version(line).archive
        if version != ARCHIVE_VERSION:
            raise ArchiveError(
                f"it has the version {version} of archives, and this release reads version {ARCHIVE_VERSION}: import it "
                "with the release that made it, or make it anew with this one"
            )
        return _decode_header(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArchiveError(f"its first line is not what was written ({error}): take another copy of it") from None


def write_archive(header: ArchiveHeader, frames: Iterable[bytes], write: Callable[[bytes], object]) -> None:
    """Give a whole archive to `write`, piece by piece. Raises what `frames` and `write` raise."""
    digest = sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        write(data)

    put(msgspec.json.encode(header) + b"\n")
    for frame in frames:
        put(b"%d %b\n" % (len(frame), frame))
    write(b"%b%b\n" % (_END, digest.hexdigest().encode()))


def read_frames(first: bytes, file: BinaryIO) -> Iterator[bytes]:
    """The frames after the first line. Raises ArchiveError where a record or the end is not what was written, and OSError."""
    digest = sha256(first)
    at = len(first)
    while True:
        head = _read_head(file)
        if head == _END:
            _check_end(file, digest.hexdigest().encode(), at)
            return
        size = int(head) if head[:-1].isdigit() and head.endswith(b" ") else NODE_FRAME_BYTES + 1
        frame = file.read(size + 1) if size <= NODE_FRAME_BYTES else b""
        if len(frame) <= size or not frame.endswith(b"\n"):
            raise _broken(at, is_short=len(frame) <= size <= NODE_FRAME_BYTES or not file.read(1))
        digest.update(head)
        digest.update(frame)
        at += len(head) + len(frame)
        yield frame[:-1]


def _read_head(file: BinaryIO) -> bytes:
    """A number and the space after it, or what stands there instead."""
    head = b""
    while len(head) <= _MAX_DIGITS and not head.endswith(b" "):
        byte = file.read(1)
        if not byte:
            break
        head += byte
    return head


def _check_end(file: BinaryIO, digest: bytes, at: int) -> None:
    line = file.read(len(digest) + 2)
    if len(line) <= len(digest):
        raise _broken(at, is_short=True)
    if line != digest + b"\n":
        raise ArchiveError("its bytes are not those that were written: take another copy of it")


def _broken(at: int, *, is_short: bool) -> ArchiveError:
    why = "it was cut short" if is_short else "it is not what was written"
    return ArchiveError(f"{why}, from byte {at} on: take another copy of it")
