"""FilterChain: takes entries through a user's filter and map, one after another, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Protocol, cast

from peers.events.entry import RESERVED_META, Entry, encode_extra
from peers.events.reasons import check_channels
from peers.later import Later
from peers.log.draft import Meta, make_draft

Event = dict[str, Any]
Filter = Callable[[Event, Meta], Any]
"""(event, meta) -> bool, or a coroutine or Later of one: True keeps the event, False drops it for good."""
Map = Callable[[Event, Meta], Any]
"""(event, meta) -> (event, meta), or a coroutine or Later of it: what replaces them."""


class React(Protocol):
    """Calls a reaction with the Later of a value that may be plain, a Later or a coroutine. See SyncCore.react."""

    def __call__(self, value: Any, reaction: Callable[[Later[Any]], None], /) -> None: ...


class FilterChain:
    """Groups of entries leave in the order in which they came, however long a callback takes; one callback runs at a time.

    An exception of a callback is raised where its answer is read. Nothing leaves after it: the role ends the link.
    """

    def __init__(
        self,
        react: React,
        keep: Filter | None,
        change: Map | None,
        *,
        between: Callable[[Entry], Entry | None] | None = None,
    ) -> None:
        """`between` changes each entry after the filter `keep` and before the map `change`; its None drops the entry."""
        self._react = react
        self._keep = keep
        self._change = change
        self._between = between
        self._is_open = keep is None and change is None and between is None
        """Whether all pass as they are."""
        self._waiting: deque[tuple[Sequence[Entry], Callable[[list[Entry]], None]]] = deque()
        self.is_busy = False
        """Whether a callback is still running."""
        self._is_running = False

    def sift(self, entries: Sequence[Entry], on_sifted: Callable[[list[Entry]], None]) -> None:
        """Call `on_sifted` with the entries that passed, after the groups before; at once if every callback answers at once."""
        self._waiting.append((entries, on_sifted))
        if not self.is_busy and not self._is_running:
            self._run()

    def _run(self) -> None:
        self._is_running = True
        try:
            while self._waiting and not self.is_busy:
                entries, on_sifted = self._waiting.popleft()
                if self._is_open:
                    on_sifted(list(entries))
                else:
                    self._go_on(self._steps(entries, on_sifted), None)
        finally:
            self._is_running = False

    def _steps(
        self, entries: Sequence[Entry], on_sifted: Callable[[list[Entry]], None]
    ) -> Generator[Any, Any, Callable[[], None]]:
        passed: list[Entry] = []
        for entry in entries:
            if self._keep is not None and not (yield self._keep(entry.event, cast(Meta, entry.meta))):
                continue
            taken = entry if self._between is None else self._between(entry)
            if taken is None:
                continue
            if self._change is not None:
                event, meta = yield self._change(taken.event, cast(Meta, taken.meta))
                taken = changed(taken, event, meta)
            passed.append(taken)
        return partial(on_sifted, passed)

    def _go_on(self, steps: Generator[Any, Any, Callable[[], None]], answer: Any) -> None:
        """Continue until a callback does not answer at once, or the group is complete."""
        try:
            while True:
                value = steps.send(answer)
                later = value if isinstance(value, Later) else None
                if later is None and not hasattr(value, "__await__"):
                    answer = value
                elif later is not None and later.is_done:
                    answer = later.result()
                else:
                    self.is_busy = True
                    self._react(value, partial(self._on_answer, steps))
                    return
        except StopIteration as done:
            on_sifted: Callable[[], None] = done.value
        on_sifted()

    def _on_answer(self, steps: Generator[Any, Any, Callable[[], None]], done: Later[Any]) -> None:
        self.is_busy = False
        answer = done.result()
        self._is_running = True
        try:
            self._go_on(steps, answer)
        finally:
            self._is_running = False
        if not self.is_busy:
            self._run()


def changed(entry: Entry, event: Event, meta: Meta) -> Entry:
    """`entry` with what a map returned. Raises ValueError, with a sentence, if that is no event or no meta."""
    draft = make_draft(event, {key: meta[key] for key in ("created", "time") if key in meta})
    extra = {key: value for key, value in meta.items() if key not in RESERVED_META}
    if "channels" in extra and extra["channels"] != entry.meta.get("channels"):
        check_channels(extra)
    return Entry(
        entry.created if draft.created is None else draft.created,
        entry.time if draft.time is None else draft.time,
        draft.body,
        encode_extra(extra),
        entry.dot,
        entry.added,
        entry.position,
    )
