"""Random histories of nodes whose stores are files, which are copied and rolled back as files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings

from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.run_histories import History, Step, histories
from tests.support.run_house import CheckedStore


class Files:
    """Makes stores in a folder, and copies the file of one that is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._paths: dict[int, Path] = {}
        self._stores: list[SqliteRunStore] = []

    def make(self) -> SqliteRunStore:
        path = self._folder / f"{next(self._numbers)}.db"
        store = SqliteRunStore(path, synchronous="OFF")
        self._paths[id(store)] = path
        self._stores.append(store)
        return store

    def copied(self, store: CheckedStore) -> SqliteRunStore:
        copy = self.make()
        with (
            closing(sqlite3.connect(self._paths[id(store)])) as source,
            closing(sqlite3.connect(self._paths[id(copy)])) as target,
        ):
            source.backup(target)
        copy.open()
        return copy

    def close(self) -> None:
        for store in self._stores:
            store.close()


@contextmanager
def files() -> Iterator[Files]:
    with ExitStack() as stack:
        made = Files(Path(stack.enter_context(TemporaryDirectory())))
        stack.callback(made.close)
        yield made


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories)
def test_nodes_with_files_that_meet_end_equal_after_any_history(steps: list[Step]) -> None:
    with files() as made:
        history = History(made.make, made.copied)
        history.play(steps)
        history.meet()
