"""Where the items of a MessagePack array and the members of a map begin and end, whatever they hold."""

from __future__ import annotations

_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_FIXED |= {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17} | dict.fromkeys([0xC0, 0xC2, 0xC3], 0)
"""Bytes after the first one of nil, booleans, numbers and small extensions."""
_COUNTED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_COUNTED |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
"""Of binaries, extensions and texts: how many bytes their length has, and how many more follow than it says."""
_NESTED = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""Of arrays and maps: how many bytes their length has, and how many values each item has."""


def items_of(frame: bytes) -> list[bytes]:
    """The items of an array, in time linear in its length. Raises ValueError or IndexError if it is none, or cut off."""
    position, count = _head(frame, 0)
    if not (0x90 <= frame[0] <= 0x9F or frame[0] in (0xDC, 0xDD)):
        raise ValueError("it is no array")
    return _pieces(frame, position, count)


def members_of(frame: bytes) -> list[tuple[bytes, bytes]]:
    """The keys and values of a map; as `items_of`."""
    position, count = _head(frame, 0)
    if not (0x80 <= frame[0] <= 0x8F or frame[0] in (0xDE, 0xDF)):
        raise ValueError("it is no map")
    pieces = _pieces(frame, position, count)
    return list(zip(pieces[::2], pieces[1::2], strict=True))


def _pieces(frame: bytes, position: int, count: int) -> list[bytes]:
    pieces: list[bytes] = []
    while len(pieces) < count:
        end = _end(frame, position)
        pieces.append(frame[position:end])
        position = end
    if position != len(frame):
        raise ValueError("it is longer than it says")
    return pieces


def _end(frame: bytes, position: int) -> int:
    """Where the value ends that begins at `position`."""
    waiting = 1
    while waiting:
        position, inner = _head(frame, position)
        waiting += inner - 1
    if position > len(frame):
        raise ValueError("it is cut off")
    return position


def _head(frame: bytes, position: int) -> tuple[int, int]:
    """Where the next value begins after the one at `position`, and how many values are in that one."""
    first = frame[position]
    position += 1
    if first <= 0x7F or first >= 0xE0:
        return position, 0
    if first <= 0x9F:
        return position, (first & 0x0F) * (2 if first <= 0x8F else 1)
    if first <= 0xBF:
        return position + (first & 0x1F), 0
    if first in _FIXED:
        return position + _FIXED[first], 0
    if first in _COUNTED:
        size, more = _COUNTED[first]
        return position + size + int.from_bytes(frame[position : position + size], "big") + more, 0
    if first in _NESTED:
        size, each = _NESTED[first]
        return position + size, int.from_bytes(frame[position : position + size], "big") * each
    raise ValueError("no value begins so")
