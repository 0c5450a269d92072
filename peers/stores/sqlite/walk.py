"""The statement in SQL for a Walk: it finds the page by an index, from either end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peers.events.created import created_key
from peers.stores.sqlite.reading import COLUMNS
from peers.stores.sqlite.rows import OF_LABEL
from peers.stores.store import Place, Walk

_EVENTS = f"SELECT {COLUMNS} FROM changes AS c WHERE c.body IS NOT NULL"
_INDEXED = f"{OF_LABEL} ON c.position = l.position WHERE l.kind = 'index' AND l.name = ?"

_Bound = tuple[str, tuple[Any, ...]]
"""A condition, and its values."""


def walk_statement(walk: Walk, after: int) -> tuple[str, list[Any]]:
    """The statement and its values; `after` is the position of `walk.after`, 0 if it is not known or not needed."""
    source, of = (_EVENTS, "c") if walk.index is None else (_INDEXED, "l")
    direction = " DESC" if walk.is_backward else ""
    if walk.order == "created":
        keys = f"{of}.time{direction}, {of}.created{direction}"
        bounds = [*_between(f"{of}.time, {of}.created", walk.span)]
    else:
        # The + keeps SQLite from another index, by which it would sort all of the walk for each page.
        places = _between(f"+{of}.time, {of}.created", (walk.younger_than, walk.older_than))
        keys = f"{of}.position{direction}"
        bounds = [*_beyond(walk, of, after), *places]
    bounds.append(("c.added > ?", (walk.since,)))
    conditions = " AND ".join(condition for condition, _ in bounds)
    values = [value for _, values in bounds for value in values]
    named = [] if walk.index is None else [walk.index]
    return f"{source} AND {conditions} ORDER BY {keys} LIMIT ?", [*named, *values, walk.limit]


def _between(place: str, span: tuple[Place | None, Place | None]) -> Iterator[_Bound]:
    for sign, bound in zip("><", span, strict=True):
        if bound is not None:
            yield f"({place}) {sign} (?, ?)", (bound[0], created_key(bound[1]))


def _beyond(walk: Walk, of: str, after: int) -> Iterator[_Bound]:
    """Positions find the rows; `added` says which they are, since a position never falls behind it."""
    start = walk.since
    if walk.after is not None and walk.is_backward:
        yield "c.added < ?", (walk.after.added,)
        if after:
            yield f"{of}.position < ?", (after,)
    elif walk.after is not None:
        yield "c.added > ?", (walk.after.added,)
        start = max(start, walk.after.added, after)
    yield f"{of}.position > ?", (start,)
