"""An archive of the log of a home, written whether its node runs or not, and the records of one, taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mesh.control.messages import FRAMES_BYTES, MAX_FRAMES
from mesh.errors import MeshError
from mesh.settings.home import read_identity, read_signer
from mesh.settings.home_lock import is_locked
from mesh.settings.paths import LOG_FILE
from mesh.settings.upgrade import is_log_old
from mesh.trust.certificates import mesh_key_of
from peers.codec.archive import ArchiveHeader, read_frames, write_archive
from peers.protocol.runs.archiving import frames_of
from peers.stores.runs.sqlite.reader import SqliteRunReader
from peers.stores.store import StoreError

NAMED_WRITERS = 32
"""Nodes that a restore names."""


class WrittenArchive(NamedTuple):
    """What was written."""

    header: ArchiveHeader
    left_out: int
    """Events that the log has, and the archive has not, since no entry of them counts."""


def mesh_key_in(home: Path) -> bytes:
    """The public key of the mesh of a home; empty if it is in none. Raises MeshError."""
    return mesh_key_of(home, read_signer(home).public)


def log_reader(home: Path) -> SqliteRunReader:
    """The log of a home as of its last commit, to be opened, whether a node writes it or not. Raises MeshError."""
    reader = SqliteRunReader(home / LOG_FILE, is_in_use=is_locked(home))
    if mesh_key := mesh_key_in(home):
        reader.enter_mesh(mesh_key)
    return reader


def newest_times(home: Path) -> dict[str, int]:
    """When the newest entries here of the nodes that wrote last were written, in ms, by the ids of at most NAMED_WRITERS nodes.

    For a home in which no node runs; nothing of a log of an earlier release. Raises MeshError.
    """
    if is_log_old(home):
        return {}
    reader = log_reader(home)
    try:
        reader.open()
        try:
            ends = reader.ends()
            dots = [(epoch, ends[epoch].seq) for epoch in reader.newest(NAMED_WRITERS)]
            events = [event for dot in dots for _, event in reader.events_at([dot])]
            return {event.origin: event.time for event in events if event.origin is not None}
        finally:
            reader.close()
    except StoreError as error:
        raise MeshError(str(error)) from None


def archive_of(
    home: Path, *, now_ms: int, write: Callable[[bytes], object], on_entries: Callable[[int, int], None]
) -> WrittenArchive:
    """Give an archive of the log of a home to `write`. It has the state of one commit, the last one at the beginning.

    `on_entries(done, total)` is called after each few hundred entries. Raises MeshError, StoreError for a damaged log, and what
    `write` raises.
    """
    node_id, _ = read_identity(home)
    reader = log_reader(home)
    reader.open()
    try:
        ends = reader.ends()
        header = ArchiveHeader(
            mesh=mesh_key_in(home).hex(),
            node_id=node_id,
            made_ms=now_ms,
            events=reader.state.events,
            entries=sum(end.seq for end in ends.values()),
            facts=len(reader.facts()),
            proofs=sum(bool(end.mark) for end in ends.values()),
        )
        left_out = len({event.position for event in reader.orphans()})
        write_archive(header, _counted(reader, header.entries, on_entries), write)
        reader.check_still()
    finally:
        reader.close()
    return WrittenArchive(header, left_out)


def _counted(reader: SqliteRunReader, total: int, on_entries: Callable[[int, int], None]) -> Iterator[bytes]:
    done = 0
    for frame, entries in frames_of(reader):
        yield frame
        done += entries
        on_entries(done, total)


def groups_of_frames(first: bytes, file: BinaryIO) -> Iterator[list[bytes]]:
    """The records of an archive after its first line, as many at a time as one request takes. Raises as `read_frames`.

    What was read before a damage comes first.
    """
    group: list[bytes] = []
    size = 0
    try:
        for frame in read_frames(first, file):
            if group and (size + len(frame) > FRAMES_BYTES or len(group) == MAX_FRAMES):
                yield group
                group, size = [], 0
            group.append(frame)
            size += len(frame)
    except ValueError:
        if group:
            yield group
        raise
    if group:
        yield group
