"""Codes that people copy and type: symbols of Crockford's base32 in groups of five, with a check that needs no network.

The symbols leave out I, L, O and U. Small letters are read like capitals, O as 0, I and L as 1; hyphens and spaces are left
out. The last bits are a hash of the others, so a code with one mistyped symbol is found to be wrong, and the group that has
the error is named, by trying all symbols in its places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from mesh.errors import MeshError

GROUP_SYMBOLS = 5
MAX_CODE_CHARACTERS = 200
"""Of what is read as a code."""

_SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BITS = 5
_VALUES = {symbol: value for value, symbol in enumerate(_SYMBOLS)} | {"O": 0, "I": 1, "L": 1}
_BETWEEN = re.compile(r"[\s-]+")


@dataclass(frozen=True)
class CodeForm:
    """One kind of code."""

    what: str
    """What it is called in sentences, with its article."""
    symbols: int
    check_bits: int

    @property
    def payload_bits(self) -> int:
        """Bits of what it says."""
        return self.symbols * _BITS - self.check_bits

    def write(self, payload: int) -> str:
        """The code that says this, in groups with hyphens between them."""
        number = payload << self.check_bits | self._check(payload)
        shifts = range((self.symbols - 1) * _BITS, -1, -_BITS)
        text = "".join([_SYMBOLS[number >> shift & 31] for shift in shifts])
        return "-".join([text[at : at + GROUP_SYMBOLS] for at in range(0, self.symbols, GROUP_SYMBOLS)])

    def read(self, typed: str) -> int:
        """What a code says. Raises MeshError, with a sentence that names the error as far as it can be known."""
        symbols = _BETWEEN.sub("", typed[: MAX_CODE_CHARACTERS + 1]).upper()
        if len(symbols) != self.symbols:
            raise MeshError(f"{self.what} has {self.symbols} symbols, and this one {len(symbols)}: compare them")
        for at, symbol in enumerate(symbols):
            if symbol not in _VALUES:
                raise MeshError(f"{symbol!a} in group {_group(at)} is not a symbol of codes: compare that group")
        values = [_VALUES[symbol] for symbol in symbols]
        if not self._fits(values):
            groups = sorted({_group(at) for at in self._suspects(values)})
            where = f"group {groups[0]}" if len(groups) == 1 else "it, group by group,"
            raise MeshError(f"{self.what} was mistyped: compare {where} with the one that was shown")
        return _number(values) >> self.check_bits

    def _fits(self, values: list[int]) -> bool:
        number = _number(values)
        return number & (1 << self.check_bits) - 1 == self._check(number >> self.check_bits)

    def _check(self, payload: int) -> int:
        text = f"peermesh code {self.symbols} {payload:x}".encode()
        return int.from_bytes(sha256(text).digest()[:4], "big") & (1 << self.check_bits) - 1

    def _suspects(self, values: list[int]) -> Iterator[int]:
        """The places of symbols that give a good code if one is another, or it and the one after it change places."""
        for at, value in enumerate(values):
            others = [[*values[:at], other, *values[at + 1 :]] for other in range(len(_SYMBOLS)) if other != value]
            others.append([*values[:at], *reversed(values[at : at + 2]), *values[at + 2 :]])
            if any(self._fits(other) for other in others):
                yield at


def _group(at: int) -> int:
    return at // GROUP_SYMBOLS + 1


def _number(values: list[int]) -> int:
    number = 0
    for value in values:
        number = number << _BITS | value
    return number
