"""Printing: results on standard output, complaints on standard error."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mesh.errors import MeshError, printable

Value = TypeVar("Value")

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


class OutputError(MeshError):
    """A result cannot be printed on standard output."""


class OutputClosed(OutputError):
    """The reader of standard output has closed it, as after `mesh log | head -1`."""


def hold_streams() -> None:
    """Prepare a process for standard streams that are closed or full. Call it before the process opens any file.

    The number of a closed stream is taken, so that no file or socket gets this number and output lands in it. Complaints that
    cannot be printed are dropped; results that cannot be printed raise OutputError.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is sys.__stderr__:
        raw = io.BufferedWriter(_Forgiving(2, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(raw, errors="backslashreplace", line_buffering=True)


def write(text: bytes | str) -> None:
    """Print a result and flush. Raises OutputError; OutputClosed if the reader has closed the stream."""
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed")
        sys.stdout.buffer.write(text if isinstance(text, bytes) else text.encode(errors="replace"))
        sys.stdout.buffer.flush()
    except OSError as error:
        raise _lost_output(error) from None


def write_json(value: Any) -> None:
    """Print a value as one line of JSON. Raises as `write`."""
    write(json_line(value) + b"\n")


def write_shown(value: Value, show: Callable[[Value], str], *, as_json: bool) -> None:
    """Print a value as one line of JSON, or as the text for people that `show` makes of it. Raises as `write`."""
    if as_json:
        write_json(value)
    else:
        write(show(value))


def flush() -> None:
    """Print what `print` has buffered, at the end of a process. Raises as `write`."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        raise _lost_output(error) from None


def counted(count: int, one: str = "event", several: str | None = None) -> str:
    """`1 event`, `2 events`; `several` is the plural if it is not `one` with an s."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def complain(sentence: str) -> None:
    """Print a sentence on standard error, if it is open."""
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write(f"{printable(sentence)}\n")
        sys.stderr.flush()


class _Forgiving(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def _lost_output(error: OSError) -> OutputError:
    # Standard output becomes /dev/null, so that the flush of the interpreter at its end does not fail again.
    with contextlib.suppress(OSError, AttributeError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    kind = OutputClosed if isinstance(error, BrokenPipeError) else OutputError
    return kind(f"nothing can be printed on standard output: {error.strerror}")


def json_line(value: Any) -> bytes:
    """A value as one line of JSON without control characters."""
    import msgspec

    return printable_json(msgspec.json.encode(value))


def printable_json(line: bytes) -> bytes:
    """A line of JSON with what JSON leaves as it is (C1 controls, right-to-left marks, line separators) escaped too.

    The value stays the same: such a character can only stand in a string.
    """
    text = line.decode()
    if text.isprintable():
        return line
    return "".join(one if one.isprintable() else _json_escape(one) for one in text).encode()


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
