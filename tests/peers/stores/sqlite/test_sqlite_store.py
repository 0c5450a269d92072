"""What only a store in a file has."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from peers.events.entry import Entry
from peers.stores.runs.sqlite.layout import LAYOUT_3
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite.file import APPLICATION_ID, WAL_LIMIT_BYTES
from peers.stores.store import StoreError
from tests.support.run_house import Writer
from tests.support.sql_store import SqlStore

WRITER = Writer(1)

UNPRIVILEGED = 65534
BODY = b'{"type":"a","text":"' + b"x" * 1000 + b'"}'


def entry(ms: int, body: bytes = BODY) -> Entry:
    return Entry((ms, "kitchen", 0), ms, body)


def put(store: SqliteRunStore, *entries: Entry) -> None:
    with store.transaction():
        store.append(entries, WRITER.pen)


def opened(path: Path, *, synchronous: str = "OFF") -> SqliteRunStore:
    store = SqliteRunStore(path, synchronous=synchronous)
    store.open()
    return store


def with_header(path: Path, offset: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value.to_bytes(4, "big"))


def run(path: Path, statement: str, *values: Any) -> list[Any]:
    """Run a statement in the file through another connection."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def make_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE facts (key, value)")
        connection.commit()


def make_newer(path: Path) -> None:
    opened(path).close()
    with_header(path, 60, LAYOUT_3.version + 1)


def make_newer_in_the_wal(path: Path) -> None:
    """An upgrade that crashed before its checkpoint: the file's own first page still says the old version."""
    store = opened(path)
    run(path, f"PRAGMA user_version = {LAYOUT_3.version + 1}")
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{path}{end}.copy")
    store.close()
    for end in ("", "-wal"):
        shutil.move(f"{path}{end}.copy", f"{path}{end}")


def make_truncated(path: Path) -> None:
    store = opened(path)
    put(store, *(entry(ms) for ms in range(1, 100)))
    store.close()
    os.truncate(path, path.stat().st_size // 2)


def make_scribbled(path: Path) -> None:
    opened(path).close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)


def make_unreadable_schema(path: Path) -> None:
    """SQLite quotes it in what it says, and that is no text then."""
    opened(path).close()
    path.write_bytes(path.read_bytes().replace(b"TABLE facts", b"\xc5ABLE facts"))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_text("dear diary" * 100), "not a log, or is damaged; move it away"),
        (lambda path: path.write_bytes(b"SQLite format 3\0"), "not a log, or is damaged; move it away"),
        (make_foreign, "belongs to another program; move it away"),
        (make_newer, "newer release .layout 4, this one knows 3.; install that release"),
        (make_newer_in_the_wal, "newer release .layout 4, this one knows 3.; install that release"),
        (make_truncated, "malformed; it is damaged: put a copy"),
        (make_scribbled, "it is damaged: put a copy"),
        (make_unreadable_schema, "it is damaged: put a copy"),
    ],
)
def test_refuses_such_a_file_and_leaves_it_as_it_was(
    tmp_path: Path, make: Callable[[Path], object], sentence: str
) -> None:
    path = tmp_path / "log.db"
    make(path)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir() if not each.name.endswith("-shm")}

    with pytest.raises(StoreError, match=sentence) as refusal:
        SqliteRunStore(path).open()

    assert str(path) in str(refusal.value)
    assert before == {each.name: each.read_bytes() for each in tmp_path.iterdir() if not each.name.endswith("-shm")}


@pytest.mark.parametrize("name", ["", "missing/log.db"])
def test_says_where_no_file_can_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="directory"):
        SqliteRunStore(tmp_path / name).open()


def test_begins_in_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "log.db").touch()

    store = opened(tmp_path / "log.db")
    put(store, entry(1))
    store.close()

    assert opened_and_closed(tmp_path / "log.db") == 1


def opened_and_closed(path: Path) -> int:
    store = opened(path)
    events = store.state.events
    store.close()
    return events


