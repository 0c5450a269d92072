"""A disk that changes what was written: no wrong piece is sent, and the sentence names the file."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.events.dot import Epoch
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import StoreError
from tests.support.flipped_log import change_value, rows, write_log


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("written") / "log.db")


def sent(path: Path) -> tuple[Any, ...]:
    """All that others would be told of the epochs in a file."""
    store = SqliteRunStore(path, synchronous="OFF")
    store.open()
    try:
        ends = store.ends()
        heads = [store.head(epoch, seq) for epoch, end in ends.items() for seq in range(end.seq + 1)]
        blocks = [store.blocks(epoch) for epoch in ends]
        dots = [(epoch, seq) for epoch, end in ends.items() for seq in range(1, end.seq + 1)]
        births = [store.birth(epoch) for epoch in ends]
        fills = [(dot, each.created, each.time, each.body, each.extra) for dot, each in store.events_at(dots)]
        return ends, heads, blocks, births, fills, [plain(store, epoch, seq) for epoch, seq in dots]
    finally:
        store.close()


def plain(store: SqliteRunStore, epoch: Epoch, seq: int) -> tuple[Any, ...]:
    """A piece, without what is this store's own."""
    piece = store.piece(epoch, seq)
    assert piece is not None
    return piece.epoch, piece.birth, piece.first, piece.start, piece.kinds, piece.leaves, piece.head, piece.signature


@pytest.fixture(scope="module")
def told(written: Path) -> tuple[Any, ...]:
    return sent(written)


def test_a_value_that_the_disk_changed_is_noticed_or_tells_others_nothing(
    written: Path, told: tuple[Any, ...], tmp_path: Path
) -> None:
    path = tmp_path / "log.db"
    noticed: set[tuple[str, str]] = set()
    for table, column, at in rows(written):
        copyfile(written, path)
        if not change_value(path, table, column, at):
            continue
        try:
            after = sent(path)
        except StoreError as error:
            assert str(path) in str(error)
            assert "put a copy in its place" in str(error)
            noticed.add((table, column))
        else:
            assert after == told, (table, column, at)
    of_events = {("events", column) for column in ("ms", "node", "n", "time", "body", "extra", "epoch", "seq")}
    of_runs = {("runs", column) for column in ("first", "last", "before", "head", "kinds", "signature", "checksum")}
    of_epochs = {("epochs", column) for column in ("name", "birth", "seq", "head", "first", "grown", "checksum")}
    others = {("spans", "places"), ("hollow", "leaf"), ("further", "copy"), ("nodes", "name")}
    assert of_events | of_runs | of_epochs | others <= noticed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_bit_of_the_file_may_flip(
    written: Path, told: tuple[Any, ...], tmp_path: Path, place: float, bit: int
) -> None:
    path = tmp_path / "log.db"
    data = bytearray(written.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    for name in (f"{path}-wal", f"{path}-shm"):
        Path(name).unlink(missing_ok=True)

    try:
        after = sent(path)
    except StoreError as error:
        assert str(path) in str(error)
    else:
        assert after == told
