"""Summary: how one node does, in a few signed bytes that any node of its mesh may pass on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from peers.events.created import MAX_MS, NODE_MARK
from peers.events.epoch import KEY_BYTES, MARK_CHARACTERS, MIN_MARK_CHARACTERS, key_mark
from peers.events.signature import SIGNATURE_BYTES, Signer, is_text_signed

MAX_SUMMARY_BYTES = 300
"""Key, signature and all: with usual names there is room for 30 links."""
SHORT_KEY_BYTES = 3
"""Of the public key of the other end of a link."""
MAX_VERSION = 24
"""Characters of a version; of a longer one the rest is left out."""

_LABEL = b"peermesh summary\0"
_START = KEY_BYTES + SIGNATURE_BYTES
_LINK_ITEM = SHORT_KEY_BYTES + 1
_MAX_NAME = 64
_MAX_MARK = 52
_Number = Annotated[int, Meta(ge=0, le=MAX_MS)]
_Apart = Annotated[int, Meta(ge=-MAX_MS, le=MAX_MS)]


class Measures(NamedTuple):
    """What a node measures of itself."""

    version: str = ""
    last_event_ms: int = 0
    """The time of the newest event of its log; 0 without events."""
    last_added: int = 0
    queue: int = 0
    """Events of its own that wait for its disk."""
    disk_percent: int = 0
    """Of its disk, in use."""
    clock_offset_ms: int = 0
    """By how much its clock is ahead of the median of those of its neighbours."""
    uptime_seconds: int = 0


class _SignedItems(msgspec.Struct, frozen=True, array_like=True):
    """What is signed, in MessagePack. Later releases may add items."""

    made_ms: _Number
    name: Annotated[str, Meta(max_length=_MAX_NAME)]
    mark: Annotated[int, Meta(ge=MIN_MARK_CHARACTERS, le=_MAX_MARK)]
    """How many characters of the hash of its key its node id has."""
    version: Annotated[str, Meta(max_length=MAX_VERSION)]
    last_event_ms: _Number
    last_added: _Number
    queue: _Number
    disk_percent: _Number
    clock_offset_ms: _Apart
    uptime_seconds: _Number
    link_count: _Number
    links: bytes
    """For each link a short key, and its lag in one byte."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_SignedItems).decode


class Summary(NamedTuple):
    """One that was decoded. Its signature is not looked at before `is_genuine`."""

    key: bytes
    """The public key of the node that made it."""
    node_id: str
    """By the key, so no other node has it."""
    made_ms: int
    """When, by the clock of that node, but always later than the one before."""
    measures: Measures
    packed_links: bytes
    link_count: int
    data: bytes
    """The bytes of it."""

    @property
    def links(self) -> tuple[tuple[bytes, int], ...]:
        """For each link the short key of the other end, and its lag, rounded down to 4 binary digits; of many those with most.

        They are unpacked at each call: nearly all summaries are replaced before anybody asks.
        """
        packed = self.packed_links
        starts = range(0, len(packed), _LINK_ITEM)
        return tuple([(packed[at : at + SHORT_KEY_BYTES], _lengthened(packed[at + SHORT_KEY_BYTES])) for at in starts])

    @property
    def is_genuine(self) -> bool:
        """Whether the owner of the key has signed it."""
        return is_text_signed(self.key, _LABEL + self.data[_START:], self.data[KEY_BYTES:_START])


def make_summary(
    signer: Signer, node_id: str, made_ms: int, measures: Measures, links: Iterable[tuple[bytes, int]]
) -> Summary:
    """The summary of a node. `links` has for each link the public key of the other end, and the lag.

    Of the links those with the greatest lags are in it, as far as there is room.
    """
    name, _, mark = node_id.rpartition(NODE_MARK)
    lagging = sorted([(-lag, key[:SHORT_KEY_BYTES]) for key, lag in links])
    packed = b"".join([key + bytes([_shortened(-lag)]) for lag, key in lagging])
    version = measures.version[:MAX_VERSION]
    said = _SignedItems(made_ms, name, len(mark) or MARK_CHARACTERS, version, *measures[1:], len(lagging), b"")
    room = MAX_SUMMARY_BYTES - _START - len(_encode(said)) - 1  # a length of more than 255 bytes needs one byte more
    text = _encode(msgspec.structs.replace(said, links=packed[: max(0, room) // _LINK_ITEM * _LINK_ITEM]))
    return read_summary(signer.public + signer.sign_text(_LABEL + text) + text)


def read_summary(data: bytes) -> Summary:
    """The summary in these bytes. Raises ValueError for what is none, and for more than MAX_SUMMARY_BYTES."""
    if not _START < len(data) <= MAX_SUMMARY_BYTES:
        raise ValueError(f"a summary of {len(data)} bytes: it has {_START + 1} to {MAX_SUMMARY_BYTES}")
    said, key = _decode(data[_START:]), data[:KEY_BYTES]
    if len(said.links) % _LINK_ITEM or len(said.links) // _LINK_ITEM > said.link_count:
        raise ValueError("a summary whose links are cut off")
    measures = Measures(
        said.version,
        said.last_event_ms,
        said.last_added,
        said.queue,
        said.disk_percent,
        said.clock_offset_ms,
        said.uptime_seconds,
    )
    node_id = f"{said.name}{NODE_MARK}{key_mark(key, said.mark)}"
    return Summary(key, node_id, said.made_ms, measures, said.links, said.link_count, data)


def _shortened(lag: int) -> int:
    """A lag in one byte: its 4 highest binary digits, of which the first is 1, and how many follow."""
    cut = max(0, lag.bit_length() - 4)
    return min(255, (cut << 3) + (lag >> cut))


def _lengthened(code: int) -> int:
    return code if code < 16 else ((code & 7) + 8) << ((code >> 3) - 1)
