"""The disks of rooms, in memory or in files, and their state after a power cut."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from random import Random
from shutil import copyfile, rmtree
from tempfile import mkdtemp
from typing import Any, Literal, Protocol

from peers.events.created import Created
from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.epoch import NOTHING, EpochEnd
from peers.stores.run_store import RunState, RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite.file import explain, wal_of
from peers.stores.store import StoreError

LabStore = MemoryRunStore | SqliteRunStore
"""What a room's disk may be."""
StoreKind = Literal["memory", "sqlite"]
Work = Callable[[LabStore], Any]

MAX_GARBAGE_BYTES = 10_000
"""Bytes of garbage that a power cut may leave behind the last commit in a write-ahead log."""
WAL_HEADER_BYTES = 32
WAL_SALTS = slice(16, 24)
"""The place of the salts in a write-ahead log. Frames with other salts do not count: they are older than its last restart."""
FRAME_HEADER_BYTES = 24
FRAME_SALTS = slice(8, 16)
ERRORS = {
    "SQLITE_FULL": "database or disk is full",
    "SQLITE_IOERR_WRITE": "disk I/O error",
}
"""The messages of SQLite for the failures that the lab makes."""


class Medium(Protocol):
    """Makes the disks of rooms, all of one kind."""

    def blank(self) -> LabStore:
        """An empty disk, open."""

    def copy(self, store: LabStore) -> LabStore:
        """Another disk that holds the same, open, which goes on in the same epoch. Raises ValueError for another kind."""

    def after_crash(self, store: LabStore, doomed: Sequence[Work], random: Random) -> LabStore:
        """The disk as it is once the power is back, open; `doomed` is the work of the commit that the power cut interrupted."""

    def discard(self, store: LabStore) -> None:
        """Delete a disk."""

    def close(self) -> None:
        """Delete all of them."""


class Memory:
    """Disks that are MemoryRunStores. After a crash they hold what was committed."""

    def __init__(self, mesh: bytes) -> None:
        """`mesh` is the public key of the mesh of all rooms."""
        self._mesh = mesh

    def blank(self) -> LabStore:
        store = MemoryRunStore()
        store.enter_mesh(self._mesh)
        store.open()
        return store

    def copy(self, store: LabStore) -> LabStore:
        if not isinstance(store, MemoryRunStore):
            raise _of_another_kind()
        return deepcopy(store)

    def after_crash(self, store: LabStore, doomed: Sequence[Work], random: Random) -> LabStore:
        store.close()
        store.open()
        return store

    def discard(self, store: LabStore) -> None:
        pass

    def close(self) -> None:
        pass


