"""Version vectors on the wire: an object of ranges by epoch, never larger than its limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from peers.codec.messages import MAX_VECTOR_BYTES
from peers.events.version_vector import VersionVector

_RANGE_BYTES = 2 * 16 + 4
"""At most: two numbers below 2^53, two brackets, two commas."""
_EPOCH_BYTES = 8


def write_vector(vector: VersionVector) -> dict[str, list[tuple[int, int]]]:
    """What to send of `vector`. Beyond the limit it claims less, newest epochs first: a repeat, never a loss."""
    written: dict[str, list[tuple[int, int]]] = {}
    size = 0
    for epoch, ranges in reversed(vector.ranges.items()):
        size += len(epoch) + _EPOCH_BYTES + _RANGE_BYTES * len(ranges)
        if size > MAX_VECTOR_BYTES:
            break
        written[epoch] = list(ranges)
    return written


def read_vector(written: Mapping[str, Sequence[tuple[int, int]]]) -> VersionVector:
    """The vector of what came. Raises ValueError, with a sentence, for ranges that overlap or are out of order."""
    return VersionVector(written)
