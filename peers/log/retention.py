"""How long a log's events live: removals, changes of meta and cleaning, step by step, between which other work goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, TypeVar, cast

from peers.clock import Undo
from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.reasons import DEFAULT_REASON, check_labels
from peers.failures import failures
from peers.later import Later
from peers.log.draft import Meta, read_created
from peers.log.moments import Moment, place_at, place_past
from peers.stores.disk import Disk
from peers.stores.run_store import RunState, RunStore
from peers.stores.store import CLEAN_EVENTS, Cleaning, Criteria, Place

S = TypeVar("S")
Keeper = Callable[[dict[str, Any], Meta], Any]


class Bounds(TypedDict, total=False):
    """Which events are meant: those that fit all that is given."""

    min_added: int | None
    max_added: int | None
    older_than: Moment | None
    younger_than: Moment | None
    created: Any
    index: str | None
    except_index: str | None


@dataclass(slots=True)
class _Done:
    """What the steps of one call did: a count, in the end, but the same event may be met more than once."""

    cleaned: set[Created] = field(default_factory=set)
    altered: set[Created] = field(default_factory=set)


class Keepers:
    """Say which events a cleaning leaves alone."""

    def __init__(self) -> None:
        self._keepers: list[Keeper] = []

    def add(self, keeper: Keeper) -> Undo:
        """Ask `keeper` too until the returned undo is called; undoing twice is harmless."""

        def keep(event: dict[str, Any], meta: Meta) -> Any:  # one of its own, so that one function may be added twice
            return keeper(event, meta)

        self._keepers.append(keep)

        def undo() -> None:
            if keep in self._keepers:
                self._keepers.remove(keep)

        return undo

    def keep(self, event: dict[str, Any], meta: Meta) -> bool:
        """Whether one of them keeps the event. Raises what one of them raises."""
        return any(keeper(event, meta) for keeper in tuple(self._keepers))


class LogRetention:
    """What EventLog promises of `find`, `remove_reason`, `change_meta` and `clean`, over its disk."""

    def __init__(
        self,
        disk: Disk,
        publish: Callable[[RunState, Cleaning], None],
        *,
        last_added: Callable[[], int],
        now_ms: Callable[[], int],
    ) -> None:
        self._disk = disk
        self._publish = publish
        self._last_added = last_added
        self._now_ms = now_ms
        self.keepers = Keepers()

    def find(self, created: Any) -> Later[Entry | None]:
        try:
            wanted = read_created(created)
        except ValueError as error:
            return Later.failed(error)
        return self._disk.run(lambda store: store.find(wanted))

    def remove_reason(self, reasons: str | Sequence[str], bounds: Bounds) -> Later[int]:
        return self._with_reasons(reasons, bounds, is_new=False).transform(lambda done: len(done.cleaned))

    def add_reason(self, reasons: str | Sequence[str], bounds: Bounds) -> Later[int]:
        return self._with_reasons(reasons, bounds, is_new=True).transform(lambda done: len(done.altered))

    def _with_reasons(self, reasons: str | Sequence[str], bounds: Bounds, *, is_new: bool) -> Later[_Done]:
        try:
            names = _read_names(reasons)
            criteria = make_criteria(self._now_ms(), **bounds)
        except (TypeError, ValueError) as error:
            return Later.failed(error)
        done = _Done()

        def step(place: tuple[int, int]) -> Later[tuple[int, int] | None]:
            number, after = place
            return self._change(lambda store: work(store, names[number], after)).transform(
                lambda each: note(each, number)
            )

        def work(store: RunStore, name: str, after: int) -> Cleaning:
            if is_new:
                return store.add_reason(name, criteria, after=after)
            return store.remove_reason(name, criteria, after=after)

        def note(cleaning: Cleaning, number: int) -> tuple[int, int] | None:
            done.cleaned.update(entry.created for entry in cleaning.cleaned)
            done.altered.update(entry.created for entry in cleaning.altered)
            if cleaning.until is not None:
                return number, cleaning.until
            return (number + 1, 0) if number + 1 < len(names) else None

        return in_steps(step, (0, 0)).transform(lambda _: done) if names else Later.done(done)

    def apply_diff(self, created: Created, diff: bytes) -> Later[bool]:
        changed = self._change(lambda store: store.change_meta(created, diff))
        return changed.transform(lambda cleaning: cleaning is not None)

    def clean(self, reasons: str | Sequence[str], before: Moment | None) -> Later[int]:
        try:
            names = frozenset(_read_names(reasons))
            end = None if before is None else place_at(before, self._now_ms())
        except (TypeError, ValueError) as error:
            return Later.failed(error)
        last_added = self._last_added()
        count = 0
        first_error: BaseException | None = None

        def step(after: Entry | None) -> Later[Entry | None]:
            page = self._disk.run(lambda store: store.each(order="added", after=after, limit=CLEAN_EVENTS))
            return chained(page, clean_page)

        def clean_page(page: Sequence[Entry]) -> Later[Entry | None]:
            nonlocal first_error
            page = [entry for entry in page if entry.added <= last_added]
            old = page if end is None else [entry for entry in page if (entry.time, entry.created) < end]
            createds, error = self._unkept(old, names)
            first_error = first_error or error
            cleaned = self._change(lambda store: store.clean(createds, names))
            return cleaned.transform(lambda cleaning: note(cleaning, page))

        def note(cleaning: Cleaning, page: Sequence[Entry]) -> Entry | None:
            nonlocal count
            count += len(cleaning.cleaned)
            return page[-1] if page else None

        def finish(_: None) -> int:
            if first_error is not None:
                raise first_error
            return count

        return in_steps(step, None).transform(finish)

    def _unkept(self, page: Sequence[Entry], names: frozenset[str]) -> tuple[list[Created], BaseException | None]:
        """Those of a page that neither another reason nor a keeper keeps, and what the first failing keeper raised."""
        createds: list[Created] = []
        first_error: BaseException | None = None
        for entry in page:
            if not names.issuperset(entry.reasons or [DEFAULT_REASON]):
                continue
            event, meta = entry.event, cast(Meta, entry.meta)
            try:
                if not self.keepers.keep(event, meta):
                    createds.append(entry.created)
            except failures() as error:  # the event is kept, and it is raised when the rest is done
                first_error = first_error or error
        return createds, first_error

    def _change(self, work: Callable[[RunStore], S]) -> Later[S]:
        """Do it, and publish what came of it; the result is that of `work`."""

        def publish(done: tuple[S, RunState]) -> S:
            result, state = done
            if isinstance(result, Cleaning):
                self._publish(state, result)
            return result

        return self._disk.run(lambda store: (work(store), store.state)).transform(publish)


def make_criteria(
    now_ms: int,
    *,
    min_added: int | None = None,
    max_added: int | None = None,
    older_than: Any = None,
    younger_than: Any = None,
    created: Any = None,
    index: str | None = None,
    except_index: str | None = None,
) -> Criteria:
    """The criteria for the store. Raises ValueError, with a sentence, if they are none."""
    for added in (min_added, max_added):
        if added is not None and (not isinstance(added, int) or isinstance(added, bool)):
            raise ValueError(f"a bound of `added` is a whole number, not {added!r}")
    for name in (index, except_index):
        if name is not None and not isinstance(name, str):
            raise ValueError(f"an index is a string, not {name!r}")
    return Criteria(
        min_added,
        max_added,
        _place(older_than, place_at, now_ms),
        _place(younger_than, place_past, now_ms),
        None if created is None else read_created(created),
        index,
        except_index,
    )


def _place(moment: Any, read: Callable[[Any, int], Place], now_ms: int) -> Place | None:
    return None if moment is None else read(moment, now_ms)


def _read_names(reasons: str | Sequence[str]) -> tuple[str, ...]:
    names = (reasons,) if isinstance(reasons, str) else tuple(reasons)
    check_labels({"reasons": names})
    return names


def in_steps(step: Callable[[Any], Later[Any]], start: Any) -> Later[None]:
    """Call `step` with `start`, then with what the step before came to, until one comes to None. Fails as a step does."""
    result: Later[None] = Later()

    def go(value: Any) -> None:
        while (
            True
        ):  # a loop, not a chain of reactions: on a disk that answers at once it would be as deep as there are steps
            later = step(value)
            if not later.is_done:
                later.then(react)
                return
            if later.exception is not None:
                result.fail(later.exception)
                return
            value = later.result()
            if value is None:
                result.set(None)
                return

    def react(done: Later[Any]) -> None:
        if done.exception is not None:
            result.fail(done.exception)
        elif done.result() is None:
            result.set(None)
        else:
            go(done.result())

    go(start)
    return result


def chained(first: Later[Any], then: Callable[[Any], Later[Any]]) -> Later[Any]:
    """What `then` of the first result comes to."""
    result: Later[Any] = Later()

    def react(done: Later[Any]) -> None:
        if done.exception is not None:
            result.fail(done.exception)
        else:
            then(done.result()).then(result.follow)

    first.then(react)
    return result
