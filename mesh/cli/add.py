"""`mesh add`: sends events to the running node in batches, and prints the outcome of each."""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Raw

from mesh.control import messages
from mesh.control.client import ControlClient
from mesh.control.line_reader import LineReader
from mesh.control.messages import BATCH_BYTES, BATCH_EVENTS, MAX_LINE_BYTES, Added, Answer, Confirmed, Failure
from mesh.errors import MeshError
from mesh.terminal import output
from mesh.terminal.progress import Progress, file_position, file_size

AHEAD_BATCHES = 2
"""Batches sent before the answer to the first: while the node writes one to disk, it has the next one already."""
MAX_GIVEN_BYTES = MAX_LINE_BYTES - 1024
"""Of one event, so that its request fits into a line. The limit of the log is lower, and the node checks it."""
REQUEST_DEPTH = 64
"""Levels of JSON nesting that a request adds around an event, at most."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Some programs begin a UTF-8 file with it; it is not part of the first line."""
READ_BYTES = 64 * 1024
EXAMPLE = 'an event is an object with a `type`, as {"type": "milk", "litres": 2}'
MAX_ESCAPE = len("\\u0001")
"""Bytes of a character of a key in JSON text, at most."""

_SPACES_FOR_CONTROLS = bytes(max(byte, ord(" ")) for byte in range(256))


def add_events(home: Path, events: Sequence[str], *, key: str | None = None, key_field: str | None = None) -> int:
    """Add these events, or for `-` the lines of standard input. Returns the exit code; 1: one was refused. Raises MeshError.

    `key` is that of the only event, `key_field` the field of each event that has its key; see NodeLog.add.
    """
    source = _standard_input() if list(events) == ["-"] else None
    refused: list[int] = []
    unprinted: list[str] = []

    def on_confirmed(confirmed: list[Confirmed]) -> None:
        lines = [msgspec.json.encode({"created": one.created, "added": one.added}) for one in confirmed]
        if not unprinted:
            try:
                with progress.hidden():
                    output.write(b"\n".join([*lines, b""]))
            except output.OutputError as error:
                unprinted[:] = [str(error)]
                output.complain(f"events are stored all the same, from here on without a line for each: {error}")
        progress.at(adder.confirmed, done=file_position(source))

    def on_refused(number: int, why: str) -> None:
        refused[:] = [number]
        with progress.hidden():
            output.complain(f"{'event' if source is None else 'line'} {number} is not added: {why}")

    with ControlClient(home) as client, Progress("stored", total=file_size(source)) as progress:
        adder = Adder(client, on_confirmed=on_confirmed, on_refused=on_refused, key_of=_key_of(key, key_field))
        given = [] if source is not None else [event.encode(errors="surrogateescape") for event in events]
        try:
            adder.run(given, source)
        except MeshError as error:
            raise MeshError(f"{error}; {_count(adder.confirmed)} confirmed, and any other may be missing") from None
    return 1 if refused else 0


def _standard_input() -> int:
    if sys.stdin is None:
        raise MeshError("standard input is closed: give events as arguments")
    return sys.stdin.fileno()


def _count(events: int) -> str:
    return {0: "no event was", 1: "1 event was"}.get(events, f"{events} events were")


