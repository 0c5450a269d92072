"""Layers: the state of a view as memory and the file have it together, for folds and for readers in any thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from mesh.forking import work_lock
from mesh.views.state import Changes, text_bytes
from mesh.views.store import Olds, ViewStore, changed_digest
from mesh.views.values import Compact, compacted, is_other, jsons_of, value_of

CACHED_KEYS = 65_536
CACHED_BYTES = 8 * 1024 * 1024
FLUSH_KEYS = 20_000
FLUSH_BYTES = 8 * 1024 * 1024
"""Changes that wait for the disk, at most; as many may be on their way to it."""
DIGEST_KEYS = 200
"""A digest costs two hashes for each key that waits for a flush."""
PAGE_KEYS = 1_000
"""Keys that one look at the file reads."""
LAST_CHARACTER = 0x10FFFF
_ABSENT: Any = object()
SURROGATES = range(0xD800, 0xE000)


@dataclass(slots=True)
class Layer:
    """Keys that changed, with their values now, and before in the layer below."""

    news: dict[str, Compact] = field(default_factory=dict)
    before: Olds = field(default_factory=dict)
    size: int = 0
    """Bytes of values that are JSON text, of all that were set."""


class Layers:
    """From above: what a rewind folds again, which no reader sees before it is whole; what changed since the last flush; what
    is being flushed; what was read before; the file.

    Folds call the methods on the loop; readers may be in any thread, and see whole folds only.
    """

    def __init__(self, store: ViewStore, view: int, *, keys: int, size: int, digest: str) -> None:
        self.keys = keys
        """As readers see it."""
        self.bytes = size
        """Of keys and values in the file."""
        self.shadow: dict[str, Compact] | None = None
        """While a rewind is folded again."""
        self._store = store
        self._view = view
        self._is_blank = keys == 0
        """Whether the file has nothing of this state."""
        self._digest = digest
        """Of the file."""
        self._top = Layer()
        self._flushing = Layer()
        self._cache: dict[str, Compact] = {}
        self._cache_bytes = 0
        self.lock = work_lock(is_inner=True)
        """Held while readers must not see what is half done."""

    # For folds

    def read_for_fold(self, key: str) -> Compact:
        """The value of a key for the next fold. The caller holds `lock`."""
        shadow = self.shadow
        if shadow is not None and key in shadow:
            return shadow[key]
        return self._read(key)

    def all_keys(self) -> Iterator[str]:
        """All keys, in order, for the next fold."""
        shadow = self.shadow or {}
        news = sorted(key for key, compact in shadow.items() if compact is not None)
        at = 0
        for key, _ in self._pairs("", None):
            while at < len(news) and news[at] < key:
                yield news[at]
                at += 1
            if key not in shadow:
                yield key
        yield from news[at:]

    @property
    def news(self) -> dict[str, Compact]:
        """Where the next folds put what they change, before `commit`."""
        return self._top.news if self.shadow is None else self.shadow

    @property
    def before(self) -> Olds:
        """Where they put the values of what is not in `news` yet."""
        return self._top.before if self.shadow is None else {}

    def commit(self, changes: Changes) -> None:
        """Folds are done: readers see all of them, or nothing, as in a rewind. Who folds holds `lock` from before `news` on."""
        if self.shadow is None:
            self._top.size += changes.size
            self.keys += changes.more

    def publish(self) -> list[str]:
        """What was folded again is whole: readers see it. The keys that have other values than before.

        Raises StoreError; then nothing has changed.
        """
        shadow, changes, top = self.shadow or {}, Changes(), self._top
        with self.lock:
            for key, new in shadow.items():
                old = self._read(key)
                if is_other(old, new):
                    changes.add(key, old, new)
            for key, old in zip(changes.keys, changes.olds, strict=True):
                top.before.setdefault(key, old)
            top.news.update({key: shadow[key] for key in changes.keys})
            self.shadow = None
            self.commit(changes)
        return changes.keys

    @property
    def is_long(self) -> bool:
        """Whether so much waits for a flush that no more may come."""
        return len(self._top.news) >= FLUSH_KEYS or self._top.size >= FLUSH_BYTES

    def begin_flush(self) -> Layer:
        """What is to be written now. `end_flush` must follow before the next one."""
        with self.lock:
            self._flushing, self._top = self._top, Layer()
            return self._flushing

    def end_flush(self, digest: str, size: int) -> None:
        """It is in the file, which has this digest and so many bytes now."""
        with self.lock:
            self._remember(self._flushing.news)
            self._is_blank = self._is_blank and not self._flushing.news
            self._flushing = Layer()
            self._digest, self.bytes = digest, size

    # For readers

    def read(self, key: str) -> Compact:
        """The value of a key."""
        for layer in (self._top, self._flushing):  # what leaves one of them is in the one below before
            compact: Any = layer.news.get(key, _ABSENT)
            if compact is not _ABSENT:
                found: Compact = compact
                return found
        with self.lock:
            return self._read(key)

    def page(self, prefix: str, after: str | None, limit: int | None) -> list[tuple[str, Any]]:
        """Up to `limit` keys, or all, that begin with `prefix` and come after one, in order, with their values."""
        first = prefix if after is None else max(prefix, _next(after))
        found: list[tuple[str, Any]] = []
        with self.lock:
            for key, compact in self._pairs(first, _after_all(prefix)):
                if limit is not None and len(found) >= limit:
                    break
                found.append((key, value_of(compact)))
        return found

    def changes_to(self, other: Layers) -> Iterator[list[str]]:
        """The keys that have another value in `other`, in order, by pages; neither may change meanwhile."""
        first: str | None = ""
        while first is not None:
            one, two = self._some(first), other._some(first)
            last = min((max(page) for page in (one, two) if len(page) == PAGE_KEYS), default=None)
            keys = [key for key in one.keys() | two.keys() if last is None or key <= last]
            yield sorted(key for key in keys if is_other(one.get(key), two.get(key)))
            first = None if last is None else _next(last)

    def digest(self) -> str:
        """Of all that readers see, in 64 hexadecimal digits."""
        with self.lock:
            digest = self._digest
            for layer in (self._flushing, self._top):
                digest = changed_digest(digest, jsons_of(layer.before), jsons_of(layer.news))
            return digest.zfill(64)

    @property
    def cheap_digest(self) -> str | None:
        """The digest; None while more keys wait for a flush than the loop may look at for a status."""
        return self.digest() if len(self._top.news) + len(self._flushing.news) <= DIGEST_KEYS else None

    # Parts

    def _some(self, first: str) -> dict[str, Compact]:
        """PAGE_KEYS keys from one on, or all that there are."""
        with self.lock:
            pairs = islice(self._pairs(first, None), PAGE_KEYS)
            return {key: compacted(compact) if type(compact) is bytes else compact for key, compact in pairs}

    def _read(self, key: str) -> Compact:
        found: Any = self._top.news.get(key, _ABSENT)
        if found is _ABSENT:
            found = self._flushing.news.get(key, _ABSENT)
        if found is _ABSENT:
            found = self._cache.get(key, _ABSENT)
        if found is not _ABSENT:
            return cast(Compact, found)
        if self._is_blank:
            return None
        compact = compacted(self._store.read(self._view, key))
        self._remember({key: compact})
        return compact

    def _remember(self, news: Mapping[str, Compact]) -> None:
        cache = self._cache
        if (
            not self._cache_bytes and not text_bytes(news.values()) and len(cache) + len(news) <= CACHED_KEYS
        ):  # nearly always
            cache.update(news)
            return
        for key, compact in news.items():
            before = cache.pop(key, None)
            cache[key] = compact
            self._cache_bytes += _size(compact) - _size(before)
        while len(cache) > CACHED_KEYS or self._cache_bytes > CACHED_BYTES:
            self._cache_bytes -= _size(cache.pop(next(iter(cache))))

    def _pairs(self, first: str, before: str | None) -> Iterator[tuple[str, Compact]]:
        """Keys from one on and before another, in order, with their values, of which some may be JSON text that are plain."""
        while True:
            page = self._store.page(self._view, first, before, PAGE_KEYS)
            is_last = len(page) < PAGE_KEYS
            end = before if is_last else _next(page[-1][0])
            found: dict[str, Compact] = dict(page)
            for layer in (self._flushing, self._top):
                for key, compact in layer.news.items():
                    if key >= first and (end is None or key < end):
                        if compact is None:
                            found.pop(key, None)
                        else:
                            found[key] = compact
            yield from sorted(found.items())
            if is_last or end is None:
                return
            first = end


def _size(compact: Compact) -> int:
    return len(compact) if type(compact) is bytes else 0


def _next(key: str) -> str:
    """The first text after a key, which has no zero byte."""
    return key + "\0"


def _after_all(prefix: str) -> str | None:
    """The first text after all that begin with `prefix`; None if there is none."""
    while prefix and ord(prefix[-1]) == LAST_CHARACTER:
        prefix = prefix[:-1]
    if not prefix:
        return None
    following = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(SURROGATES.stop if following in SURROGATES else following)
