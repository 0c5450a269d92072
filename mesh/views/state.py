"""ViewState: what `apply` gets, a map whose changes are noticed also inside of its values."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from itertools import filterfalse
from typing import Any

from mesh.views.values import PLAIN_INTEGERS, Compact, check_key, compact_value, value_of

_GONE: Any = object()
"""In place of the value of a key that has none."""
_ABSENT: Any = object()

KNOWN_KEYS = 65_536
"""Kept from call to call, and those of the calls that follow each other at once."""

Apply = Callable[["ViewState", dict[str, Any], dict[str, Any]], Awaitable[None] | None]
"""`apply(state, event, meta)`: changes the state by one event."""


class Changes:
    """What calls of `apply` changed, one after the other: in columns, since objects for each cost more than all else."""

    __slots__ = ("counts", "keys", "news", "olds")

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.olds: list[Compact] = []
        """The value of each key before, and after."""
        self.news: list[Compact] = []
        self.counts: list[int] = []
        """How many keys each call changed."""

    def clear(self) -> None:
        """Nothing was changed."""
        for column in self.keys, self.olds, self.news, self.counts:
            column.clear()

    def add_olds(self, olds: dict[str, Compact]) -> list[str]:
        """Add the values from before all calls to `olds`, for keys that are not in it: these keys."""
        first = dict(zip(reversed(self.keys), reversed(self.olds), strict=True))
        missing = list(filterfalse(olds.__contains__, first))
        olds.update(zip(missing, map(first.__getitem__, missing), strict=True))
        return missing


class ViewState(MutableMapping[str, Any]):
    """A map of text keys to JSON values, for one call of `apply`. Keys are iterated in the order of their text.

    A value that was read is compared with what it was, so a change inside of it counts: `state["a"]["n"] += 1`. What is not
    read or set costs nothing.
    """

    __slots__ = ("_keys_after", "_known", "_live", "_read")

    def __init__(self, read: Callable[[str], Compact], keys_after: Callable[[str], Iterator[str]]) -> None:
        """`read` gives values before the first call, `keys_after` all keys after one, in order, before this one."""
        self._read = read
        self._keys_after = keys_after
        self._known: dict[str, Compact] = {}
        """Values before this call."""
        self._live: dict[str, Any] = {}
        """What was set, and what was read and may be changed inside."""

    def forget(self) -> None:
        """`read` gives other values now."""
        self._known.clear()

    def trim(self) -> None:
        """`read` gives what was changed until now: so much need not be known here."""
        if len(self._known) > KNOWN_KEYS:
            self._known.clear()

    def fold(self, apply: Apply, event: dict[str, Any], meta: dict[str, Any], changes: Changes) -> None:
        """Call `apply`, and add what is another now than before to `changes`; later calls build on it.

        Raises what `apply` raises, or TypeError or ValueError for what is no key or no value of JSON; then nothing is added,
        and `forget` has to follow once `read` gives the changes before.
        """
        live = self._live = {}
        waits = apply(self, event, meta)
        if waits is not None:
            run_at_once(waits)
        known, keys = self._known, changes.keys
        before = len(keys)
        try:
            for key, value in live.items():
                old: Any = known.get(key, _ABSENT)
                if old is _ABSENT:
                    old = self._before(key)
                new: Any = (
                    value if type(value) is int and -PLAIN_INTEGERS < value < PLAIN_INTEGERS else _kept(key, value)
                )
                if type(new) is not type(old) or new != old:
                    if old is None:
                        check_key(key)
                    keys.append(key)
                    changes.olds.append(old)
                    changes.news.append(new)
                    known[key] = new
        except BaseException:
            del keys[before:], changes.olds[before:], changes.news[before:]
            raise
        changes.counts.append(len(keys) - before)

    def get(self, key: str, default: Any = None) -> Any:
        value = self._live.get(key, _ABSENT)
        if value is _ABSENT:
            value = self._known.get(key, _ABSENT)
            if value is _ABSENT or value is None or type(value) is bytes:
                value = self._load(key)
        return default if value is _GONE else value

    def __getitem__(self, key: str) -> Any:
        value = self.get(key, _GONE)
        if value is _GONE:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.get(key, _GONE) is not _GONE

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            check_key(key)
        self._live[key] = value

    def __delitem__(self, key: str) -> None:
        self[key]
        self._live[key] = _GONE

    def __iter__(self) -> Iterator[str]:
        added = sorted(key for key, value in self._live.items() if value is not _GONE and self._before(key) is None)
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
        """The value of a key that was neither set nor read, or _GONE."""
        compact = self._before(key)
        if compact is None:
            return _GONE
        value = value_of(compact)
        if type(compact) is bytes:
            self._live[key] = value
        return value

    def _before(self, key: str) -> Compact:
        """The value of a key before this call."""
        if key in self._known:
            return self._known[key]
        if not isinstance(key, str):
            check_key(key)
        compact = self._known[key] = self._read(key)
        return compact


def _kept(key: str, value: Any) -> Compact:
    return None if value is _GONE else compact_value(key, value)


def run_at_once(waits: Any) -> None:
    """Run a coroutine that does not wait. Raises RuntimeError if it does, or TypeError for what is no coroutine."""
    if not inspect.iscoroutine(waits):
        raise TypeError(f"`apply` returned {waits!r}: it changes the state that it gets, and returns nothing")
    try:
        waits.send(None)
    except StopIteration:
        return
    waits.close()
    raise RuntimeError(
        "`apply` waits for something: it must do all at once, from the state, the event and its meta alone"
    )
