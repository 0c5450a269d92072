"""Finds the items of a list and the members of an object in JSON text that a decoder refuses as a whole."""

from __future__ import annotations

import re

import msgspec

MAX_MARKS = 1_000_000
"""Brackets and borders that are read one by one, in about a second; text with more of them is refused as a whole."""
APART_MARKS = 5_000
"""The same where a message is not worth more than 10 ms: to find which event of a piece is refused, or the type of one."""
SHALLOW_LEVELS = 4
"""A list or an object with no more levels in it is skipped in one step."""

TAIL = 64
"""Bytes at the end that are read first: a frame that was cut off is found there."""

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_NEST = rb'[\[{](?:[^"\[\]{}]++|' + _STRING + rb")*+[\]}]"
for _ in range(SHALLOW_LEVELS - 1):
    _NEST = rb'[\[{](?:[^"\[\]{}]++|' + _STRING + rb"|" + _NEST + rb")*+[\]}]"
_SHALLOW = re.compile(rb'(?:[^"\[\]{},:]++|' + _STRING + rb"|" + _NEST + rb")*+([,:]|[\[{]++|[\]}]++)", re.DOTALL)
"""The text up to the next comma or colon of the outermost list or object, or to brackets."""
_DEEP = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb"|" + _NEST + rb")*+([\[{]++|[\]}]++)", re.DOTALL)
"""The same further down, where commas and colons are no borders."""
_SPACE = b" \t\n\r"
_string = msgspec.json.Decoder(str).decode


def items_of(text: bytes, max_items: int = MAX_MARKS, max_marks: int = MAX_MARKS) -> list[bytes]:
    """The texts of the items of a list; an item may be invalid JSON, such as a string with half of a character.

    Raises ValueError if quotes or brackets are not in pairs, or if there are more than `max_items`, or more than `max_marks`
    brackets and borders that are read one by one. The time is linear in the length.
    """
    pieces, borders = _split(text, b"[]", max_items, max_marks)
    if b":" in borders:
        raise ValueError("a colon between the items of a list")
    return pieces


def members_of(text: bytes, max_marks: int = MAX_MARKS) -> dict[str, bytes]:
    """The texts of the values of an object by their keys; of equal keys the last one counts. See `items_of`."""
    pieces, borders = _split(text, b"{}", MAX_MARKS, max_marks)
    if bytes(borders) != (b":," * len(pieces))[: len(borders)] or len(pieces) % 2:
        raise ValueError("an object is made of keys and values")
    members: dict[str, bytes] = {}
    for key, value in zip(pieces[::2], pieces[1::2], strict=True):
        try:
            members[_string(key)] = value
        except ValueError:
            continue  # no key of ours is unreadable
    return members


def _split(text: bytes, brackets: bytes, max_pieces: int, max_marks: int) -> tuple[list[bytes], bytearray]:
    """The texts between the outermost commas and colons, and these marks."""
    position = len(text) - len(text.lstrip(_SPACE))
    if text[position : position + 1] != brackets[:1] or text[-TAIL:].rstrip(_SPACE)[-1:] not in (b"", brackets[1:]):
        raise ValueError("it does not begin and end with the brackets that were looked for")
    pieces: list[bytes] = []
    borders = bytearray()
    depth, start, position = 1, position + 1, position + 1
    for _ in range(max_marks):
        found = (_SHALLOW if depth == 1 else _DEEP).match(text, position)
        if found is None:
            raise ValueError("a string or a bracket without its end")
        mark = found[1]
        position = found.end()
        if mark in b",:":
            pieces.append(text[start : position - 1].strip(_SPACE))
            borders += mark
            start = position
            if len(pieces) >= max_pieces:
                raise ValueError(f"more than {max_pieces} items")
        elif mark[0] in b"[{":
            depth += len(mark)
        elif len(mark) < depth:
            depth -= len(mark)
        else:
            return _ended(text, brackets, start, position - len(mark) + depth - 1, pieces, borders)
    raise ValueError(f"more than {max_marks} brackets and borders")


def _ended(
    text: bytes, brackets: bytes, start: int, end: int, pieces: list[bytes], borders: bytearray
) -> tuple[list[bytes], bytearray]:
    if text[end : end + 1] != brackets[1:] or text[end + 1 :].strip(_SPACE):
        raise ValueError("it does not end with the bracket that was looked for")
    last = text[start:end].strip(_SPACE)
    if last or pieces:
        pieces.append(last)
    return pieces, borders
