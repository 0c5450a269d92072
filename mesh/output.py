"""What commands print: results on standard output, complaints on standard error."""

from __future__ import annotations

import contextlib
import os
import sys


class OutputClosed(Exception):
    """Nobody reads our standard output any more, as after `mesh log | head -1`."""


def write(text: bytes | str) -> None:
    """Print and flush. Raises OutputClosed."""
    try:
        if sys.stdout is None:
            raise BrokenPipeError
        sys.stdout.buffer.write(text if isinstance(text, bytes) else text.encode(errors="replace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError, AttributeError):  # so that the interpreter's own flush at the end is silent
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputClosed from None


def complain(sentence: str) -> None:
    """Print a sentence for people on standard error, if it is open."""
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write(f"{printable(sentence)}\n")
        sys.stderr.flush()


def printable(text: str) -> str:
    """`text` without anything that a terminal would obey: what comes from other nodes is shown as it is written."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    return ascii(character)[1:-1]
