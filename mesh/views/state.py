"""ViewState: what `apply` gets, a map whose changes are noticed also inside of its values."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from operator import eq
from typing import Any, NamedTuple

import msgspec

from mesh.views.values import PLAIN_INTEGERS, Compact, check_key, compact_value, is_other, is_plain, value_of
from peers.events.columns import EventTable
from peers.events.created import Created
from peers.events.reasons import with_kept

_GONE: Any = object()
"""In place of the value of a key that has none."""

Apply = Callable[["ViewState", dict[str, Any], dict[str, Any]], Awaitable[None] | None]
"""`apply(state, event, meta)`: changes the state by one event."""


class Changes(NamedTuple):
    """What calls of `apply` changed together: in columns."""

    keys: list[str]
    """Those that have other values now, each once."""
    olds: list[Compact]
    """Their values before."""
    more: int
    """Keys that have a value now and had none before, without those of which it is the other way round."""
    size: int
    """Bytes of the values now that are JSON text."""

    @classmethod
    def of(cls, olds: list[Compact], news: Mapping[str, Compact]) -> Changes:
        """Of all keys of `news`, which have these values now."""
        values = news.values()
        return cls(list(news), olds, olds.count(None) - [*values].count(None), text_bytes(values))


def text_bytes(values: Iterable[Compact]) -> int:
    """The bytes of values that are kept as JSON text."""
    return sum([len(compact) for compact in values if type(compact) is bytes])


class ViewState(MutableMapping[str, Any]):
    """A map of text keys to JSON values, for one call of `apply`. Keys are iterated in the order of their text.

    A value that was read is compared with what it was, so a change inside of it counts: `state["a"]["n"] += 1`. What is not
    read or set costs nothing. A tuple that was set is read as a list by later calls.
    """

    __slots__ = ("_fresh", "_keys_after", "_live", "_news", "_read", "_seen")

    def __init__(self, read: Callable[[str], Compact], keys_after: Callable[[str], Iterator[str]]) -> None:
        """`read` gives values as of before `fold`, `keys_after` all keys after one, in order."""
        self._read = read
        self._keys_after = keys_after
        self._news: Mapping[str, Compact] = {}
        """Some of the values that `read` gives."""
        self._fresh: dict[str, Any] = {}
        """What was set by calls of one `fold`; _GONE for what was deleted."""
        self._seen: dict[str, Compact] = {}
        """What `read` gave meanwhile."""
        self._live: dict[str, Any] = {}
        """In one call: what was set and is not plain, and what was read and may be changed inside."""

    def fold(
        self,
        table: EventTable,
        events: Iterable[dict[str, Any]],
        apply: Apply,
        news: dict[str, Compact],
        before: dict[str, Compact],
    ) -> Changes:
        """Call `apply` for each row of a table with its event: what is another then than before is put into `news`, for `read`,
        and into `before` what `read` gave for what was not in `news`.

        Raises what `apply` raises, and TypeError or ValueError for what is no key or no value of JSON; then nothing is changed.
        """
        live = self._live
        self._news = news
        for found in live, self._fresh, self._seen:
            found.clear()
        columns = table.createds, table.times, table.origins, table.extras, table.vouched
        for event, created, time, origin, extra, vouched in zip(events, *columns, strict=True):
            if extra or vouched:
                meta = meta_of(created, time, origin, extra, vouched)
            else:  # nearly always
                meta = {"created": created, "time": time, "origin": origin}
            waits = apply(self, event, meta)
            if waits is not None:
                _run(waits)
            if live:
                self._settle()
        return self._finish(news, before)

    def get(self, key: str, default: Any = None) -> Any:
        live = self._live
        if live and key in live:
            value = live[key]
        else:
            value = self._fresh.get(key)
            if value is None:
                value = self._news.get(key)
            if value is None or type(value) is bytes:
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
        is_number = type(value) is int and -PLAIN_INTEGERS < value < PLAIN_INTEGERS
        if not self._live and (is_number or is_plain(value)):
            self._fresh[key] = value
        else:
            self._live[key] = value

    def __delitem__(self, key: str) -> None:
        self[key]
        self._live[key] = _GONE

    def __iter__(self) -> Iterator[str]:
        top = {**self._fresh, **self._live}
        added = sorted(key for key, value in top.items() if value is not _GONE and self._before(key) is None)
        at = 0
        for key in self._keys_after(""):
            while at < len(added) and added[at] < key:
                yield added[at]
                at += 1
            if self._live.get(key, self._fresh.get(key)) is not _GONE:
                yield key
        yield from added[at:]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _load(self, key: str) -> Any:
        """The value of a key that was neither set nor read in this call, or _GONE."""
        compact = self._now(key)
        if compact is None:
            return _GONE
        value = value_of(compact)
        if type(compact) is bytes:
            self._live[key] = value
        return value

    def _now(self, key: str) -> Compact:
        """The value of a key before this call."""
        compact = self._fresh.get(key)
        return None if compact is _GONE else self._before(key) if compact is None else compact

    def _before(self, key: str) -> Compact:
        """The value of a key before all calls."""
        if key not in self._seen:
            if not isinstance(key, str):
                check_key(key)
            self._seen[key] = self._read(key)
        return self._seen[key]

    def _settle(self) -> None:
        """A call has ended."""
        for key, value in self._live.items():
            new = None if value is _GONE else compact_value(key, value)
            if is_other(self._now(key), new):
                self._fresh[key] = _GONE if new is None else new
        self._live.clear()

    def _finish(self, news: dict[str, Compact], before: dict[str, Compact]) -> Changes:
        """All calls have ended."""
        fresh = self._fresh
        if _GONE in fresh.values():
            fresh = {key: None if value is _GONE else value for key, value in fresh.items()}
        olds = list(map(news.get, fresh))
        firsts: dict[str, Compact] = {}
        if None in olds:
            for at, (key, old) in enumerate(zip(fresh, olds, strict=True)):
                if old is None and key not in news:
                    olds[at] = firsts[key] = self._before(key)
                if olds[at] is None:
                    check_key(key)
        if any(map(eq, olds, fresh.values())):
            others = [(key, old) for key, old in zip(fresh, olds, strict=True) if is_other(old, fresh[key])]
            fresh, olds = {key: fresh[key] for key, _ in others}, [old for _, old in others]
            firsts = {key: old for key, old in firsts.items() if key in fresh}
        before.update(firsts)
        news.update(fresh)
        return Changes.of(olds, fresh)


def meta_of(created: Created, time: int, origin: str | None, extra: bytes, vouched: str) -> dict[str, Any]:
    """The meta that `apply` gets: only what is the same on every node, so neither `added`, `dot` nor changes of this log."""
    meta: dict[str, Any] = {"created": created, "time": time, "origin": origin}
    if vouched:
        meta["vouched"] = vouched
    return with_kept(msgspec.json.decode(extra)) | meta if extra else meta


def _run(waits: Any) -> None:
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
