"""Whatever ends an upgrade, the log is whole and the next start does it again."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from peers.events.entry import Entry
from peers.events.epoch import KEY_BYTES, NONCE_BYTES
from peers.events.signature import KeySigner
from peers.stores.run_store import Pen
from peers.stores.runs.sqlite import upgrade
from peers.stores.runs.sqlite.reader import SqliteRunReader
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.runs.sqlite.upgrade import drop_old, is_old, old_file, upgrade_log
from peers.stores.sqlite.online_copy import count_events
from peers.stores.store import DISK_FULL, StoreError
from tests.support.forks import Forks, forks
from tests.support.old_logs import OldLogFile, old_event
from tests.support.run_house import ALL, check

EVENTS = 1_200
LAST_STEPS = 12
"""From the end of the building on."""

CHILD = """
import os, resource, signal, sys
from pathlib import Path
from tests.peers.stores.runs.sqlite.test_upgrade_steps import make_pen
from peers.stores.runs.sqlite.upgrade import upgrade_log

# fork
path, kind, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
left = number

def step(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

pen = make_pen()
if kind == "files":  # before the nth thing that is done to a file of the folder
    sys.addaudithook(lambda name, args: step() if any(str(arg).startswith(str(path)) for arg in args) else None)
elif kind == "signatures":  # while the new file is built
    sign = pen.signer.sign
    class Dying:
        public = pen.signer.public
        def sign(self, *args):
            step()
            return sign(*args)
    pen = pen._replace(signer=Dying())
elif kind == "bytes":  # the disk takes no more
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))
upgrade_log(path, pen)
print(number - left)
"""


def make_pen() -> Pen:
    random = Random(1)
    return Pen(KeySigner.from_seed(random.randbytes(KEY_BYTES)), lambda: random.randbytes(NONCE_BYTES), "kitchen")


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forks(CHILD, tmp_path_factory.mktemp("children")) as found:
        yield found


@pytest.fixture
def old() -> OldLogFile:
    old = OldLogFile(clock_ms=5)
    old.show_all([old_event(ms) for ms in range(1, EVENTS)], "kitchen-1")
    old.show_all([old_event(ms) for ms in range(EVENTS, 2 * EVENTS)], "hall-1", 2)
    return old


@pytest.fixture
def path(tmp_path: Path, old: OldLogFile) -> Path:
    return old.write(tmp_path / "log.sqlite")


def rows_of(path: Path) -> list[tuple[object, ...]]:
    """All that an older release finds there."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [
            row
            for table in ("facts", "epochs", "changes", "aside", "labels", "last_kept", "cursors")
            for row in connection.execute(f"SELECT * FROM {table}")
        ]


def shown(path: Path) -> tuple[Entry, ...]:
    store = SqliteRunStore(path)
    store.open()
    check(store)
    events = store.each(order="added", limit=ALL)
    store.close()
    return events


