"""The pages of a Walk over the events of a store of runs in SQLite, each found by an index, from either end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from heapq import merge
from itertools import chain, islice, pairwise
from typing import Any, NamedTuple

from peers.events.created import MAX_MS, created_key
from peers.stores.runs.sqlite.copies import COPY_COLUMNS, Row
from peers.stores.runs.sqlite.layout import BURIED, BURIED_EXCHANGED, EXCHANGED, SHOWN
from peers.stores.runs.sqlite.nodes import Nodes
from peers.stores.store import LOOK_EVENTS, Place, Walk

AHEAD = 16
"""Rows read beyond those that are asked for, since the events of the last ms have to be seen together."""
PAGE_ROWS = 500
STEP_ROWS = 100
"""Rows between two looks at their bytes."""
LOOK_ROWS = 100
"""The same where many are read and few asked for; some may be large."""
MARKS_IN_SQL = 20
"""Of more types only we look which events have one."""

_INDEXED = "FROM labels AS l CROSS JOIN events AS e ON e.position = l.position WHERE l.kind = 'index' AND l.name = ?"
_POSITION = f"""
    SELECT position FROM events WHERE position = ? AND position - lag = ? AND state NOT IN ({EXCHANGED}, {BURIED_EXCHANGED})
"""


class _Edge(tuple[Any, ...]):
    """A row with which a part of a walk ends, whether it fits or not."""


class _Index(NamedTuple):
    """One of the two indexes in the order of (time, ms, node, n), in which nodes have their numbers for names."""

    stamp: str
    """What comes before the node: time and ms, or the one where they are the same."""
    condition: str

    def bound(self, stamp: tuple[int, int]) -> list[int]:
        """The values for `stamp`."""
        return list(stamp[: len(self.stamp.split(", "))])


_PLAIN = _Index("e.ms", "e.time IS NULL")
_OTHERS = _Index("e.time, e.ms", f"e.time IS NOT NULL AND e.state < {BURIED}")


class Walker:
    """Reads pages of rows in the order that a walk asks for."""

    def __init__(self, execute: Callable[..., sqlite3.Cursor], nodes: Nodes, columns: str = COPY_COLUMNS) -> None:
        """`columns` are those of the rows: COPY_COLUMNS or TABLE_COLUMNS."""
        self._columns = ", ".join("e." + name for name in columns.split(", "))
        self._execute = execute
        self._nodes = nodes

    def rows(self, walk: Walk, most: int | None) -> tuple[list[Row], Row | None]:
        """The rows of the copies of a page, in order; and where it ends, as Walk.take."""
        if not _is_selective(walk):
            found = list(islice(self._by_added(walk) if walk.order == "added" else self._by_place(walk), walk.limit))
            return found, found[-1] if found and len(found) == walk.limit else None
        if walk.order == "created":
            return walk.take(self._by_place(walk), partial(self._fits, walk), most)
        found = []
        for row in self._by_added(walk, most or LOOK_EVENTS) if walk.limit > 0 else ():
            if self._fits(walk, row):
                found.append(row)
            if len(found) == walk.limit or (most is not None and isinstance(row, _Edge)):
                return found, row
        return found, None

    def some(self, walk: Walk, max_bytes: int) -> tuple[list[Row], bool]:
        """The rows of a walk by place, until they have so many bytes; and whether these are all."""
        rows, found, size = self._by_place(walk), list[Row](), 0
        while len(found) < walk.limit and size < max_bytes:
            step = min(STEP_ROWS, walk.limit - len(found))
            some = list(islice(rows, step))
            found += some
            size += sum([len(row[8]) + (0 if row[9] is None else len(row[9])) for row in some])
            if len(some) < step:
                return found, True
        return found, False

    def _fits(self, walk: Walk, row: Row) -> bool:
        return (walk.types is None or walk.types.fit(row[8])) and walk.is_between(self._place(row))

    # By (time, created)

    def _by_place(self, walk: Walk) -> Iterator[Row]:
        if walk.index is not None:
            return self._by_label(walk)
        plain, others = self._in(_PLAIN, walk), self._in(_OTHERS, walk)
        other = next(others, None)
        return plain if other is None else merge(plain, chain([other], others), key=self._place, reverse=walk.reverse)

    def _place(self, row: Row) -> Place:
        ms, node, n, time = row[3:7]
        return ms if time is None else time, (ms, self._nodes.name(node), n)

    def _in(self, index: _Index, walk: Walk) -> Iterator[Row]:
        """The rows of one index, in the order of names: those of one stamp are put in order, if they are not too many."""
        lowest, highest = walk.span
        start = (lowest[0], lowest[1][0]) if lowest else (0, 0)
        end = (highest[0], highest[1][0]) if highest else (MAX_MS, MAX_MS)
        left = MAX_MS if _is_selective(walk) else walk.limit
        rows: list[Row] = []
        while start[0] <= end[0] and left > 0:
            size = min(left, _rows_at_once(walk)) + AHEAD
            some = self._read(index, walk, (start, end), size, rows)
            rows += some
            if len(some) < size:
                yield from self._between(rows, walk)
                return
            stamp = _stamp(rows[-1])  # there may be more of these
            whole = len(rows)
            while whole and _stamp(rows[whole - 1]) == stamp:
                whole -= 1
            found = self._between(rows[:whole], walk)
            left -= len(found)
            yield from found
            del rows[:whole]
            if not whole:
                rows.clear()
                yield from self._of_stamp(index, walk, stamp)
                time, ms = stamp
                stamp = (time - 1, MAX_MS) if walk.reverse and index is _PLAIN else (time, ms - 1)
                stamp = stamp if walk.reverse else (time + 1, 0) if index is _PLAIN else (time, ms + 1)
            start, end = (start, stamp) if walk.reverse else (stamp, end)

    def _read(
        self,
        index: _Index,
        walk: Walk,
        bounds: tuple[tuple[int, int], tuple[int, int]],
        size: int,
        before: Sequence[Row],
    ) -> list[Row]:
        """Rows with a stamp between these; `before` are those of the first one that were read before."""
        start, end = map(index.bound, bounds)
        marks = ", ".join("?" * len(start))
        since, values = _since(walk)
        columns = [*index.stamp.split(", "), "e.node", "e.n"]
        if before:
            _, _, _, _, node, n, *_ = before[-1]
            since += f" AND ({', '.join(columns)}) {'<' if walk.reverse else '>'} ({marks}, ?, ?)"
            values = [*values, *index.bound(_stamp(before[-1])), node, n]
        statement = (
            f"SELECT {self._columns} FROM events AS e WHERE {index.condition} AND ({index.stamp}) >= ({marks})"
            f" AND ({index.stamp}) <= ({marks}){since} ORDER BY {_order(walk, *columns)} LIMIT ?"
        )
        return self._execute(statement, [*start, *end, *values, size]).fetchall()

    def _between(self, rows: list[Row], walk: Walk) -> list[Row]:
        """Rows of whole stamps in the order of names, without those that are not between the places."""
        if len({row[4] for row in rows}) > 1 and any(
            one[3] == other[3] and one[4] != other[4] for one, other in pairwise(rows)
        ):
            rows.sort(key=self._place, reverse=walk.reverse)
        lowest, highest = walk.span
        start, end = 0, len(rows)
        before, behind = (highest, lowest) if walk.reverse else (lowest, highest)
        while start < end and before is not None and not self._is_beyond(rows[start], before, walk.reverse):
            start += 1
        while start < end and behind is not None and not self._is_beyond(rows[end - 1], behind, not walk.reverse):
            end -= 1
        return rows[start:end]

    def _is_beyond(self, row: Row, place: Place, reverse: bool) -> bool:
        return self._place(row) < place if reverse else self._place(row) > place

    def _of_stamp(self, index: _Index, walk: Walk, stamp: tuple[int, int]) -> Iterator[Row]:
        """The rows of one stamp, which may be millions: node by node."""
        same = " AND ".join(f"{name} = ?" for name in index.stamp.split(", "))
        since, values = _since(walk)
        statement = (
            f"SELECT {self._columns} FROM events AS e WHERE {index.condition} AND {same} AND e.node = ?"
            f" AND e.n > ? AND e.n < ?{since} ORDER BY {_order(walk, 'e.n')} LIMIT ?"
        )
        for name, node in sorted(self._nodes_of(index, same, stamp), reverse=walk.reverse):
            first, last = _counters((*stamp, name), walk)
            if first >= last:
                continue
            given = [*index.bound(stamp), node]
            while rows := self._execute(statement, [*given, first, last, *values, PAGE_ROWS]).fetchall():
                yield from rows
                first, last = (first, rows[-1][5]) if walk.reverse else (rows[-1][5], last)

    def _nodes_of(self, index: _Index, same: str, stamp: tuple[int, int]) -> Iterator[tuple[str, int]]:
        """The nodes that have events with this stamp: name and number."""
        statement = f"SELECT min(e.node) FROM events AS e WHERE {index.condition} AND {same} AND e.node > ?"
        node = 0
        while True:
            (node,) = self._execute(statement, [*index.bound(stamp), node]).fetchone()
            if node is None:
                return
            yield self._nodes.name(node), node

    def _by_label(self, walk: Walk) -> Iterator[Row]:
        """The same of those that have an index, whose labels have their places."""
        lowest, highest = walk.span
        since, values = _since(walk)
        size = _rows_at_once(walk)
        while True:
            bounds = [
                (f" AND (l.time, l.created) {sign} (?, ?)", (bound[0], created_key(bound[1])))
                for sign, bound in ((">", lowest), ("<", highest))
                if bound is not None
            ]
            statement = (
                f"SELECT {self._columns} {_INDEXED}{''.join(text for text, _ in bounds)}{since}"
                f" ORDER BY {_order(walk, 'l.time', 'l.created')} LIMIT ?"
            )
            places = [value for _, bound in bounds for value in bound]
            rows = self._execute(statement, [walk.index, *places, *values, size]).fetchall()
            yield from rows
            if len(rows) < size:
                return
            last = self._place(rows[-1])
            lowest, highest = (lowest, last) if walk.reverse else (last, highest)

    # By `added`

    def _by_added(self, walk: Walk, window: int = 0) -> Iterator[Row]:
        """Nearly all are in the order of positions; the others come in between.

        With `window` come the rows that may fit, and those with which each such number of rows ends, as an _Edge.
        """
        if walk.index is None:
            source, position = "FROM events AS e WHERE", "e.position"
        else:
            source, position = f"{_INDEXED} AND", "l.position"
        plain = self._pages(f"{source} e.state = {SHOWN}", position, self._position_of(walk), walk, window)
        exchanged = self._pages(f"{source} e.state = {EXCHANGED}", "e.position - e.lag", 0, walk, window)
        other = next(exchanged, None)
        return plain if other is None else merge(plain, chain([other], exchanged), key=_added, reverse=walk.reverse)

    def _pages(self, source: str, key: str, beside: int, walk: Walk, window: int) -> Iterator[Row]:
        """Rows in the order of `key`, a position or `added`; `beside` is that of `walk.after`, 0 if it is not known."""
        first, last = walk.since, MAX_MS
        after = walk.after.added if walk.after is not None else 0
        if walk.after is not None and walk.reverse:
            last = beside or last
            bound = "e.position - e.lag < ?"
        else:
            first = max(first, beside, after)
            bound = "e.position - e.lag > ?"
        bound, values = (f" AND {bound}", [after]) if walk.after is not None else ("", [])
        since, more = _since(walk)
        size = _rows_at_once(walk)
        select = f"SELECT {self._columns}, {key} {source} AND {key} > ? AND {key} < ?{bound}{since}"
        order = f" ORDER BY {_order(walk, key)} LIMIT ?"
        named = [] if walk.index is None else [walk.index]
        may_fit, tested = _may_fit(walk)
        while True:
            edge = None
            begin, end = first, last
            if window:
                given = [*named, first, last, *values, *more]
                edge = self._execute(f"{select}{order} OFFSET ?", [*given, 1, window - 1]).fetchone()
                begin, end = (first, last) if edge is None else (edge[-1], last) if walk.reverse else (first, edge[-1])
            while rows := self._execute(
                f"{select}{may_fit}{order}", [*named, begin, end, *values, *more, *tested, size]
            ).fetchall():
                yield from [row[:-1] for row in rows]
                if len(rows) < size:
                    break
                begin, end = (begin, rows[-1][-1]) if walk.reverse else (rows[-1][-1], end)
            if edge is None:
                return
            yield _Edge(edge[:-1])
            first, last = (first, edge[-1]) if walk.reverse else (edge[-1], last)

    def _position_of(self, walk: Walk) -> int:
        """Of the row of `walk.after`, if it tells where the walk goes on; else 0."""
        after = walk.after
        row = self._execute(_POSITION, (after.position, after.added)).fetchone() if after is not None else None
        return int(row[0]) if row else 0


def _is_selective(walk: Walk) -> bool:
    """Whether more has to be read than what is asked for."""
    is_bounded = walk.order == "added" and (walk.younger_than is not None or walk.older_than is not None)
    return is_bounded or walk.types is not None


def _rows_at_once(walk: Walk) -> int:
    return LOOK_ROWS if _is_selective(walk) else min(walk.limit, PAGE_ROWS)


def _stamp(row: Row) -> tuple[int, int]:
    """(time, ms) of a row."""
    ms, time = row[3], row[6]
    return ms if time is None else time, ms


def _added(row: Row) -> int:
    return int(row[0]) - int(row[7])


def _order(walk: Walk, *columns: str) -> str:
    return ", ".join(f"{column} DESC" if walk.reverse else column for column in columns)


def _may_fit(walk: Walk) -> tuple[str, list[Any]]:
    """A condition that all rows fulfil which fit a walk by `added`, and its values: SQLite looks faster than we do."""
    conditions: list[str] = []
    values: list[Any] = []
    if walk.types is not None and len(walk.types.marks) <= MARKS_IN_SQL:
        conditions.append(f"({' OR '.join(['instr(e.body, ?)'] * len(walk.types.marks))})")
        values += walk.types.marks
    for sign, bound in (">=", walk.younger_than), ("<=", walk.older_than):
        if bound is not None:
            conditions.append(f"ifnull(e.time, e.ms) {sign} ?")
            values.append(bound[0])
    return "".join(f" AND {condition}" for condition in conditions), values


def _since(walk: Walk) -> tuple[str, list[Any]]:
    """The condition for `walk.since`, and its value."""
    return (" AND e.position - e.lag > ?", [walk.since]) if walk.since else ("", [])


def _counters(of_node: tuple[int, int, str], walk: Walk) -> tuple[int, int]:
    """Between which counters the events of (time, ms, node id) lie that a walk asks for."""
    lowest, highest = walk.span
    first, last = -1, MAX_MS + 1
    for bound, is_low in ((lowest, True), (highest, False)):
        if bound is None:
            continue
        time, (ms, name, n) = bound
        if (time, ms, name) == of_node:
            first, last = (n, last) if is_low else (first, n)
        elif ((time, ms, name) > of_node) == is_low:
            return 0, 0  # none of them
    return first, last
