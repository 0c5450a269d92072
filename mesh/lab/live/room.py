"""One real host of a story that is played live: its home on the disk, its `mesh up`, and what its commands say."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.control.client import ControlClient
from mesh.errors import MeshError
from mesh.lab.cluster.arguments import check_awake
from mesh.lab.cluster.room import PORT
from mesh.lab.live.disk import back_up, fill, free, put_back, read_log
from mesh.lab.live.link import ENVIRONMENT
from mesh.lab.live.namespaces import EXIT_SECONDS, Host, Process
from peers.events.created import Created
from peers.later import Later
from peers.log.log import Meta

LIVE_REQUERY_SECONDS = 1.0
"""Pause between the questions of a node for others on its LAN: a story does not wait for the usual 45 s."""
ASK_SECONDS = 20.0
"""How long one command (`mesh log`, `mesh stop`) may take."""
SHOWN_NOTICES = 5
"""How many of its last words a failure shows of each room."""
MESH = (sys.executable, "-m", "mesh")


class NotLive(MeshError):
    """A story wants what real hosts do not offer; the text completes "this story cannot be played live: it ..."."""


@dataclass(frozen=True, slots=True)
class LiveEntry:
    """An event as `mesh log --json` shows it."""

    created: Created
    added: int
    time: int
    event: dict[str, Any]


class LiveRoom:
    """A host that can run a node again and again on one home. `log.add(event)` writes by `mesh add -`.

    `events`, `types` and `entries` are read with `mesh log`; so its node must run. Of a frozen one they are read from the disk.
    """

    def __init__(
        self, name: str, host: Host, home: Path, *, seen: Path | None = None, before_add: Callable[[LiveRoom], None]
    ) -> None:
        """`home` is made when it is first started; what its processes print is kept beside it.

        `seen` is where we see it, if it is on a disk that only its host has.
        """
        self.name = name
        self.host = host
        self.home = seen or home
        """As we see it."""
        self._home_there = home
        self.links: tuple[str, ...] | None = None
        """The rooms that it dials by address; None: it finds others by mDNS."""
        self.node_id = ""
        """Once it was started; another one after `wipe`."""
        self.acknowledged: dict[Created, dict[str, Any]] = {}
        """What `mesh add` confirmed in this room, in order."""
        self.log = LiveLog(self)
        self.process: Process | None = None
        self.is_frozen = False
        self.is_disk_full = False
        self._before_add = before_add
        self._adder: _Adder | None = None
        self._lives = self._backups = 0
        self._told = 0
        """Notices of its last life that `take_notices` has given."""
        self._read_bytes = 0
        """How much it had said then."""

    def __repr__(self) -> str:
        return self.name

    @property
    def is_running(self) -> bool:
        return self.process is not None

    @property
    def has_home(self) -> bool:
        """Whether there is anything on its disk."""
        return self.home.exists() and any(self.home.iterdir())

    @property
    def pending(self) -> int:
        """Events that were given to `mesh add` and are not confirmed yet."""
        return len(self._adder.given) if self._adder is not None else 0

    @property
    def entries(self) -> list[LiveEntry]:
        """The lines of `mesh log --json`: by (time, created), as on all hosts. Raises NotLive, MeshError."""
        if not self.has_home:
            return []
        if not self.is_running:
            raise NotLive(f"reads the log of {self.name} while no node runs there")
        if self.is_frozen:
            return [LiveEntry(entry.created, entry.added, entry.time, entry.event) for entry in read_log(self.home)]
        rows = map(json.loads, self.ask("log", "--json").splitlines())
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
        """Start its node; wait until `is_up`."""
        self._lives += 1
        self._told = self._read_bytes = 0
        with self._words.open("wb") as words:
            listen = f":{PORT}"
            command = self._command("up", "--json", "--name", self.name, "--listen", listen, *options)
            self.process = self.host.spawn(command, stdout=words, env=ENVIRONMENT)

    def is_up(self) -> bool:
        """Whether its node said that it is. Raises MeshError if it ended instead."""
        first = next(iter(self.notices()), None)
        if first is None:
            self.check()
            return False
        self.node_id = first["node_id"]
        return True

    def check(self) -> None:
        """Raises MeshError if its node should run and does not."""
        if self.process is not None and (code := self.process.poll()) is not None:
            why = self.process.stderr_text().strip() or "it said nothing"
            raise MeshError(f"the node in {self.name} ended by itself with {code}: {why}")

    def notices(self) -> list[dict[str, Any]]:
        """What `mesh up` said in its last life, the line that it is up first."""
        if not self._lives:
            return []
        return [json.loads(line) for line in self._words.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def take_notices(self) -> list[str]:
        """What it said since the last time."""
        size = self._words.stat().st_size if self._lives else 0
        if size == self._read_bytes:
            return []
        self._read_bytes = size
        lines = [f"{notice['event']}: {notice['text']}" for notice in self.notices() if "text" in notice]
        taken, self._told = lines[self._told :], len(lines)
        return taken

    def last_words(self) -> list[str]:
        """Its last notices and complaints, for the report of a failure."""
        said = [notice["text"] for notice in self.notices() if "text" in notice][-SHOWN_NOTICES:]
        complaints = self.process.stderr_text().splitlines()[-SHOWN_NOTICES:] if self.process is not None else []
        return [f"{self.name}: {line}" for line in [*said, *complaints]]

    def stop(self) -> None:
        """Stop its node as its operator would. Raises MeshError if that ends with an error."""
        self.ask("stop")
        self.wait_stopped()

    def terminate(self) -> None:
        """Ask its node to stop, as the system does when it goes down; `wait_stopped` comes next."""
        if self.process is not None:
            self.process.terminate()

    def wait_stopped(self) -> None:
        """Its node was told to stop. Raises MeshError if that ends with an error."""
        process, self.process = self.process, None
        self._end_adder()
        if process is not None and (code := process.wait(ASK_SECONDS)) != 0:
            raise MeshError(f"the node in {self.name} stopped with {code}: {process.stderr_text().strip()}")

    def crash(self) -> None:
        """kill -9: no goodbye, nothing more is written. What it had confirmed counts."""
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
        """Lose its whole home, the key too."""
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
            self._adder = _Adder(process, confirmations)
        return self._adder.add(event)

    def take_confirmed(self) -> None:
        """Note what `mesh add` has confirmed by now. Raises MeshError if it refused anything, but for want of space."""
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
        """A file for this life, beside the home."""
        return self._home_there.with_name(f"{self.name}.{self._lives}.{kind}")

    def _end_adder(self, why: str = "its node ended before it confirmed this") -> None:
        """Nothing more will be confirmed, but what was at last."""
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
        """Give an event to `mesh add`; acknowledged once that has confirmed it, which is noticed while the house runs.

        What one room is given after another has a later time: the other's are confirmed first.
        """
        if meta is not None:
            raise NotLive("writes events with a meta of its own, which `mesh add` does not take")
        return self._room.add(event)


class _Adder:
    """A running `mesh add -`."""

    def __init__(self, process: Process, confirmations: Path) -> None:
        self.process = process
        self.given: deque[tuple[dict[str, Any], Later[Meta | None]]] = deque()
        """What is not confirmed yet."""
        self._confirmations = confirmations
        self._read_bytes = 0

    def add(self, event: dict[str, Any]) -> Later[Meta | None]:
        later = Later[Meta | None]()
        self.given.append((event, later))
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(event) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.process.wait(EXIT_SECONDS)
            raise MeshError(f"`mesh add` ended: {self.process.stderr_text().strip()}") from None
        return later

    def take(self) -> dict[Created, dict[str, Any]]:
        """What was confirmed since the last time."""
        with self._confirmations.open("rb") as file:
            file.seek(self._read_bytes)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        taken: dict[Created, dict[str, Any]] = {}
        for row in map(json.loads, whole.splitlines()):
            event, later = self.given.popleft()
            ms, node_id, number = row["created"]
            created: Created = (ms, node_id, number)
            taken[created] = event
            later.set({"created": created, "added": row["added"]})
        return taken

    def end(self) -> None:
        """Wait for its end, which comes with its node's."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already, and did not take all
            self.process.stdin.close()
        try:
            self.process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(EXIT_SECONDS)

    def give_up(self, why: str) -> None:
        """What is left will not be confirmed."""
        while self.given:
            _, later = self.given.popleft()
            later.fail(MeshError(why))


def alive_peers(status: dict[str, Any]) -> list[str]:
    """Node ids that a node has a session with, by its status."""
    return [row["node_id"] for row in status["peers"] if row["state"] == "alive"]


def _entry(event: dict[str, Any], meta: dict[str, Any]) -> LiveEntry:
    ms, node_id, number = meta["created"]
    return LiveEntry((ms, node_id, number), meta["added"], meta["time"], event)
