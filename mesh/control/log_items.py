"""Events as commands print them: each with its meta, on one line of JSON."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from peers.events.entry import Entry


class _Typed(msgspec.Struct):
    type: str


_TYPE = msgspec.json.Decoder(_Typed)


def has_type(entry: Entry, wanted: str | None) -> bool:
    """Whether it is of this type; None is any."""
    return wanted is None or _TYPE.decode(entry.body).type == wanted


def item_of(entry: Entry) -> Raw:
    """`{"event": ..., "meta": ...}` on one line: the bytes of an event may hold line breaks between its parts."""
    text = msgspec.json.encode({"event": Raw(entry.body), "meta": entry.meta})
    return Raw(text.replace(b"\r", b" ").replace(b"\n", b" "))
