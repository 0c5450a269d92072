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
