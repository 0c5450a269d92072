"""Keys that make an add safe to repeat: what a key is, what a store keeps of it, and the append that goes by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec

from peers.events.entry import Entry
from peers.events.event_error import JsonTypeError
from peers.stores.run_store import Pen, RunStore
from peers.stores.store import KeyRow
from peers.stores.taken import Taken

MAX_ADD_KEY_BYTES = 512
"""Of a key, in UTF-8."""
_HASH_BYTES = 16
_SHOWN_CHARACTERS = 80
"""Of an event in an error."""


def check_add_key(key: Any) -> str:
    """`key` itself. Raises ValueError unless it has 1 to MAX_ADD_KEY_BYTES bytes in UTF-8; TypeError too if it is no str."""
    if not isinstance(key, str):
        raise JsonTypeError(f"the key {key!r} is of the type {type(key).__name__}: give a str")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise ValueError(f"the key {key!r} has half of a character: give a text that can be written in UTF-8") from None
    if not 1 <= size <= MAX_ADD_KEY_BYTES:
        raise ValueError(f"a key has from 1 to {MAX_ADD_KEY_BYTES} bytes in UTF-8, and this one has {size}")
    return key


def append_once(
    store: RunStore, entries: Sequence[Entry], keys: Sequence[str], pen: Pen, *, clock_ms: int = 0
) -> Taken:
    """Append own events, each with its key or "", in a transaction of the caller. Raises as `RunStore.append`.

    An event whose key is known, or comes before it here, is not written. Its result is the first one as it was stored then; its
    `body` and `extra` are empty if it was cleaned. If that has another value, its result is a ValueError.
    """
    hashes = [_hash(key.encode()) if key else b"" for key in keys]
    known = store.keyed([key for key in hashes if key])
    new: list[Entry] = []
    rows: dict[bytes, tuple[int, bytes]] = {}
    """Of a new key: where its event is in `new`, and the hash of its value."""
    results: list[int | Entry | ValueError] = []
    for entry, key, hashed in zip(entries, keys, hashes, strict=True):
        if hashed in known:
            results.append(_repeated(store, known[hashed], entry, key))
            continue
        value = value_hash(entry) if hashed else b""
        at, before = rows.setdefault(hashed, (len(new), value)) if hashed else (len(new), value)
        if value != before:
            results.append(_differs(key, new[at], entry))
            continue
        if at == len(new):
            new.append(entry)
        results.append(at)
    taken = store.append(new, pen, clock_ms=clock_ms) if new else Taken()
    stored = taken.results
    kept = [(hashed, value, stored[at]) for hashed, (at, value) in rows.items()]
    store.keep_keys([_row(hashed, value, entry) for hashed, value, entry in kept if isinstance(entry, Entry)])
    return replace(taken, results=[stored[found] if isinstance(found, int) else found for found in results])


def value_hash(entry: Entry) -> bytes:
    """What a KeyRow keeps of the value of an event."""
    return _hash(_value(entry))


def _row(key: bytes, value: bytes, entry: Entry) -> KeyRow:
    assert entry.dot is not None, "what was appended has its dot"
    return KeyRow(key, value, entry.created, entry.time, entry.added, entry.dot)


def _repeated(store: RunStore, row: KeyRow, entry: Entry, key: str) -> Entry | ValueError:
    shown = store.find(row.created)
    first = shown if shown is not None and value_hash(shown) == row.event else None
    if value_hash(entry) != row.event:
        return _differs(key, first or Entry(row.created, row.time, b""), entry)
    birth = store.birth(row.dot[0])
    texts = (first.body, first.extra) if first is not None else (b"", b"")
    origin = birth.origin if birth is not None else None
    return Entry(row.created, row.time, *texts, row.dot, row.added, origin=origin)


def _differs(key: str, first: Entry, other: Entry) -> ValueError:
    what = _shown(first.body) if first.body else "which was cleaned since"
    return ValueError(
        f'the key "{key}" is known for another event: that of {list(first.created)}, {what}; this one is '
        f"{_shown(other.body)}: give it a key of its own"
    )


def _shown(body: bytes) -> str:
    text = body.decode()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _value(entry: Entry) -> bytes:
    """The same for events that are equal in Python, whatever the order of their keys is."""
    return msgspec.json.encode(msgspec.json.decode(entry.body), order="sorted")


def _hash(data: bytes) -> bytes:
    return sha256(data).digest()[:_HASH_BYTES]
