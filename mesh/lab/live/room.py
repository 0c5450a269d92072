"""One real host of a scenario that is played live: its home, its `mesh up`, and its commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.control.client import ControlClient
from mesh.control.messages import Read
from mesh.errors import MeshError
from mesh.lab.cluster.arguments import check_awake
from mesh.lab.cluster.room_parts import PORT
from mesh.lab.live.adder import LiveAdder
from mesh.lab.live.disk import back_up, fill, free, put_back, read_log
from mesh.lab.live.homes import FoundedMesh
from mesh.lab.live.link import ENVIRONMENT
from mesh.lab.live.namespaces import EXIT_SECONDS, Host, Process
from mesh.lab.live.not_live import NotLive
from peers.events.created import Created
from peers.later import Later
from peers.log.draft import Meta

LIVE_REQUERY_SECONDS = 1.0
"""Pause between the questions of a node for others on its LAN: a story does not wait for the usual 45 s."""
ASK_SECONDS = 20.0
"""Within this, `mesh stop` must end, and a node must answer."""
SHOWN_NOTICES = 5
"""Notices and complaints of each room that a failure shows: the last ones."""
MESH = (sys.executable, "-m", "mesh")


@dataclass(frozen=True, slots=True)
class LiveEntry:
    """An event as `mesh log --json` shows it."""

    created: Created
    added: int
    time: int
    event: dict[str, Any]


class LiveRoom:
    """A host that can run a node again and again on one home. `log.add(event)` writes by `mesh add -`.

    `events`, `types` and `entries` are read as by `mesh log`, so the node must run; those of a frozen one are read from disk.
    """

    def __init__(
        self,
        name: str,
        host: Host,
        home: Path,
        *,
        mesh: FoundedMesh | None,
        seen: Path | None = None,
        before_add: Callable[[LiveRoom], None],
    ) -> None:
        """`home` is made when the node first starts; the output of its processes is kept in files beside it.

        `mesh` is the one that the node is in; None: it is open.
        `seen` is the path at which this process sees the home, if that is on a disk that only the host has. `before_add` is
        called before each write.
        """
        self.name = name
        self.host = host
        self.mesh = mesh
        self.home = seen or home
        """Its path as this process sees it."""
        self._home_there = home
        self.links: tuple[str, ...] | None = None
        """The rooms that it dials by address; None: it finds others by mDNS."""
        self.node_id = ""
        """Empty before the first start; `wipe` changes it."""
        self.acknowledged: dict[Created, dict[str, Any]] = {}
        """The events that `mesh add` has confirmed in this room, in order."""
        self.log = LiveLog(self)
        self.process: Process | None = None
        self.is_frozen = False
        self.is_disk_full = False
        self._before_add = before_add
        self._adder: LiveAdder | None = None
        self._lives = self._backups = 0
        self._told = 0
        """Notices of its last life that `take_notices` has returned."""
        self._read_bytes = 0
        """Bytes that it had printed then."""

    def __repr__(self) -> str:
        return self.name

    @property
    def is_running(self) -> bool:
        return self.process is not None

    @property
    def has_home(self) -> bool:
        """Whether there is a file in its home."""
        return self.home.exists() and any(self.home.iterdir())

    @property
    def pending(self) -> int:
        """Events that were given to `mesh add` and are not confirmed yet."""
        return len(self._adder.given) if self._adder is not None else 0

    @property
    def entries(self) -> list[LiveEntry]:
        """What `mesh log --json` would show: by (time, created), as on all hosts. Raises NotLive, MeshError."""
        if not self.has_home:
            return []
        if not self.is_running:
            raise NotLive(f"reads the log of {self.name} while no node runs there")
        if self.is_frozen:
            return [LiveEntry(entry.created, entry.added, entry.time, entry.event) for entry in read_log(self.home)]
        check_awake(self)
        # Not by the command: a story reads a log many times, and each start of a process takes longer than the reading.
        with ControlClient(self.home) as client:
            client.connection.settimeout(ASK_SECONDS)
            rows = [json.loads(bytes(item)) for items in client.read(Read()) for item in items]
        return [_entry(row["event"], row["meta"]) for row in rows]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [entry.event for entry in self.entries]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def peers(self) -> list[str]:
        """Node ids that it has a session with."""
        return alive_peers(self.status())

    def status(self) -> dict[str, Any]:
        """What `mesh status` and `mesh peers` would show. Raises MeshError, and ValueError if nothing would answer."""
        check_awake(self)
        with ControlClient(self.home) as client:
            return client.status()

    def ask(self, *arguments: str) -> str:
        """What a command prints that is called on this host. Raises MeshError unless it ends with 0."""
        check_awake(self)
        try:
            done = self.host.run(self._command(*arguments), timeout=ASK_SECONDS, env={**os.environ, **ENVIRONMENT})
        except subprocess.TimeoutExpired:
            raise MeshError(f"{self.name} did not answer `mesh {arguments[0]}` within {ASK_SECONDS:.0f} s") from None
        if done.returncode != 0:
            why = done.stderr.strip() or "no reason given"
            raise MeshError(f"`mesh {arguments[0]}` in {self.name} ended with {done.returncode}: {why}")
        return done.stdout

    def begin(self, *options: str) -> None:
        """Start its node. Wait until `is_up` after it."""
        if self.mesh is not None:
            self.mesh.prepare(self.home, self.name)
        self._lives += 1
        self._told = self._read_bytes = 0
        with self._words.open("wb") as words:
            listen = f":{PORT}"
            how = ["--open=lan"] if self.mesh is None else []
            command = self._command("up", *how, "--json", "--name", self.name, "--listen", listen, *options)
            self.process = self.host.spawn(command, stdout=words, env=ENVIRONMENT)

    def is_up(self) -> bool:
        """Whether its node has said that it is up. Raises MeshError if it has ended instead."""
        first = next(iter(self.notices()), None)
        if first is None:
            self.check()
            return False
        self.node_id = first["node_id"]
        return True

    def check(self) -> None:
        """Raise MeshError if its node should run and does not."""
        if self.process is not None and (code := self.process.poll()) is not None:
            why = self.process.stderr_text().strip() or "it said nothing"
            raise MeshError(f"the node in {self.name} ended by itself with {code}: {why}")

    def notices(self) -> list[dict[str, Any]]:
        """What `mesh up` has printed in its last life; first the line that it is up."""
        if not self._lives:
            return []
        return [json.loads(line) for line in self._words.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def take_notices(self) -> list[str]:
        """The notices since the last call."""
        size = self._words.stat().st_size if self._lives else 0
        if size == self._read_bytes:
            return []
        self._read_bytes = size
        lines = [f"{notice['event']}: {notice['text']}" for notice in self.notices() if "text" in notice]
        taken, self._told = lines[self._told :], len(lines)
        return taken

    def last_words(self) -> list[str]:
        """Its last notices and the end of its stderr, for the report of a failure."""
        said = [notice["text"] for notice in self.notices() if "text" in notice][-SHOWN_NOTICES:]
        complaints = self.process.stderr_text().splitlines()[-SHOWN_NOTICES:] if self.process is not None else []
        return [f"{self.name}: {line}" for line in [*said, *complaints]]

    def stop(self) -> None:
        """Stop its node as its operator would. Raises MeshError if that ends with an error."""
        self.ask("stop")
        self.wait_stopped()

    def terminate(self) -> None:
        """Send its node a SIGTERM. Call `wait_stopped` after it."""
        if self.process is not None:
            self.process.terminate()

    def wait_stopped(self) -> None:
        """Wait until its node, which was asked to stop, has ended. Raises MeshError if that ends with an error."""
        process, self.process = self.process, None
        self._end_adder()
        if process is not None and (code := process.wait(ASK_SECONDS)) != 0:
            raise MeshError(f"the node in {self.name} stopped with {code}: {process.stderr_text().strip()}")

    def crash(self) -> None:
        """End its process by kill -9. What it had confirmed counts as acknowledged."""
        process, self.process, self.is_frozen = self.process, None, False
        if process is not None:
            process.kill()
            process.wait(EXIT_SECONDS)
        self._end_adder()

    def freeze(self) -> None:
        """Stop its process, which runs, where it is."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        """Let its process go on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
        self.is_frozen = False

    def fill_disk(self, is_full: bool) -> None:
        """Fill its disk to the last byte, or free it again. Raises ValueError if the disk is not one of its own."""
        if is_full:
            fill(self.home)
        else:
            free(self.home)
        self.is_disk_full = is_full

    def snapshot(self) -> Path:
        """Copy its log into a folder beside its home."""
        self._backups += 1
        folder = self._home_there.with_name(f"{self.name}.backup.{self._backups}")
        back_up(self.home, folder)
        return folder

    def restore(self, snapshot: Path) -> None:
        """Put such a copy in the place of its log. It does not answer for events that the copy does not hold."""
        put_back(snapshot, self.home)
        held = {entry.created for entry in read_log(self.home)}
        self.acknowledged = {created: event for created, event in self.acknowledged.items() if created in held}

    def wipe(self) -> None:
        """Delete its whole home, key included."""
        for path in self.home.iterdir() if self.home.exists() else ():
            path.unlink()
        self.acknowledged.clear()
        self.node_id = ""

    def add(self, event: dict[str, Any]) -> Later[Meta | None]:
        """See LiveLog.add."""
        if not self.is_running:
            raise RuntimeError(f"{self.name} does not run: start it before it can write")
        self._before_add(self)
        if self._adder is None:
            confirmations = self._beside("added")
            with confirmations.open("wb") as output:
                command = self._command("add", "-")
                process = self.host.spawn(command, stdin=subprocess.PIPE, stdout=output, env=ENVIRONMENT)
            self._adder = LiveAdder(process, confirmations)
        return self._adder.add(event)

    def take_confirmed(self) -> None:
        """Note what `mesh add` has confirmed by now. Raises MeshError if it refused an event, unless the disk is full."""
        if self._adder is None:
            return
        self.acknowledged.update(self._adder.take())
        if self._adder.given and (complaint := self._adder.process.stderr_text().strip()):
            if not self.is_disk_full:
                raise MeshError(f"`mesh add` in {self.name}: {complaint}")
            self._end_adder(complaint)

    @property
    def _words(self) -> Path:
        return self._beside("up")

    def _beside(self, kind: str) -> Path:
        """A file of this life, beside the home."""
        return self._home_there.with_name(f"{self.name}.{self._lives}.{kind}")

    def _end_adder(self, why: str = "its node ended before it confirmed this") -> None:
        """Note the last confirmations, and let all writes without one fail."""
        adder, self._adder = self._adder, None
        if adder is None:
            return
        adder.end()
        self.acknowledged.update(adder.take())
        adder.give_up(f"{self.name}: {why}")

    def _command(self, *arguments: str) -> list[str]:
        return [*MESH, "--home", str(self._home_there), *arguments]


class LiveLog:
    """`room.log`, so that a story reads like the library."""

    def __init__(self, room: LiveRoom) -> None:
        self._room = room

    def add(self, event: dict[str, Any], meta: Meta | None = None) -> Later[Meta | None]:
        """Give an event to `mesh add`. It is acknowledged once that has confirmed it, which is noticed while the cluster runs.

        An event that is added in one room after one in another room gets a later time: the earlier is confirmed first.
        Raises NotLive for a `meta`.
        """
        if meta is not None:
            raise NotLive("writes events with a meta of its own, which `mesh add` does not take")
        return self._room.add(event)


def alive_peers(status: dict[str, Any]) -> list[str]:
    """Node ids that a node has a session with, by its status."""
    return [row["node_id"] for row in status["peers"] if row["state"] == "alive"]


def _entry(event: dict[str, Any], meta: dict[str, Any]) -> LiveEntry:
    ms, node_id, number = meta["created"]
    return LiveEntry((ms, node_id, number), meta["added"], meta["time"], event)