def files(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


# The old file


def test_the_old_file_is_kept_as_it_was_until_it_is_dropped(path: Path, old: OldLogFile) -> None:
    before = rows_of(path)
    upgrade_log(path, make_pen())

    assert rows_of(old_file(path)) == before
    assert files(path) == {"log.sqlite", "log.sqlite.layout2"}
    assert len(shown(path)) == len(old.shown) == count_events(path)
    drop_old(path)
    drop_old(path)
    assert not old_file(path).exists()


def test_the_old_file_is_not_dropped_before_the_new_one_is_there(path: Path) -> None:
    os.link(path, old_file(path))
    with pytest.raises(StoreError, match=r"older release.*start its node"):
        drop_old(path)
    path.unlink()
    with pytest.raises(StoreError, match="No such file"):
        drop_old(path)
    assert old_file(path).exists()


def test_what_a_kill_left_in_the_write_ahead_log_is_upgraded_too(path: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE facts SET value = 77 WHERE key = 'clock_ms'")
    connection.commit()
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("log.sqlite", "log.sqlite-wal"):
        (killed / name).write_bytes((tmp_path / name).read_bytes())
    connection.close()

    upgrade_log(killed / "log.sqlite", make_pen())

    store = SqliteRunStore(killed / "log.sqlite")
    assert store.open().clock_ms == 77
    store.close()
    assert ("clock_ms", 77) in rows_of(old_file(killed / "log.sqlite"))


def test_on_a_disk_without_links_a_copy_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows_of(path)

    def refuse(_self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted", str(target))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    upgrade_log(path, make_pen())

    assert rows_of(old_file(path)) == before
    assert files(path) == {"log.sqlite", "log.sqlite.layout2"}
    assert len(shown(path)) == 2 * EVENTS - 1


def test_the_new_file_has_the_rights_of_the_old_one(path: Path) -> None:
    path.chmod(0o640)
    upgrade_log(path, make_pen())

    assert path.stat().st_mode & 0o777 == 0o640


# Refusals


def test_another_old_file_is_not_overwritten(path: Path) -> None:
    old_file(path).write_bytes(b"something else")

    with pytest.raises(StoreError, match="keeps another old log: move that one away"):
        upgrade_log(path, make_pen())
    assert is_old(path) and old_file(path).read_bytes() == b"something else"


def test_a_file_that_another_process_uses_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "BUSY_MS", 10)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT * FROM facts").fetchall()

        with pytest.raises(StoreError, match=r"end (that|the other) process"):
            upgrade_log(path, make_pen())
    assert is_old(path)


def test_a_disk_that_is_too_small_is_named_before_anything_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "SPARE_BYTES", 10**18)

    with pytest.raises(StoreError, match=r"takes \d+ MB on its disk, and \d+ MB are free; free space") as raised:
        upgrade_log(path, make_pen())
    assert raised.value.brief == DISK_FULL
    assert files(path) == {"log.sqlite"}


def test_a_damaged_file_is_left_as_it_was(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE changes SET created = x'00' WHERE position = 7")
        connection.commit()
    before = rows_of(path)

    with pytest.raises(StoreError, match="damaged"):
        upgrade_log(path, make_pen())
    assert rows_of(path) == before
    assert files(path) == {"log.sqlite"}


def test_a_store_and_a_reader_say_how_an_old_file_is_brought_up_to_date(path: Path) -> None:
    with pytest.raises(StoreError, match="start its node, or run `mesh upgrade`"):
        SqliteRunStore(path).open()
    with pytest.raises(StoreError, match="start its node once, or run `mesh upgrade`"):
        SqliteRunReader(path).open()


@pytest.mark.parametrize("content", [b"", b"no log at all", b"x" * 5_000])
def test_what_is_no_log_is_none_of_its_business(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.sqlite").write_bytes(content)

    assert upgrade_log(tmp_path / "log.sqlite", make_pen()) is None
    assert upgrade_log(tmp_path / "missing", make_pen()) is None


# Cut in the middle


def finish(path: Path, before: list[tuple[object, ...]]) -> None:
    """The next start finds a whole log, and brings it up to date if that was not done."""
    if is_old(path):
        assert rows_of(path) == before
    upgrade_log(path, make_pen())
    assert len(shown(path)) == 2 * EVENTS - 1
    assert rows_of(old_file(path)) == before
    assert files(path) == {"log.sqlite", "log.sqlite.layout2"}


def test_after_a_kill_at_any_step_the_log_is_whole(path: Path, old: OldLogFile, children: Forks) -> None:
    before = rows_of(path)
    whole = children.run(path, "files", 0)
    assert whole.code == 0, whole.errors
    steps = int(whole.printed)
    kills = [("signatures", 1), ("signatures", 3)]
    kills += [("files", number) for number in range(1, steps + 1) if number > steps - LAST_STEPS or not number % 4]
    for kind, number in kills:
        for stale in path.parent.iterdir():
            stale.unlink()
        old.write(path)
        done = children.run(path, kind, number)
        assert done.code == -signal.SIGKILL, done.errors
        finish(path, before)


@pytest.mark.parametrize("size", [40_000, 100_000, 150_000])
def test_a_disk_that_fills_up_meanwhile_leaves_the_old_log(path: Path, size: int, children: Forks) -> None:
    before = rows_of(path)

    done = children.run(path, "bytes", size)

    assert done.code == 1
    assert "StoreError: the log file" in done.errors
    assert is_old(path)
    assert files(path) == {"log.sqlite"}
    finish(path, before)
