"""The dialect of @logux/core 0.12: protocol 7, with ids that are strings, batches, and `ready`."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from peers.codec.logux_5 import TimedDialect
from peers.events.created import MAX_MS, Created, check_created

DIGITS = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
"""The digits to base 64, in the order of their character codes, so that numbers of one length sort as text."""

_NODE_WITH_COUNTER = re.compile(r"(.*)!([1-9])([-0-9A-Z_a-z]+)")
_read_string = msgspec.json.Decoder(str).decode


class Protocol7(TimedDialect):
    """An id on the wire is `TIME NODE`, or `TIME` if the sender made the event.

    Protocol 7 has no counter. The id of an event with one is `TIME NODE!LN`: N is the counter to base 64 and L the number of
    its digits. It sorts after the same ms without a counter, and is read back as the counter. A node whose name looks like
    that gets `!1-`, the counter 0.
    """

    protocol = 7
    batch = 100
    has_ready = True
    times_sync = False

    def decode_id(self, text: bytes | msgspec.Raw) -> Any:
        return _read_string(text)

    def write_id(self, created: Created) -> Any:
        ms, node_id, n = created
        return to_digits(ms) if not n and node_id == self.node_id else self.log_id(created)

    def log_id(self, created: Created) -> str:
        ms, node_id, n = created
        if n or _split(node_id) != (node_id, 0):
            count = to_digits(n)
            return f"{to_digits(ms)} {node_id}!{len(count)}{count}"
        return f"{to_digits(ms)} {node_id}"

    def read_log_id(self, log_id: Any) -> Created:
        if not isinstance(log_id, str) or " " not in log_id:
            raise ValueError("an id in a log has a node id")
        created = self.read_id(log_id)
        check_created(created)
        return created

    def read_id(self, wire_id: Any) -> Created:
        time, space, node_id = wire_id.partition(" ")
        name, n = _split(node_id) if space else (self.other_node_id or "", 0)
        return from_digits(time), name, n


def to_digits(number: int) -> str:
    """A whole number to base 64, without leading zeros."""
    text = ""
    while True:
        number, digit = divmod(number, len(DIGITS))
        text = DIGITS[digit] + text
        if not number:
            return text


def from_digits(text: str) -> int:
    """The number of `text`. Raises ValueError unless `to_digits` would write it so."""
    number = 0
    for letter in text[:10]:
        digit = DIGITS.find(letter)
        if digit < 0:
            raise ValueError(f"{text!r} is no time: {letter!r} is no digit to base 64")
        number = number * len(DIGITS) + digit
    if number > MAX_MS or to_digits(number) != text:
        raise ValueError(f"{text!r} is no time")
    return number


def _split(node_id: str) -> tuple[str, int]:
    counted = _NODE_WITH_COUNTER.fullmatch(node_id)
    if counted is None:
        return node_id, 0
    name, length, digits = counted.groups()
    try:
        n = from_digits(digits)
    except ValueError:
        return node_id, 0
    is_plain = int(length) != len(digits) or (not n and _split(name) == (name, 0))
    return (node_id, 0) if is_plain else (name, n)
