"""EventTypes: which events have one of some types, found without decoding most of them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

SHORT_BODY = 400
"""Bytes of an event up to which it takes no longer to decode its `type` than to look for the name of one."""


class _Typed(msgspec.Struct, gc=False):
    type: str


_decode = msgspec.json.Decoder(_Typed).decode


class EventTypes:
    """The names of types, exact ones, as a walk over a store compares them with the bodies of events."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        texts = [msgspec.json.encode(name) for name in sorted(self._names)]
        self.marks = (b"\\", *[text for text in texts if b"\\" not in text])
        """An event of one of the types has one of these in its body: the plain spelling of a name, or a backslash."""

    def fit(self, body: bytes) -> bool:
        """Whether an event has one of the types, however its JSON text is spelled. Raises ValueError for what is no event."""
        if len(body) > SHORT_BODY and all(body.find(mark) < 0 for mark in self.marks):
            return False
        return _decode(body).type in self._names
