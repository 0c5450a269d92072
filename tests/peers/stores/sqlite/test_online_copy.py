"""The copy of a log that a store goes on writing, and the check of such a copy."""

from __future__ import annotations

import errno
import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.events.entry import Entry
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite import file, online_copy
from peers.stores.sqlite.online_copy import copy_log, count_events
from peers.stores.store import StoreError
from tests.support.old_logs import OldLogFile, old_event
from tests.support.run_house import Writer

DEADLINE_SECONDS = 20.0
WRITER = Writer(1)
BODY = b'{"type":"a","text":"' + b"x" * 1000 + b'"}'


def put(store: SqliteRunStore, first: int, count: int = 1) -> None:
    """Commit events with the numbers from `first` on."""
    with store.transaction():
        store.append([Entry((ms, "kitchen", 0), ms, BODY) for ms in range(first, first + count)], WRITER.pen)


def shown(path: Path) -> list[int]:
    """The numbers of the events in a log."""
    store = SqliteRunStore(path)
    store.open()
    try:
        return [entry.created[0] for entry in store.each(order="added", limit=10_000)]
    finally:
        store.close()


def made(path: Path, events: int) -> SqliteRunStore:
    store = SqliteRunStore(path, synchronous="OFF")
    store.open()
    if events:
        put(store, 1, events)
    return store


def copied(source: Path, target: Path, *, is_in_use: bool, on_step: Callable[[int, int], None] | None = None) -> Path:
    target.write_bytes(b"")
    copy_log(source, target, is_in_use=is_in_use, on_step=on_step or (lambda _done, _total: None))
    return target


@pytest.fixture(autouse=True)
def many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online_copy, "COPY_PAGES", 2)


@pytest.mark.parametrize("events", [0, 1, 200])
def test_a_copy_of_a_log_in_use_has_all_that_is_committed(tmp_path: Path, events: int) -> None:
    store = made(tmp_path / "log.sqlite", events)

    copy = copied(tmp_path / "log.sqlite", tmp_path / "copy", is_in_use=True)
    store.close()

    assert count_events(copy) == events
    assert shown(copy) == list(range(1, events + 1))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_copy_has_the_state_of_its_beginning_whatever_is_written_meanwhile(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    source = folder / "log.sqlite"
    before = data.draw(st.integers(0, 60))
    store = made(source, before)
    written = before

    def on_step(_done: int, _total: int) -> None:
        nonlocal written
        what = data.draw(st.sampled_from(["write", "write", "clean", "reopen", "nothing"]))
        if what == "write":
            count = data.draw(st.integers(1, 20))
            put(store, written + 1, count)
            written += count
        elif what == "clean" and written:
            with store.transaction():
                store.clean([(data.draw(st.integers(1, written)), "kitchen", 0)])
        elif what == "reopen":
            store.close()
            store.open()

    copy = copied(source, folder / "copy", is_in_use=True, on_step=on_step)

    assert count_events(copy) == before
    assert shown(copy) == list(range(1, before + 1))
    assert store.state.last_added == written
    store.close()
    assert len(shown(source)) == store.state.events


def test_each_step_says_how_many_pages_are_copied(tmp_path: Path) -> None:
    store = made(tmp_path / "log.sqlite", 50)
    steps: list[tuple[int, int]] = []

    copied(tmp_path / "log.sqlite", tmp_path / "copy", is_in_use=True, on_step=lambda *step: steps.append(step))
    store.close()

    total = steps[0][1]
    assert [done for done, _ in steps] == sorted({*range(2, total, 2), total})
    assert {of for _, of in steps} == {total}


def test_a_copy_of_a_log_that_nothing_has_open_changes_no_file_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    made(folder / "log.sqlite", 30).close()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    copy = copied(folder / "log.sqlite", tmp_path / "copy", is_in_use=False)

    assert shown(copy) == list(range(1, 31))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_copy_is_refused_after_a_write_to_a_log_that_seemed_closed(tmp_path: Path) -> None:
    made(tmp_path / "log.sqlite", 30).close()

    def on_step(_done: int, _total: int) -> None:
        with (tmp_path / "log.sqlite").open("ab") as log:
            log.write(b"more")

    with pytest.raises(StoreError, match="was opened by a node meanwhile: try again"):
        copied(tmp_path / "log.sqlite", tmp_path / "copy", is_in_use=False, on_step=on_step)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """This process cannot write files beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_copy_that_cannot_be_written_is_an_error_about_the_copy_and_not_about_the_log(tmp_path: Path) -> None:
    store = made(tmp_path / "log.sqlite", 200)

    with files_of_at_most(100_000), pytest.raises(OSError, match="copy") as caught:
        copied(tmp_path / "log.sqlite", tmp_path / "copy", is_in_use=True)

    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(tmp_path / "copy"))
    put(store, 201)
    store.close()
    assert len(shown(tmp_path / "log.sqlite")) == 201


@pytest.mark.parametrize("is_in_use", [True, False])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "No such file"), (b"", "if its making was cut short"), (b"other" * 100, "not a log")],
)
def test_what_is_no_log_is_not_copied(tmp_path: Path, content: bytes | None, sentence: str, *, is_in_use: bool) -> None:
    if content is not None:
        (tmp_path / "log.sqlite").write_bytes(content)

    with pytest.raises(StoreError, match=sentence):
        copied(tmp_path / "log.sqlite", tmp_path / "copy", is_in_use=is_in_use)


def broken(path: Path, spoil: Callable[[bytes], bytes]) -> Path:
    made(path, 200).close()
    path.write_bytes(spoil(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    "spoil",
    [
        lambda log: log[: len(log) // 2],
        lambda log: log[:20_000] + b"\0" * 8_192 + log[28_192:],
        lambda log: log[:4_096] + b"\xff" * 4_096 + log[8_192:],
        lambda log: log[:100],
    ],
)
def test_a_damaged_log_does_not_pass_the_check(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(StoreError, match=r"log\.sqlite: it is damaged"):
        count_events(broken(tmp_path / "log.sqlite", spoil))


def test_a_log_that_lost_events_without_a_trace_does_not_pass_the_check(tmp_path: Path) -> None:
    made(tmp_path / "log.sqlite", 5).close()
    with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as connection:
        connection.execute("DELETE FROM events WHERE position = 3")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    with pytest.raises(StoreError, match=r"damaged \(it holds 4 events and counts 5\)"):
        count_events(tmp_path / "log.sqlite")


def test_a_store_that_closes_does_not_wait_for_who_reads_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "BUSY_MS", 3_600_000)
    store = made(tmp_path / "log.sqlite", 10)
    with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        put(store, 11)

        closing_thread = threading.Thread(target=store.close, daemon=True)
        closing_thread.start()
        closing_thread.join(DEADLINE_SECONDS)
        assert not closing_thread.is_alive()

    assert len(shown(tmp_path / "log.sqlite")) == 11


@pytest.mark.parametrize("layout", [1, 2])
@pytest.mark.parametrize("is_in_use", [False, True])
def test_a_log_of_an_earlier_release_is_copied_as_it_is(tmp_path: Path, layout: int, *, is_in_use: bool) -> None:
    old = OldLogFile(layout)
    old.show_all([old_event(ms) for ms in (1, 2, 3)], "kitchen-1")
    old.write(tmp_path / "log.sqlite")

    copy = copied(tmp_path / "log.sqlite", tmp_path / "copy.sqlite", is_in_use=is_in_use)

    assert (count_events(copy), file.check_header(copy)) == (3, layout)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("DELETE FROM changes WHERE position = 3")
    with pytest.raises(StoreError, match="holds 2 events and counts 3"):
        count_events(copy)
