"""A look at the file of a store of runs, which changes nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from peers.stores.runs.sqlite.reader import SqliteRunReader
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import StoreError
from tests.support.run_house import Writer, event, put, types


@pytest.fixture(params=["closed", "killed"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The file of a store that was closed, or whose process was killed."""
    folder = tmp_path / "home"
    folder.mkdir()
    store = SqliteRunStore(tmp_path / "log.db", synchronous="OFF")
    store.open()
    put(store, Writer(1), event(1, "milk"), event(2, "bread"))
    if request.param == "closed":
        store.close()
    for path in tmp_path.glob("log.db*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, folder)
    store.close()
    return folder / "log.db"


def test_shows_what_is_there_and_changes_no_file(written: Path) -> None:
    before = {path.name: path.read_bytes() for path in written.parent.iterdir()}
    reader = SqliteRunReader(written)

    assert reader.open().events == 2
    assert types(reader.each(order="added")) == ["milk", "bread"]
    with pytest.raises(StoreError, match="is open to be read only"), reader.transaction():
        pass
    reader.close()

    assert {path.name: path.read_bytes() for path in written.parent.iterdir()} == before


def test_says_so_when_a_store_has_written_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store = SqliteRunStore(path, synchronous="OFF")
    store.open()
    store.close()
    reader = SqliteRunReader(path)
    reader.open()

    os.utime(path, ns=(1, 1))

    with pytest.raises(StoreError, match="was opened by a node meanwhile: try again"):
        reader.each()
    reader.close()


def test_reads_a_file_whose_write_ahead_log_has_its_header_alone_as_it_was_before(tmp_path: Path) -> None:
    store = SqliteRunStore(tmp_path / "log.db", synchronous="OFF")
    store.open()
    put(store, Writer(1), event(1, "milk"))
    store.close()
    store.open()
    put(store, Writer(2), event(2, "bread"))
    killed = tmp_path / "killed"
    killed.mkdir()
    shutil.copy(tmp_path / "log.db", killed)
    (killed / "log.db-wal").write_bytes((tmp_path / "log.db-wal").read_bytes()[:32])
    (killed / "log.db-shm").write_bytes(bytes(32_768))
    store.close()

    reader = SqliteRunReader(killed / "log.db")

    assert reader.open().events == 1
    reader.close()


@pytest.mark.parametrize("left", ["log.db", "log.db-journal"])
def test_a_file_whose_making_was_cut_short_is_no_damage(tmp_path: Path, left: str) -> None:
    store = SqliteRunStore(tmp_path / "log.db", synchronous="OFF")
    store.open()
    store.close()
    (tmp_path / left).write_bytes(b"")

    with pytest.raises(StoreError, match="has nothing in it: if its making was cut short"):
        SqliteRunReader(tmp_path / "log.db").open()


def test_an_empty_file_whose_write_ahead_log_has_something_was_lost(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"")
    (tmp_path / "log.db-wal").write_bytes(bytes(5_000))

    for store in SqliteRunReader(tmp_path / "log.db"), SqliteRunStore(tmp_path / "log.db"):
        with pytest.raises(
            StoreError, match=r"is missing or empty, and its write-ahead log .* is there: put the file back"
        ):
            store.open()
