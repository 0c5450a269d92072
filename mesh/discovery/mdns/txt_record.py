"""The TXT record of an announcement: five short entries, read without trust."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from mesh.discovery.port import Announcement

TXT_VERSION = "1"
"""The version of the entries; a record with another version is ignored."""
TXT_LIMIT = 400
"""Most bytes of a record; a longer one is ignored."""
ENTRY_LIMIT = 255
"""Most bytes of one entry: its length is one byte on the wire (RFC 6763, 6.1)."""

_ID = re.compile(r"[A-Za-z0-9_.~-]{1,100}")
_TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]{1,64}")
_COUNTER = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class TextRecord:
    """The identity of a node: its id, the hash of its mesh, and the random id of its run."""

    node_id: str
    mesh: str
    instance: str
    counter: int = 0
    """Grows with each announcement of one run, so that no record returns to an earlier content."""


def text_of(announcement: Announcement, counter: int) -> TextRecord:
    """The record of our own announcement."""
    return TextRecord(announcement.node_id, announcement.mesh, announcement.instance, counter)


def digest(text: str) -> str:
    """A label of 20 hexadecimal digits that does not show `text`."""
    return sha256(text.encode()).hexdigest()[:20]


def encode(record: TextRecord) -> bytes:
    """The bytes of a TXT record (RFC 6763, 6). Raises ValueError for a field that other nodes would not accept."""
    entries = {
        "v": TXT_VERSION,
        "id": record.node_id,
        "c": record.mesh,
        "b": record.instance,
        "s": str(record.counter),
    }
    raw = b"".join(_entry(key, value) for key, value in entries.items())
    if decode(raw) != record:
        raise ValueError(
            f"cannot announce node id {record.node_id!r}, mesh {record.mesh!r}, instance {record.instance!r}: "
            "each must be letters, digits and _ . ~ -, the id up to 100 of them, the others up to 64"
        )
    return raw


def decode(raw: bytes) -> TextRecord | None:
    """Decode the record of a node. Returns None for any other bytes: cut off, too long, another version, a wrong field.

    Unknown entries are skipped. If a key comes twice the first one counts (RFC 6763, 6.4).
    """
    entries = _entries(raw)
    if entries is None or entries.get("v") != TXT_VERSION:
        return None
    node_id, mesh, instance = entries.get("id", ""), entries.get("c", ""), entries.get("b", "")
    counter = entries.get("s", "0")
    if not (_ID.fullmatch(node_id) and _TOKEN.fullmatch(mesh) and _TOKEN.fullmatch(instance)):
        return None
    if not _COUNTER.fullmatch(counter):
        return None
    return TextRecord(node_id, mesh, instance, int(counter))


def _entry(key: str, value: str) -> bytes:
    entry = f"{key}={value}".encode()
    if len(entry) > ENTRY_LIMIT:
        raise ValueError(f"cannot announce {key}={value[:20]!r}...: {len(entry)} bytes, the limit is {ENTRY_LIMIT}")
    return bytes([len(entry)]) + entry


def _entries(raw: bytes) -> dict[str, str] | None:
    """The values by key, in lower case; None if the bytes are no TXT record."""
    if len(raw) > TXT_LIMIT:
        return None
    entries: dict[str, str] = {}
    at = 0
    while at < len(raw):
        end = at + 1 + raw[at]
        if end > len(raw):
            return None
        key, _, value = raw[at + 1 : end].decode("utf-8", "replace").partition("=")
        if key:
            entries.setdefault(key.lower(), value)
        at = end
    return entries