def test_a_path_may_have_any_characters(tmp_path: Path) -> None:
    path = tmp_path / "100% café? #1 & mode=ro.db"

    opened(path).close()

    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_the_file_says_whose_it_is(tmp_path: Path) -> None:
    opened(tmp_path / "log.db").close()

    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (LAYOUT_3.version,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_closing_leaves_one_file_that_holds_all(tmp_path: Path) -> None:
    store = opened(tmp_path / "log.db")
    put(store, entry(1))

    store.close()

    assert [each.name for each in tmp_path.iterdir()] == ["log.db"]


KILLED = """
import sys
from peers.events.entry import Entry
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.run_house import Writer
writer = Writer(1)
store = SqliteRunStore(sys.argv[1], synchronous="NORMAL")
store.open()
for ms in range(1, 100_000):
    with store.transaction():
        store.append([Entry((ms, "a", n), ms, b'{"type":"a"}') for n in range(7)], writer.pen, clock_ms=ms)
    print(ms, flush=True)
"""


def test_what_was_committed_outlives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, env=with_this_path())
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 200:
            break
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.stdout.close()
    process.wait(30)
    acknowledged = int(rest[-1]) if rest else 200

    store = opened(path)
    state, ends = store.state, store.ends()
    store.close()

    assert state.events >= 7 * acknowledged
    assert state.events % 7 == 0
    assert [end.seq for end in ends.values()] == [state.events]
    assert state.events == state.last_added == state.last_position == 7 * state.clock_ms


def with_this_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_a_failed_commit_is_taken_back(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "log.db", synchronous="OFF")
    store.open()
    put(store, entry(1))

    with pytest.raises(StoreError), store.transaction():
        store.append([entry(2)], WRITER.pen)
        store.connection.execute("ROLLBACK")  # as SQLite itself does after some errors of the disk
        with pytest.raises(RuntimeError, match="inside a transaction"):
            store.append([entry(3)], WRITER.pen)

    assert store.state.events == len(store.each()) == 1
    put(store, entry(4))
    store.close()
    assert opened_and_closed(tmp_path / "log.db") == 2


@contextmanager
def as_an_ordinary_user(*owned: Path) -> Iterator[None]:
    """Nothing is read-only for root: if we are root, be a user who owns these instead."""
    before = os.geteuid()
    if before == 0:
        for path in owned:
            os.chown(path, UNPRIVILEGED, -1)
        os.seteuid(UNPRIVILEGED)
    try:
        yield
    finally:
        os.seteuid(before)


def test_says_that_a_file_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:  # tmp_path is inside folders that only root may enter
        path = Path(name) / "log.db"
        opened(path).close()
        path.chmod(0o400)

        with as_an_ordinary_user(path.parent, path), pytest.raises(StoreError, match=r"make the file .* writable"):
            opened(path)


def test_says_that_another_process_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peers.stores.sqlite.file.BUSY_MS", 10)
    store = opened(tmp_path / "log.db")

    with store.transaction(), pytest.raises(StoreError, match="end the other process"):
        opened(tmp_path / "log.db")

    store.close()


def test_may_be_made_here_and_used_on_another_thread(tmp_path: Path) -> None:
    store = SqliteRunStore(tmp_path / "log.db", synchronous="OFF")
    pages: list[tuple[Entry, ...]] = []

    def work() -> None:
        store.open()
        put(store, entry(1))
        pages.append(store.each())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    store.close()

    assert len(pages[0]) == 1


def test_the_wal_does_not_grow_without_bound(tmp_path: Path) -> None:
    store = opened(tmp_path / "log.db")

    for start in range(0, 20_000, 500):
        put(store, *(entry(ms) for ms in range(start, start + 500)))
        assert (tmp_path / "log.db-wal").stat().st_size < WAL_LIMIT_BYTES / 4

    store.close()


def test_syncs_every_commit_by_default(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "log.db")
    store.open()

    assert store.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()
    with pytest.raises(ValueError, match="OFF, NORMAL, FULL, EXTRA"):
        SqliteRunStore(tmp_path / "log.db", synchronous="SOMETIMES")


def test_only_its_user_may_read_a_new_file_and_those_beside_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        store = opened(tmp_path / "log.db")
        put(store, entry(1))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(("log.db", "log.db-wal", "log.db-shm"), 0o600)
