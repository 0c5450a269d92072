"""Checkpoints on a thread of their own: the write-ahead log stays short, and a checkpoint that fails harms nothing."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from peers.events.entry import Entry
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite import checkpointer, file
from peers.stores.sqlite.file import connect_beside
from peers.stores.store import StoreError
from tests.support.commands import environment
from tests.support.run_house import Writer

WRITER = Writer(1)
SECONDS = 20.0
CAP = 400_000
COMMIT_BYTES = 100_000
"""More than the write-ahead log grows by two of the commits here."""


class Lock:
    """The lock of the checkpoints, which counts them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.entered = self.left = 0

    def __enter__(self) -> None:
        self.entered += 1
        self.lock.acquire()

    def __exit__(self, *_error: Any) -> None:
        self.lock.release()
        self.left += 1


class Room:
    """A store with its checkpoints on a thread."""

    def __init__(self, folder: Path) -> None:
        self.path, self.wal = folder / "log.db", folder / "log.db-wal"
        self.lock = Lock()
        self.store = SqliteRunStore(self.path, synchronous="OFF", checkpoint_lock=self.lock)
        self.store.open()
        self.written = self.longest = 0
        self.slowest_seconds = 0.0
        """That one commit took."""

    def write(self, events: int, *, each: int = 1) -> None:
        for _ in range(0, events, each):
            began = time.monotonic()
            first = self.written + 1
            self.written += each
            with self.store.transaction():
                self.store.append([entry(ms) for ms in range(first, first + each)], WRITER.pen)
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
            self.longest = max(self.longest, self.wal.stat().st_size)

    def write_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline
            self.write(10)

    def checkpoint(self) -> None:
        """Write until one more checkpoint has ended, or was tried."""
        before = self.lock.left
        self.write_until(lambda: self.lock.left > before)

    def held(self) -> int:
        return self.store.state.events


def entry(ms: int) -> Entry:
    return Entry((ms, "a", 0), ms, b'{"type":"a","text":"' + b"x" * 100 + b'"}')


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "peermesh-checkpoints"]


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    monkeypatch.setattr(checkpointer, "CHECKPOINT_ROWS", 500)
    monkeypatch.setattr(checkpointer, "CHECKPOINT_BYTES", CAP // 4)
    for module in (checkpointer, file):
        monkeypatch.setattr(module, "WAL_LIMIT_BYTES", CAP)
    room = Room(tmp_path)
    yield room
    room.store.close()
    assert threads() == []
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("log.db")] == ["log.db"]


@pytest.mark.parametrize("each", [1, 10])
def test_the_write_ahead_log_stays_below_its_cap_while_others_read(room: Room, each: int) -> None:
    with closing(sqlite3.connect(room.path)) as reader:
        for _ in range(20):
            room.write(150, each=each)
            assert reader.execute("SELECT count(*) FROM events").fetchone() == (room.written,)

    assert room.longest < CAP + COMMIT_BYTES
    assert room.held() == room.written == 3_000


def test_it_stays_below_the_cap_when_no_checkpoint_beside_gets_its_turn(room: Room) -> None:
    with room.lock.lock:
        room.write(1_500)

    assert room.longest < CAP + COMMIT_BYTES
    assert room.held() == 1_500


