"""Backups of real processes on a real disk: under writes, on full and read-only disks, and the meeting afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from mesh_process import MESH, MeshNode, wait_until

from mesh.lab.live.namespaces import NetLab
from tests.support.commands import environment
from tests.support.forked_process import run_forked

OPTIONS = ("--no-mdns", "--listen", "127.0.0.1:0")
SECONDS = 60.0
WRITTEN_BEFORE = 2_000
BATCH = 50

ON_SMALL_DISK = 'mount -t tmpfs -o size=$1 tmpfs "$2" && shift 2 && exec "$@"'
ON_READ_ONLY_DISK = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


@pytest.fixture
def kitchen(tmp_path: Path) -> Iterator[MeshNode]:
    node = MeshNode(tmp_path / "kitchen")
    node.up("--name", "kitchen", *OPTIONS)
    yield node
    node.kill()


class Writer:
    """`mesh add -` that gets events, BATCH after BATCH, until the end of the `with`. `confirmed` are on disk, in order."""

    def __init__(self, node: MeshNode) -> None:
        self.confirmed: list[Any] = []
        self._fed = 0
        self._process = node.spawn("add", "-", stdin=subprocess.PIPE)
        self._is_ending = threading.Event()
        self._threads = [threading.Thread(target=self._feed), threading.Thread(target=self._read)]

    def _feed(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            while not self._is_ending.is_set():
                for _ in range(BATCH):
                    self._process.stdin.write(json.dumps({"type": "sale", "text": "x" * 150}) + "\n")
                self._process.stdin.flush()
                self._fed += BATCH
                wait_until(lambda: len(self.confirmed) > self._fed - 3 * BATCH, SECONDS, "events are confirmed")
            self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.confirmed.append(json.loads(line)["created"])

    def __enter__(self) -> Writer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
        for thread in self._threads:
            thread.join(SECONDS)
        assert self._process.wait(SECONDS) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def started(home: Path, *options: str) -> Iterator[MeshNode]:
    node = MeshNode(home)
    node.up(*OPTIONS, *options)
    yield node
    node.kill()


def createds(node: MeshNode, *options: str) -> list[Any]:
    return [item["meta"]["created"] for item in node.events("--order", "added", *options)]


def test_a_backup_under_writes_has_all_that_was_confirmed_before_and_both_nodes_end_equal(
    kitchen: MeshNode, tmp_path: Path
) -> None:
    with Writer(kitchen) as writer:
        wait_until(lambda: len(writer.confirmed) >= WRITTEN_BEFORE, SECONDS, "events before the backup")
        before = list(writer.confirmed)
        made = json.loads(kitchen.ask("backup", "--json", str(tmp_path / "backup")))
        after = len(writer.confirmed)
        wait_until(lambda: len(writer.confirmed) > after, SECONDS, "events after the backup")

    kept = MeshNode(tmp_path / "restored")
    kept.ask("restore", str(tmp_path / "backup"))
    restored, whole = createds(kept), createds(kitchen)

    assert restored[: len(before)] == before == whole[: len(before)]
    assert restored == whole[: made["events"]]
    assert len(before) <= made["events"] < len(whole)

    with started(kept.home, "--peer", f"127.0.0.1:{kitchen.status()['port']}") as other:
        assert other.status()["node_id"] != kitchen.status()["node_id"]
        other.ask("add", '{"type": "of the restored node"}')
        kitchen.ask("add", '{"type": "of the first node"}')
        other.ask("wait", "--timeout", "60")
        first, second = kitchen.events(), other.events()
        assert [(item["event"], item["meta"]["created"]) for item in first] == [
            (item["event"], item["meta"]["created"]) for item in second
        ]
        assert len(first) == len(whole) + 2
        epochs = {item["event"]["type"]: item["meta"]["dot"][0] for item in first}
        assert len(set(epochs.values())) == 3 - (epochs["sale"] == epochs["of the first node"])
        assert kitchen.status()["conflicts"] == other.status()["conflicts"] == 0


def test_a_home_whose_node_was_killed_is_backed_up_with_its_last_events(kitchen: MeshNode, tmp_path: Path) -> None:
    kitchen.ask("add", '{"type": "milk"}', '{"type": "bread"}')
    kitchen.kill()
    assert (kitchen.home / "log.sqlite-wal").stat().st_size > 0

    kitchen.ask("backup", str(tmp_path / "backup"))
    restored = MeshNode(tmp_path / "restored")
    restored.ask("restore", str(tmp_path / "backup"))

    assert [item["event"]["type"] for item in restored.events()] == ["milk", "bread"]


def mesh(home: Path, *arguments: str, before: tuple[str | Path, ...]) -> subprocess.CompletedProcess[str]:
    command = [*before, *MESH, "--home", str(home), *arguments]
    return run_forked(command, text=True, timeout=60, env=environment())


@pytest.mark.netlab
@pytest.mark.parametrize(
    ("size", "sentence"), [("32k", "is too full: it has 32768 bytes left"), ("as the log", "No space left on device")]
)
def test_a_full_disk_ends_a_backup_with_a_sentence_and_the_node_goes_on(
    netlab: Any, kitchen: MeshNode, tmp_path: Path, size: str, sentence: str
) -> None:
    kitchen.ask("add", '{"type": "milk"}')
    kitchen.ask("stop")
    kitchen.kill()
    kitchen.up(*OPTIONS)  # all of the log is in its file
    size = str((kitchen.home / "log.sqlite").stat().st_size) if size == "as the log" else size
    small = tmp_path / "small"
    small.mkdir()

    program = f"ls -A {small} >&2"
    command = f'"$@"; code=$?; {program}; exit $code'
    done = mesh(
        kitchen.home,
        "backup",
        str(small / "backup"),
        before=("unshare", "-m", "sh", "-c", ON_SMALL_DISK, "sh", size, small, "sh", "-c", command, "sh"),
    )

    assert done.returncode == 1
    assert done.stderr.startswith("no backup was made: ") and sentence in done.stderr
    assert done.stderr.count("\n") == 1  # nothing is left there
    kitchen.ask("add", '{"type": "bread"}')


@pytest.mark.netlab
@pytest.mark.parametrize("kind", [[], ["--archive"]], ids=["lines", "archive"])
def test_a_disk_that_gets_full_during_an_export_leaves_no_half_file(
    netlab: NetLab, kitchen: MeshNode, tmp_path: Path, kind: list[str]
) -> None:
    (host,) = netlab.hosts(1)
    kitchen.ask("add", "-", stdin="".join(f'{{"type": "sale", "n": {n}}}\n' for n in range(1_000)))
    target = tmp_path / "stick" / "file"
    target.parent.mkdir()
    stick = netlab.mount(target.parent, size_bytes=32 * 1024)
    (stick / "file").write_text("of the user")

    done = host.run([*MESH, "--home", kitchen.home, "export", "--force", *kind, target], env=environment())

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"nothing was exported: {target}: No space left on device; name another file\n"
    assert {path.name: path.read_text() for path in stick.iterdir()} == {"file": "of the user"}


@pytest.mark.netlab
def test_a_folder_that_cannot_be_written_is_named(netlab: Any, kitchen: MeshNode, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()

    done = mesh(
        kitchen.home,
        "backup",
        str(folder / "backup"),
        before=("unshare", "-m", "sh", "-c", ON_READ_ONLY_DISK, "sh", folder),
    )

    assert done.returncode == 1
    assert done.stderr == f"no backup was made: {folder / 'backup'}: Read-only file system; name another file\n"


@pytest.mark.netlab
def test_a_home_on_a_read_only_disk_is_backed_up(netlab: Any, kitchen: MeshNode, tmp_path: Path) -> None:
    kitchen.ask("add", '{"type": "milk"}')
    kitchen.kill()

    done = mesh(
        kitchen.home,
        "backup",
        str(tmp_path / "backup"),
        before=("unshare", "-m", "sh", "-c", ON_READ_ONLY_DISK, "sh", kitchen.home),
    )

    assert (done.returncode, done.stderr) == (0, "")
    restored = MeshNode(tmp_path / "restored")
    restored.ask("restore", str(tmp_path / "backup"))
    assert [item["event"]["type"] for item in restored.events()] == ["milk"]


def test_a_node_that_stops_while_it_is_backed_up_stops_and_the_backup_is_whole(
    kitchen: MeshNode, tmp_path: Path
) -> None:
    """The command waits in the middle of the copy, which has a page for each of its steps."""
    kitchen.ask("add", '{"type": "milk"}', '{"type": "bread"}')
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mesh.settings.backup import make_backup\n"
        "from peers.stores.sqlite import online_copy\n"
        "online_copy.COPY_PAGES = 1\n"
        "def on_step(done, total):\n"
        "    if done == 2:\n"
        "        print('half', flush=True)\n"
        "        sys.stdin.readline()\n"
        "home, file = map(Path, sys.argv[1:])\n"
        "make_backup(home, file, with_keys=False, is_forced=False, now_ms=7, on_step=on_step)\n"
    )
    backup = subprocess.Popen(
        [sys.executable, "-c", program, str(kitchen.home), str(tmp_path / "backup")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert backup.stdout is not None
    assert backup.stdout.readline() == "half\n"

    kitchen.ask("add", '{"type": "salt"}')
    kitchen.ask("stop")
    backup.communicate("go on\n", timeout=SECONDS)

    assert backup.returncode == 0
    restored = MeshNode(tmp_path / "restored")
    restored.ask("restore", str(tmp_path / "backup"))
    assert [item["event"]["type"] for item in restored.events()] == ["milk", "bread"]
    assert [item["event"]["type"] for item in kitchen.events()] == ["milk", "bread", "salt"]
