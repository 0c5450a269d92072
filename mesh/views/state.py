"""ViewState: what `apply` gets, a map whose changes are noticed also inside of its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from mesh.views.values import Text, check_key, decode, encode_value

_GONE: Any = object()
"""In place of the value of a key that has none."""

Change = tuple[str, Text, Text]
"""A key, with its text before and after."""
Changes = tuple[Change, ...]
"""Tuples of texts, which the garbage collector need not look at again."""


class ViewState(MutableMapping[str, Any]):
    """A map of text keys to JSON values, for one call of `apply`. Keys are iterated in the order of their text.

    A value that was read is compared with what it was, so a change inside of it counts: `state["a"]["n"] += 1`. What is not
    read or set costs nothing.
    """

    __slots__ = ("_keys_after", "_live", "_olds", "_read")

    def __init__(self, read: Callable[[str], Text], keys_after: Callable[[str], Iterator[str]]) -> None:
        """`read` gives the text of a key before the call, `keys_after` all keys after one, in order."""
        self._read = read
        self._keys_after = keys_after
        self._live: dict[str, Any] = {}
        self._olds: dict[str, Text] = {}

    def begin(self) -> None:
        """What was read or set does not count from now on."""
        self._live = {}
        self._olds = {}

    def changes(self) -> Changes:
        """What is another now than before. Raises TypeError or ValueError for what is no key or no value of JSON."""
        found: list[Change] = []
        olds = self._olds
        for key, value in self._live.items():
            old = olds[key]
            new = None if value is _GONE else encode_value(key, value)
            if new != old:
                if old is None:
                    check_key(key)
                found.append((key, old, new))
        return tuple(found)

    def get(self, key: str, default: Any = None) -> Any:
        live = self._live
        value = live[key] if key in live else self._load(key)
        return default if value is _GONE else value

    def __getitem__(self, key: str) -> Any:
        live = self._live
        value = live[key] if key in live else self._load(key)
        if value is _GONE:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.get(key, _GONE) is not _GONE

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self._live:
            self._load(key)
        self._live[key] = value

    def __delitem__(self, key: str) -> None:
        self[key]
        self._live[key] = _GONE

    def __iter__(self) -> Iterator[str]:
        added = sorted(key for key, value in self._live.items() if value is not _GONE and self._olds[key] is None)
        at = 0
        for key in self._keys_after(""):
            while at < len(added) and added[at] < key:
                yield added[at]
                at += 1
            if self._live.get(key) is not _GONE:
                yield key
        yield from added[at:]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _load(self, key: str) -> Any:
        """The value of a key that was not read yet, or _GONE."""
        if not isinstance(key, str):
            check_key(key)
        text = self._olds[key] = self._read(key)
        value = self._live[key] = _GONE if text is None else decode(text)
        return value