def test_a_reader_of_an_old_state_delays_no_commit_and_the_log_is_short_again_after_it(room: Room) -> None:
    room.write(10)
    with closing(sqlite3.connect(room.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (10,)
        room.write(1_500)
        assert room.slowest_seconds < file.BUSY_MS / 1000  # one wait for the reader would take so long
        assert room.longest > CAP

    room.write_until(lambda: room.wal.stat().st_size <= CAP)

    assert room.held() == room.written


def test_the_file_grows_while_the_store_is_open(room: Room) -> None:
    before = room.path.stat().st_size

    room.write_until(lambda: room.path.stat().st_size > before)

    assert room.lock.left >= 1


def test_no_checkpoint_runs_while_its_lock_is_held(room: Room) -> None:
    before = room.path.stat().st_size
    with room.lock.lock:
        room.write(20)  # too few for a checkpoint of the store's own connection
        wait_until(lambda: room.lock.entered > 0)
        room.write(1)
        assert (room.path.stat().st_size, room.lock.left) == (before, 0)

    room.checkpoint()


def test_a_checkpoint_that_fails_is_no_failure_of_the_store_and_is_tried_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([StoreError("no second connection"), sqlite3.OperationalError("disk I/O error")])

    def fail_twice(path: Path, *, synchronous: str) -> sqlite3.Connection:
        for failure in failures:
            raise failure
        return connect_beside(path, synchronous=synchronous)

    monkeypatch.setattr(checkpointer, "connect_beside", fail_twice)
    before = room.path.stat().st_size
    with closing(sqlite3.connect(room.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()  # so that the store's own connection moves nothing
        room.checkpoint()
        room.checkpoint()

    room.write_until(lambda: room.path.stat().st_size > before)

    assert room.held() == room.written


def test_no_checkpoint_touches_another_file_at_the_path(room: Room, tmp_path: Path) -> None:
    room.checkpoint()
    kept = tmp_path / "kept.db"
    with room.lock.lock:  # the next one waits until the file was replaced
        entered = room.lock.entered
        room.write_until(lambda: room.lock.entered > entered)
        left = room.lock.left
        room.path.rename(kept)
        other = SqliteRunStore(room.path.with_name("other.db"))
        other.open()
        other.close()
        room.path.with_name("other.db").rename(room.path)
        found = room.path.read_bytes(), kept.read_bytes()
    wait_until(lambda: room.lock.left > left)

    assert (room.path.read_bytes(), kept.read_bytes()) == found
    with pytest.raises(StoreError):
        room.write(1)
    kept.rename(room.path)
    room.written -= 1
    room.checkpoint()
    assert room.held() == room.written


def test_a_store_can_be_opened_again(room: Room) -> None:
    room.checkpoint()
    room.store.close()
    assert threads() == []

    room.store.open()
    room.checkpoint()

    assert room.held() == room.written
    assert len(threads()) == 1


def test_without_the_lock_there_is_no_thread(tmp_path: Path) -> None:
    store = SqliteRunStore(tmp_path / "log.db")
    store.open()

    assert threads() == []
    store.close()


KILLED = """
import sys, threading
from peers.events.entry import Entry
from peers.stores.sqlite import checkpointer, file
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.run_house import Writer
writer = Writer(1)
checkpointer.CHECKPOINT_ROWS, checkpointer.CHECKPOINT_BYTES = 50, 20_000
store = SqliteRunStore(sys.argv[1], synchronous="NORMAL", checkpoint_lock=threading.RLock())
store.open()
for ms in range(1, 100_000):
    with store.transaction():
        store.append([Entry((ms, "a", n), ms, b'{"type":"a"}') for n in range(7)], writer.pen, clock_ms=ms)
    print(ms, flush=True)
"""


@pytest.mark.parametrize("till", [100, 150, 333])
def test_what_was_committed_outlives_kill_9_during_checkpoints(tmp_path: Path, till: int) -> None:
    path = tmp_path / "log.db"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == till:
            break
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.stdout.close()
    process.wait(SECONDS)
    acknowledged = int(rest[-1]) if rest else till

    store = SqliteRunStore(path)
    state = store.open()

    assert acknowledged * 7 <= state.events <= (acknowledged + 1) * 7
    assert state.events % 7 == 0
    assert state.events == len(store.each(limit=1_000_000))
    store.close()


def test_a_store_whose_thread_cannot_start_is_not_open_and_can_be_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteRunStore(tmp_path / "log.db", checkpoint_lock=threading.RLock())
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="no more threads"):
        patch.setattr(threading.Thread, "start", no_more_threads)
        store.open()

    assert store.open().events == 0
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.db"]


def no_more_threads(_thread: threading.Thread) -> None:
    raise RuntimeError("no more threads")