class FileStore(SqliteRunStore):
    """A SqliteRunStore whose next commit can be made to fail, and whose errors name the file without its folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, synchronous="OFF")  # the lab cuts the power of its rooms, not that of its own machine
        self.path = path
        self.failure: str | None = None
        """A name among ERRORS: the next commit fails with that error."""

    def open(self) -> RunState:
        with self._without_folder():
            return super().open()

    def go_on_in(self, epoch: Epoch | None) -> None:
        """The next own entry continues this epoch, as in a process that never stopped."""
        self._numbers.epoch = epoch

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._without_folder(), super().transaction():
            yield
            failure, self.failure = self.failure, None
            if failure is not None:
                error = sqlite3.OperationalError(ERRORS[failure])
                error.sqlite_errorname = failure
                raise explain(self.path, error) from error

    @contextmanager
    def _without_folder(self) -> Iterator[None]:
        """The folder differs from run to run, and the trace must not."""
        try:
            yield
        except StoreError as error:
            raise StoreError(str(error).replace(f"{self.path.parent}/", ""), error.brief) from error


class Files:
    """Disks that are SQLite files in a temporary folder.

    A power cut keeps the file and its write-ahead log. Of the commit that it interrupts it leaves a part, all with one wrong
    byte, or all. If it interrupts no commit, garbage may follow the last one.
    """

    def __init__(self, mesh: bytes) -> None:
        """`mesh` is the public key of the mesh of all rooms."""
        self._mesh = mesh
        self._folder: Path | None = None
        self._made = 0
        self._disks: dict[Path, FileStore] = {}

    def blank(self) -> LabStore:
        return self._open(self._new_path())

    def copy(self, store: LabStore) -> LabStore:
        if not isinstance(store, FileStore):
            raise _of_another_kind()
        path = self._new_path()
        copyfile(store.path, path)
        wal_of(path).write_bytes(_read_wal(store.path))
        copy = self._open(path)
        copy.go_on_in(store.state.epoch)
        return copy

    def after_crash(self, store: LabStore, doomed: Sequence[Work], random: Random) -> LabStore:
        assert isinstance(store, FileStore)
        committed, ends = store.state, store.ends()
        path = self._new_path()
        copyfile(store.path, path)
        before = _read_wal(store.path)
        _commit(store, doomed)
        wal_of(path).write_bytes(torn(before, _read_wal(store.path), random))
        self.discard(store)
        found = self._open(path)
        lost = [epoch for epoch, end in ends.items() if lacks(found.ends().get(epoch), end)]
        if found.state.last_position < committed.last_position or lost:
            raise AssertionError(f"a power cut lost what was committed: {committed} before, {found.state} after it")
        return found

    def discard(self, store: LabStore) -> None:
        assert isinstance(store, FileStore)
        store.close()
        self._disks.pop(store.path, None)
        for path in (store.path, wal_of(store.path), Path(f"{store.path}-shm")):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        for store in tuple(self._disks.values()):
            self.discard(store)
        if self._folder is not None:
            rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _open(self, path: Path) -> FileStore:
        store = self._disks[path] = FileStore(path)
        store.enter_mesh(self._mesh)
        store.open()
        return store

    def _new_path(self) -> Path:
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix="peermesh-lab-"))
        self._made += 1
        return self._folder / f"disk-{self._made}.sqlite"


def torn(before: bytes, after: bytes, random: Random) -> bytes:
    """A write-ahead log after a power cut during the commit that turns `before` into `after`. All of `before` is kept."""
    start, end = _new_part(before, after)
    if start >= end:
        return before + random.randbytes(random.randrange(MAX_GARBAGE_BYTES))
    place = random.randrange(start, end)
    way = random.choice(("cut", "cut", "wrong byte", "whole"))
    if way == "cut":
        return after[:place] + before[place:]
    if way == "wrong byte":
        return after[:place] + bytes([after[place] ^ 0xFF]) + after[place + 1 :]
    return after


def _new_part(before: bytes, after: bytes) -> tuple[int, int]:
    """Where the bytes of the last commit are. It may have restarted the log at the beginning of the file."""
    if before[WAL_SALTS] == after[WAL_SALTS]:
        return len(before), len(after)
    page_bytes = int.from_bytes(after[8:12], "big")
    end = WAL_HEADER_BYTES
    while after[end:][FRAME_SALTS] == after[WAL_SALTS]:
        end += FRAME_HEADER_BYTES + page_bytes
    return 0, min(end, len(after))


def _commit(store: LabStore, works: Sequence[Work]) -> None:
    with suppress(Exception), store.transaction():  # work that fails leaves nothing in the log
        for work in works:
            work(store)


def _read_wal(path: Path) -> bytes:
    return wal_of(path).read_bytes() if wal_of(path).exists() else b""


def _of_another_kind() -> ValueError:
    return ValueError("a backup of another kind of disk does not fit: take one of a room with the same store")


def lacks(held: EpochEnd | None, end: EpochEnd) -> bool:
    """Whether who has an epoch up to `held` lacks something up to `end`. After the cut of a fork nothing counts."""
    return (held is None or not held.mark) and (held or NOTHING).seq < end.seq


def held_on(store: LabStore) -> dict[Created, None]:
    """The events of which a store has a copy: shown, aside or cleaned."""
    return dict.fromkeys([copy.created for copy in store.copies()])


def holds(store: LabStore, created: Created) -> bool:
    """Whether a store has a copy of an event: shown, aside or cleaned."""
    return store.find(created) is not None or created in held_on(store)


def knows_the_same(one: RunStore, other: RunStore) -> bool:
    """Whether two stores have the same facts of the mesh; so they do where one keeps none."""
    ours, theirs = one.mesh_end(), other.mesh_end()
    return ours == theirs or ours is None or theirs is None


def all_entries(store: RunStore) -> list[Entry]:
    """What a store shows, by (time, created)."""
    found: list[Entry] = []
    while page := store.each(after=found[-1] if found else None):
        found += page
    return found


class Media:
    """The disks of one cluster, of both kinds."""

    def __init__(self, mesh: bytes) -> None:
        """`mesh` is the public key of the mesh of all rooms."""
        self._media: dict[str, Medium] = {"memory": Memory(mesh), "sqlite": Files(mesh)}

    def find(self, kind: str) -> Medium:
        """The disks of a kind. Raises ValueError if there is no such kind."""
        if kind not in self._media:
            raise ValueError(f"there is no store {kind!r}: choose one of {', '.join(sorted(self._media))}")
        return self._media[kind]

    def close(self) -> None:
        """Delete all disks."""
        for medium in self._media.values():
            medium.close()
