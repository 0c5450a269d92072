"""A Logux node of the original packages in a process of its own, spoken to in JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

SCRIPTS = {
    "logux01": "peer.mjs",
    "core10": "peer.mjs",
    "core12": "peer.mjs",
    "server14": "server14.mjs",
    "client23": "client23.mjs",
}
ROLES = {"server14": "server", "client23": "client"}
ANSWER_SECONDS = 30.0
"""How long a command may take that waits for nothing."""
WAIT_SECONDS = 20.0
"""How long `wait` and `wait_event` wait unless they are told otherwise."""
EXIT_SECONDS = 20.0
"""How long a process that was told to end may take."""
EVENTS_LIMIT = 200_000
"""Events kept of one peer: the last ones."""
STDERR_LIMIT = 20_000
"""Bytes of stderr in a report: the last ones."""

Created = tuple[int | float, str, int] | str
"""`(ms, node, n)`, or the id as it is where it has no three parts (protocol 7)."""


class JsError(Exception):
    """A JS peer refused, was too late, or crashed; the text has its stderr and its exit code."""


class JsEntry(NamedTuple):
    """One row of a JS peer's log."""

    created: Created
    time: float
    event: dict[str, Any]
    meta: dict[str, Any]


class Cursors(NamedTuple):
    """Highest `added` of its own they confirmed; highest of theirs it holds."""

    sent: int
    received: int