class Adder:
    """Sends events to a node: those of an argument, or the lines of a file descriptor. `run` it once.

    It sends a batch when the batch is full or when there is nothing more to read for the moment, so that a file is fast and a
    slow producer gets each answer at once. A bad event is refused, the others are added. Events keep their bytes, but line
    breaks between the parts of an event become spaces.
    """

    def __init__(
        self,
        client: ControlClient,
        *,
        on_confirmed: Callable[[list[Confirmed]], None],
        on_refused: Callable[[int, str], None],
        key_of: Callable[[bytes], str] | None = None,
    ) -> None:
        """`on_confirmed` gets the events that are on disk, in order; `on_refused` the number of an event, from 1, and why.

        `key_of` gives the key of an event, from its JSON text, or raises ValueError; None: no event has one.
        """
        self.confirmed = 0
        self._client = client
        self._on_confirmed = on_confirmed
        self._on_refused = on_refused
        self._key_of = key_of
        self._number = 0
        self._gathered: deque[tuple[int, bytes, str]] = deque()
        """The number of each event, its text and its key."""
        self._gathered_bytes = 0
        self._sent: deque[list[int]] = deque()
        """The numbers of the events of each batch that has no answer yet."""
        self._outgoing = memoryview(b"")

    def run(self, given: Iterable[bytes] = (), source: int | None = None) -> None:
        """Add `given`, then all lines of `source`. Raises MeshError if the node stops or fails; confirmed events stay."""
        self._gather_given(given)
        self._client.connection.setblocking(False)
        lines = LineReader(MAX_GIVEN_BYTES)
        while True:
            wants_more = source is not None and not self._has_batch()
            if wants_more and _is_ready(source):
                source = self._read(source, lines)
                continue
            self._send_batch()
            if source is None and not self._gathered and not self._sent:
                return
            self._wait(source if not self._has_batch() else None)

    def _gather_given(self, given: Iterable[bytes]) -> None:
        for event in given:
            self._number += 1
            self._take(event.strip())

    def _gather_lines(self, lines: Iterable[bytes | None]) -> None:
        for line in lines:
            self._number += 1
            if line is None:
                self._refuse_long()
                continue
            body = (line.removeprefix(BYTE_ORDER_MARK) if self._number == 1 else line).strip()
            if body:
                self._take(body)

    def _take(self, body: bytes) -> None:
        if len(body) > MAX_GIVEN_BYTES:
            self._refuse_long()
            return
        try:
            _check_json(body)
            key = "" if self._key_of is None else self._key_of(body)
        except ValueError as error:
            self._on_refused(self._number, str(error))
            return
        # After the check: a line break inside of a string is an error.
        body = body.replace(b"\n", b" ").replace(b"\r", b" ")
        self._gathered.append((self._number, body, key))
        self._gathered_bytes += _size(body, key)

    def _refuse_long(self) -> None:
        from peers.events.entry import (  # imported here: it takes a while and is rarely needed
            MAX_EVENT_BYTES,
            too_large,
        )

        self._on_refused(self._number, str(too_large(f"more than {MAX_EVENT_BYTES}")))

    def _has_batch(self) -> bool:
        return len(self._gathered) >= BATCH_EVENTS or self._gathered_bytes >= BATCH_BYTES

    def _read(self, source: int | None, lines: LineReader) -> int | None:
        """Read once. Returns what to read from next: `source`, or None at its end."""
        assert source is not None
        try:
            received = os.read(source, READ_BYTES)
        except BlockingIOError:
            return source
        except OSError as error:
            raise MeshError(f"cannot read standard input: {error.strerror or error}") from None
        if not received:
            self._gather_lines(lines.end())
            return None
        self._gather_lines(lines.feed(received))
        return source

    def _send_batch(self) -> None:
        if not self._gathered or self._outgoing or len(self._sent) >= AHEAD_BATCHES:
            return
        numbers: list[int] = []
        events: list[Raw] = []
        keys: list[str] = []
        size = 0
        while self._gathered and len(events) < BATCH_EVENTS:
            number, body, key = self._gathered[0]
            if events and size + _size(body, key) > BATCH_BYTES:
                break
            self._gathered.popleft()
            numbers.append(number)
            events.append(Raw(body))
            keys.append(key)
            size += _size(body, key)
        self._gathered_bytes -= size
        self._sent.append(numbers)
        self._outgoing = memoryview(messages.encode(messages.Add(events, keys if self._key_of is not None else [])))
        self._write()

    def _wait(self, source: int | None) -> None:
        """Wait until a line, an answer or room for output is there; handle answers and output."""
        connection = self._client.connection
        inputs: list[int] = [connection.fileno()] if source is None else [connection.fileno(), source]
        readable, writable, _ = select.select(inputs, [connection.fileno()] if self._outgoing else [], [])
        if writable:
            self._write()
        if connection.fileno() in readable:
            for answer in self._client.receive():
                self._on_answer(answer)

    def _write(self) -> None:
        try:
            self._outgoing = self._outgoing[self._client.connection.send(self._outgoing) :]
        except BlockingIOError:
            pass
        except OSError:
            raise self._client.lost() from None

    def _on_answer(self, answer: Answer) -> None:
        if isinstance(answer, Failure):
            raise MeshError(answer.why)
        if not isinstance(answer, Added) or not self._sent or len(answer.outcomes) != len(self._sent[0]):
            raise MeshError("the node answered another request: is it of another version?")
        confirmed: list[Confirmed] = []
        for number, outcome in zip(self._sent.popleft(), answer.outcomes, strict=True):
            if isinstance(outcome, Confirmed):
                confirmed.append(outcome)
            else:
                self._on_refused(number, outcome.why)
        self.confirmed += len(confirmed)
        if confirmed:
            self._on_confirmed(confirmed)


def _size(body: bytes, key: str) -> int:
    return len(body) + MAX_ESCAPE * len(key)


def _key_of(key: str | None, field: str | None) -> Callable[[bytes], str] | None:
    """Gives the key of an event, from its JSON text, or raises ValueError."""
    if key is None and field is None:
        return None
    from peers.stores.keys import check_add_key  # imported here: it takes a while, and most events have no key

    def read(body: bytes) -> str:
        if field is None:
            return check_add_key(key)
        event = msgspec.json.decode(body)
        given = event.get(field) if isinstance(event, dict) else None
        if isinstance(given, bool) or not isinstance(given, (str, int)):
            raise ValueError(f"it has no text or whole number in the field {field!r}, which has to be its key")
        return check_add_key(str(given))

    return read


def _check_json(body: bytes) -> None:
    """Raise ValueError, with a sentence, for text that would break a request. The node checks whether it is an event."""
    if not body:
        raise ValueError(f"it is empty: {EXAMPLE}")
    try:
        msgspec.json.decode(body, type=Raw)
        if body.count(b"{") + body.count(b"[") > REQUEST_DEPTH:
            msgspec.json.decode(b"[" * REQUEST_DEPTH + body + b"]" * REQUEST_DEPTH, type=Raw)
    except msgspec.DecodeError as error:
        if _is_json(body.translate(_SPACES_FOR_CONTROLS)):
            raise ValueError("it has a raw control character: in a string, write a line break as \\n") from None
        raise ValueError(f"it is not JSON ({error}): {EXAMPLE}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _is_ready(source: int | None) -> bool:
    return source is not None and bool(select.select([source], [], [], 0)[0])
