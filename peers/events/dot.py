"""The names that entries have: an epoch, and a number in it."""

from __future__ import annotations

Epoch = str
Dot = tuple[Epoch, int]
"""(epoch, seq): an entry of the node whose epoch it is."""

NO_EPOCHS: frozenset[Epoch] = frozenset()
"""What a link begins with: it has several sets, and each empty one of its own would take 216 bytes."""

MAX_SEQ = 2**53 - 1
MAX_FOREIGN_SEQ = 2**52
"""The largest seq that is accepted from others: above what they claim of our epochs there are numbers left for us."""