class JsPeer:
    """One JS process; every call has a deadline and raises JsError with what the process wrote to stderr.

    A context manager: leaving it ends the process, and raises JsError if that had crashed and no test waited for it.
    """

    def __init__(self, folder: Path, kind: str, role: str) -> None:
        self.kind = kind
        self.role = role
        self.name = f"{kind} {role}"
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_LIMIT)
        self.url = ""
        self._answers: dict[int, dict[str, Any]] = {}
        self._news = threading.Condition()
        self._asked = 0
        self._is_ending = False
        self._is_closed = False
        self._has_ended = False
        self._last_stderr = ""
        # A file: a pipe that is not read would stop the process when it is full.
        self._stderr = tempfile.TemporaryFile(prefix="js-peer-")  # noqa: SIM115 - closed by kill
        self.process = subprocess.Popen(
            ["node", str(folder / SCRIPTS[kind])],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, name=f"reader of {self.name}", daemon=True)
        self._reader.start()

    @classmethod
    def start(cls, folder: Path, kind: str, role: str | None = None, **options: Any) -> JsPeer:
        """Start a `kind` (see SCRIPTS) as "client" or "server"; `folder` is the fixture `logux_packages`.

        Options of logux01, core10 and core12 (None means: not given):
        node_id (the kind and role), fix_time, credentials (its own; core calls it token), accepts (credentials that
        the other must show), auth_delay (ms), subprotocol, accepts_subprotocol (else wrong-subprotocol is thrown),
        ping, timeout, min_delay (100), max_delay (500), attempts, headers, sync_batch (core12), clock_shift (ms added
        to its wall clock), saved (what `save` of an earlier process answered).
        Of server14: node_id, users ({user: token}), env, subprotocol, min_subprotocol, types (else any), resend
        ({"channels": ["all"]}), keep (give actions a reason), ping, timeout.
        Of client23: user_id, credentials, subprotocol, cross_tab, ping, timeout, min_delay, max_delay.
        """
        peer = cls(folder, kind, role or ROLES[kind])
        options.setdefault("node_id", f"{kind}-{peer.role}")
        peer.name = f"{peer.name} {options['node_id']!r}"
        given = {_camel(key): value for key, value in options.items() if value is not None}
        try:
            peer.ask("start", kind=kind, role=peer.role, options=given)
        except JsError:
            peer.kill()
            raise
        return peer

    # What it is told.

    def listen(self, port: int = 0) -> str:
        """Accept connections on 127.0.0.1; answers the URL, which is `url` from then on."""
        self.url = f"ws://127.0.0.1:{self.ask('listen', port=port)}"
        return self.url

    def connect(self, url: str | None = None) -> None:
        """Dial, and dial again whenever the link breaks; without a URL the last one. Does not wait: see `wait`."""
        self.ask("connect", url=url)

    def add(self, event: dict[str, Any], meta: dict[str, Any] | None = None, **how: Any) -> Created:
        """Add one event; answers its created.

        client23: `how="sync"` waits until the server processed it, "crossTab" (default) and "local" stay here.
        server14: without `meta` it goes to channel `all`.
        """
        return _created(self.ask("add", event=event, meta=meta, **how))

    def add_many(self, count: int, prefix: str = "e", *, together: bool = False, characters: int = 0) -> None:
        """Add `{"type": prefix, "n": 1}` to `n = count`, one after the other, or `together` without waiting between.

        Each with a `text` of so many characters, if that is given.
        """
        self.ask("addMany", count=count, prefix=prefix, together=together, characters=characters, timeout=60.0)

    def subscribe(self, channel: str) -> None:
        """client23: subscribe and wait until the server said that it is processed."""
        self.ask("subscribe", channel=channel)

    def send(self, message: Any) -> None:
        """Send a message over the current connection past the node."""
        self.ask("send", message=message)

    def set_headers(self, headers: dict[str, Any]) -> None:
        """core10, core12: set the headers of every connection."""
        self.ask("headers", headers=headers)

    def disconnect(self) -> None:
        """Close every connection; a client does not dial again until it is told to."""
        self.ask("disconnect")

    def destroy(self) -> None:
        """Destroy every node and stop listening."""
        self.ask("destroy")

    # What it is asked.

    def log(self, order: str = "created") -> list[JsEntry]:
        """The whole log, oldest first, in its own order ("created") or as it came ("added").

        server14: every action it saw, its own `logux/...` among them, as they came.
        """
        return [JsEntry(_created(row[0]), *row[1:]) for row in self.ask("log", order=order)]

    def types(self) -> list[str]:
        """The types of the log's events in its own order."""
        return [entry.event["type"] for entry in self.log()]

    def state(self) -> str:
        """State of the client's node, or of the newest connection of a server."""
        return str(self.ask("state"))

    def cursors(self) -> Cursors:
        """Cursors of the client's node, or of the newest connection of a server."""
        return Cursors(**self.ask("cursors"))

    def other(self) -> dict[str, Any] | None:
        """`node`, `protocol` and `subprotocol` of the other side, as far as they are known."""
        answer: dict[str, Any] | None = self.ask("other")
        return answer

    def save(self) -> dict[str, Any]:
        """What another process needs to go on from here: give it as the option `saved`."""
        answer: dict[str, Any] = self.ask("save")
        return answer

    def frames(self) -> list[tuple[str, Any]]:
        """The last 1000 frames as ("in" or "out", message); text that is no JSON as str, binary frames as bytes."""
        return [(frame["direction"], _frame(frame)) for frame in self.ask("frames")]

    def sent(self) -> list[Any]:
        """The messages among the last 1000 frames that it sent."""
        return [message for direction, message in self.frames() if direction == "out"]

    # What it is waited for.

    def wait(self, *, timeout: float = WAIT_SECONDS, **wanted: Any) -> None:
        """Until all hold at once: state, connections (exactly); length of the log, sent, received (at least).

        server14 knows connections, and length: actions seen that are not its own `logux/...`, or of one `type`.
        """
        milliseconds = round(timeout * 1000)
        self.ask("waitFor", wanted=wanted, milliseconds=milliseconds, timeout=timeout + ANSWER_SECONDS)

    def wait_event(self, event: str, *, timeout: float = WAIT_SECONDS, **facts: Any) -> dict[str, Any]:
        """The first event of that name with those facts, come or coming: state, error, clientError, connect,
        disconnect, add, headers, debug, ready, report, processed, undo."""

        def found() -> dict[str, Any] | None:
            return next(
                (line for line in self.events if line["event"] == event and facts.items() <= line.items()), None
            )

        with self._news:
            self._until(lambda: found() is not None or self._has_ended, timeout, f"the event {event} {facts}")
            line = found()
        if line is None:
            raise self._error(f"ended before the event {event} {facts}")
        return line

    def wait_crash(self, *, timeout: float = WAIT_SECONDS) -> str:
        """Until the process died by itself; answers what it wrote to stderr. It may be dead from then on."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise self._error(f"did not crash within {timeout} s") from error
        self._is_ending = True
        self._reader.join(EXIT_SECONDS)
        return self.stderr_text()

    @property
    def crashed(self) -> bool:
        """Whether the process ended without being told to."""
        return not self._is_ending and self.process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def ask(self, command: str, *, timeout: float = ANSWER_SECONDS, **arguments: Any) -> Any:
        """Give a command of the script and wait for its answer."""
        with self._news:
            self._asked += 1
            number = self._asked
        line = json.dumps({"id": number, "command": command, **arguments})
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:  # ValueError: closed by us
            self._reader.join(EXIT_SECONDS)
            raise self._error(f"is gone and was asked to {command}") from error
        with self._news:
            self._until(lambda: number in self._answers or self._has_ended, timeout, f"the answer to {command}")
            answer = self._answers.pop(number, None)
        if answer is None:
            raise self._error(f"ended while it was asked to {command}")
        if "error" in answer:
            raise self._error(f"could not {command}: {answer['error']}")
        return answer["ok"]

    # How it ends.

    def quit(self) -> None:
        """End it in order, and wait until it has."""
        self.ask("quit")
        self._is_ending = True
        self.process.wait(EXIT_SECONDS)
        self.kill()

    def kill(self) -> str | None:
        """End it at once (SIGKILL) and give up everything it held; answers a complaint if it had crashed before."""
        complaint = str(self._error("crashed")) if self.crashed else None
        self._is_ending = True
        if self._is_closed:
            return None
        self._is_closed = True
        self.process.kill()
        self.process.wait(EXIT_SECONDS)
        self._reader.join(EXIT_SECONDS)
        self._last_stderr = self.stderr_text()
        for file in (self.process.stdin, self.process.stdout, self._stderr):
            if file is not None:
                with contextlib.suppress(BrokenPipeError):  # it died before it read what we wrote
                    file.close()
        return complaint

    def __enter__(self) -> JsPeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        complaint = self.kill()
        if complaint is not None and error is None:
            raise JsError(complaint)

    def stderr_text(self) -> str:
        """What it wrote to stderr so far, cut to the last part."""
        if self._stderr.closed:
            return self._last_stderr
        number = self._stderr.fileno()
        # Not by read(): the process writes where the file's one position is.
        return os.pread(number, STDERR_LIMIT, max(0, os.fstat(number).st_size - STDERR_LIMIT)).decode(errors="replace")

    def report(self) -> str:
        """Name, how it is, and its stderr."""
        code = self.process.poll()
        return f"--- {self.name}, {'running' if code is None else f'exit code {code}'}\n{self.stderr_text()}"

    def _error(self, what: str) -> JsError:
        return JsError(f"{self.name} {what}\n{self.report()}")

    def _until(self, holds: Callable[[], bool], timeout: float, what: str) -> None:
        """Called with the lock held."""
        deadline = time.monotonic() + timeout
        while not holds():
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._error(f"gave no sign of {what} within {timeout} s")
            self._news.wait(left)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            try:
                line = json.loads(text)
            except ValueError:  # a package that prints
                line = {"event": "printed", "text": text}
            with self._news:
                if "event" in line:
                    self.events.append(line)
                else:
                    self._answers[line["id"]] = line
                self._news.notify_all()
        self.process.wait()
        with self._news:
            self._has_ended = True
            self._news.notify_all()


class StartJs(Protocol):
    """The fixture `start_js`: starts a JS peer that is ended with the test; options as those of `JsPeer.start`."""

    def __call__(self, kind: str, role: str | None = None, **options: Any) -> JsPeer: ...


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _created(created: Any) -> Created:
    return tuple(created) if isinstance(created, list) else created


def _frame(frame: dict[str, Any]) -> Any:
    if "hex" in frame:
        return bytes.fromhex(frame["hex"])
    if "text" not in frame:
        return frame
    try:
        return json.loads(frame["text"])
    except ValueError:
        return frame["text"]
