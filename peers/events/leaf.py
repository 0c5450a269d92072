"""The leaf of an event: the hash that stands for its content, whoever sends it."""

from __future__ import annotations

from hashlib import sha256
from struct import Struct

from peers.events.created import Created

HASH_BYTES = 32
_LABEL = b"peermesh leaf\0"
_NUMBERS = Struct(">QQQII")
"""ms, n, time, bytes of the node id, bytes of the meta."""


def leaf_of(created: Created, time: int, extra: bytes, body: bytes) -> bytes:
    """SHA-256 over `created`, `time` in ms, the application's meta and the event, both as the JSON text first accepted.

    Hashed are: a label; ms, n and time in 8 bytes each; the lengths of the node id and of the meta in 4; then the node id as
    UTF-8, the meta and the event. It says nothing of who signed the event, or where it stands.
    """
    ms, node_id, n = created
    node = node_id.encode()
    return sha256(b"".join((_LABEL, _NUMBERS.pack(ms, n, time, len(node), len(extra)), node, extra, body))).digest()
