"""ViewState: what `apply` gets, a map whose changes are noticed also inside of its values."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

import msgspec

from mesh.views.values import PLAIN_INTEGERS, Compact, check_key, compact_value, value_of
from peers.events.columns import EventTable
from peers.events.created import Created
from peers.events.reasons import with_kept
from peers.stores.store import StoreError

_GONE: Any = object()
"""In place of the value of a key that has none."""
_ABSENT: Any = object()

OLD_BYTES = 24
"""What an old value takes beside itself and its key, roughly."""

Apply = Callable[["ViewState", dict[str, Any], dict[str, Any]], Awaitable[None] | None]
"""`apply(state, event, meta)`: changes the state by one event."""


class Changes:
    """What calls of `apply` changed, one after the other: in columns, since objects for each cost more than all else."""

    __slots__ = ("counts", "keys", "more", "olds", "size")

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.olds: list[Compact] = []
        """The value of each key before."""
        self.counts: list[int] = []
        """How many keys each call changed."""
        self.more = 0
        """Keys that have a value now and had none before, without those of which it is the other way round."""
        self.size = 0
        """Bytes of values that are JSON text, of all that were set."""

    def add(self, key: str, old: Compact, new: Compact) -> None:
        """One more."""
        self.keys.append(key)
        self.olds.append(old)
        self.more += (old is None) - (new is None)
        self.size += len(new) if type(new) is bytes else 0

    def add_olds(self, other: Changes) -> None:
        """And the keys of these, with their values before: all that `take_olds` looks at."""
        self.keys += other.keys
        self.olds += other.olds

    def take_olds(self, olds: dict[str, Compact]) -> int:
        """Put the values from before all calls into `olds`, for keys that are not in it, and forget them: their size."""
        found = dict(zip(reversed(self.keys), reversed(self.olds), strict=True))
        self.keys.clear()
        self.olds.clear()
        if olds:
            for key in found.keys() & olds.keys():
                del found[key]
        olds.update(found)
        return OLD_BYTES * len(found) + sum(map(len, found)) + text_bytes(found.values())


def text_bytes(values: Iterable[Compact]) -> int:
    """The bytes of values that are kept as JSON text."""
    return sum([len(compact) for compact in values if type(compact) is bytes])


class ViewState(MutableMapping[str, Any]):
    """A map of text keys to JSON values, for one call of `apply`. Keys are iterated in the order of their text.

    A value that was read is compared with what it was, so a change inside of it counts: `state["a"]["n"] += 1`. What is not
    read or set costs nothing. A tuple that was set is read as a list by later calls.
    """

    __slots__ = ("_keys", "_live", "_news", "_read", "_seen", "last_key", "unread")

    def __init__(self, read: Callable[[str], Compact], keys: Callable[[], Iterator[str]]) -> None:
        """`read` gives values as of before a call, `keys` all keys, in order."""
        self._read = read
        self._keys = keys
        self._news: dict[str, Compact] = {}
        """Values that changed in earlier calls: some of those that `read` gives."""
        self._seen: dict[str, Compact] = {}
        """What `read` gave."""
        self._live: dict[str, Any] = {}
        """What was set, and what was read and may be changed inside."""
        self.last_key: Any = None
        """The key that the last call has read or set last, or whose value cannot be kept; None: it has come to none."""
        self.unread: StoreError | None = None
        """Why the file could not be read in the last call, whatever `apply` made of that."""

    def fold(
        self,
        table: EventTable,
        events: Iterable[dict[str, Any]],
        apply: Apply,
        news: dict[str, Compact],
        before: dict[str, Compact],
        changes: Changes,
    ) -> None:
        """Call `apply` for each row of a table with its event: what is another then than before is put into `news`, for `read`,
        and added to `changes`; into `before` what `read` gave for what was not in `news`.

        Raises StoreError with `unread`, what `apply` raises, and TypeError or ValueError for what is no key or no value of
        JSON; then of that event nothing is changed. `changes` has a count for each of those before it.
        """
        live, seen = self._live, self._seen
        self._news = news
        seen.clear()
        self.unread = None
        keys, add_old, add_count = changes.keys, changes.olds.append, changes.counts.append
        columns = table.createds, table.times, table.origins, table.extras, table.vouched
        for event, created, time, origin, extra, vouched in zip(events, *columns, strict=True):
            if extra or vouched:
                meta = meta_of(created, time, origin, extra, vouched)
            else:  # nearly always
                meta = {"created": created, "time": time, "origin": origin}
            live.clear()
            self.last_key = None
            waits = apply(self, event, meta)
            if waits is not None:
                _run(waits)
            first = len(keys)
            try:
                if (
                    self.unread is not None
                ):  # `apply` has caught it, and may have changed the state without what was there
                    raise self.unread
                for key, value in live.items():
                    old: Any = news.get(key, _ABSENT)
                    is_first = old is _ABSENT
                    if is_first:
                        old = seen[key] if key in seen else self._before(key)
                    is_number = type(value) is int and -PLAIN_INTEGERS < value < PLAIN_INTEGERS
                    new: Any = value if is_number else _kept(key, value)
                    if type(new) is type(old) and new == old:
                        continue
                    if is_first:
                        if old is None:
                            check_key(key)
                        before[key] = old
                    keys.append(key)
                    add_old(old)
                    news[key] = new
                    if old is None or not is_number:
                        changes.more += (old is None) - (new is None)
                        changes.size += len(new) if type(new) is bytes else 0
            except BaseException:
                self.last_key = key
                _take_back(changes, first, news)
                raise
            add_count(len(keys) - first)

    def get(self, key: str, default: Any = None) -> Any:
        self.last_key = key
        live = self._live
        if live and key in live:
            value = live[key]
        else:
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
        self.last_key = key
        if not isinstance(key, str):
            check_key(key)
        self._live[key] = value

    def __delitem__(self, key: str) -> None:
        self[key]
        self._live[key] = _GONE

    def __iter__(self) -> Iterator[str]:
        added = sorted(key for key, value in self._live.items() if value is not _GONE and self._before(key) is None)
        at = 0
        for key in self._all_keys():
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
        compact = self._seen[key] = self._before(key)
        if compact is None:
            return _GONE
        value = value_of(compact)
        if type(compact) is bytes:
            self._live[key] = value
        return value

    def _before(self, key: str) -> Compact:
        """The value of a key before this call."""
        if not isinstance(key, str):
            check_key(key)
        try:
            return self._read(key)
        except StoreError as error:
            self.unread = error
            raise

    def _all_keys(self) -> Iterator[str]:
        """All keys before this call."""
        try:
            yield from self._keys()
        except StoreError as error:
            self.unread = error
            raise


def _kept(key: str, value: Any) -> Compact:
    return None if value is _GONE else compact_value(key, value)


def _take_back(changes: Changes, first: int, news: dict[str, Compact]) -> None:
    """Take back the changes of one call, from the one numbered `first` on: of each key there is one at most."""
    for key, old in zip(changes.keys[first:], changes.olds[first:], strict=True):
        new = news[key]
        changes.more -= (old is None) - (new is None)
        news[key] = old
    del changes.keys[first:], changes.olds[first:]


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
