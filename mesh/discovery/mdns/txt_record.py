"""The TXT record of an announcement: five short entries, written by us and read without trust."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from mesh.discovery.port import Announcement

TXT_VERSION = "1"
"""Layout of these entries; another version is not for us."""
TXT_LIMIT = 400
"""Bytes of a whole record: what is longer was not written by a node."""
ENTRY_LIMIT = 255
"""Bytes of one entry: its length is one byte on the wire (RFC 6763, 6.1)."""

_ID = re.compile(r"[A-Za-z0-9_.~-]{1,100}")
_TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]{1,64}")
_COUNTER = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class TextRecord:
    """What a node says of itself: who it is, of which mesh, and which run of it this is."""

    node_id: str
    mesh: str
    instance: str
    counter: int = 0
    """Grows at each announcement of one run, so that no record ever returns to an earlier value."""


def text_of(announcement: Announcement, counter: int) -> TextRecord:
    """The record of an announcement of ours."""
    return TextRecord(announcement.node_id, announcement.mesh, announcement.instance, counter)


def digest(text: str) -> str:
    """A label of 20 letters and digits that tells strangers nothing."""
    return sha256(text.encode()).hexdigest()[:20]


def encode(record: TextRecord) -> bytes:
    """The record as the bytes of a TXT record (RFC 6763, 6). Raises ValueError for a part that nobody would accept."""
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
    """The record of a node, or None for anything else: cut off, over-long, another version, a part missing or odd.

    Unknown entries are skipped; of a key that comes twice the first counts (RFC 6763, 6.4).
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
    """Keys, lower-case, and their values; None when the bytes are no TXT record."""
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
