"""What is wrong in the file of a log, found by looking at all of it or at the quick parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from sqlite3 import Error

from peers.stores.runs.sqlite.checks import chains, tables
from peers.stores.runs.sqlite.reader import SqliteRunReader
from peers.stores.sqlite.layout import PUT_BACK
from peers.stores.store import StoreError

MAX_FINDINGS = 20
"""Of one check; the rest is counted."""
_UNREADABLE = (TypeError, ValueError, LookupError, AttributeError, OverflowError, AssertionError, StoreError, Error)


def verify_log(
    path: Path, *, is_in_use: bool, mesh: bytes = b"", is_deep: bool, on_entries: Callable[[int, int], None]
) -> Iterator[str]:
    """A sentence for each thing that is wrong. It changes no file, and reads the state of one commit.

    - `is_in_use`, `mesh`: as SqliteRunReader and `enter_mesh`.
    - `is_deep`: look at each entry and event; else at the file as SQLite sees it, the counters, the ends and their signatures.
    - `on_entries(done, total)`: how far it has come.

    Raises StoreError if the file is no log of this layout, or a node has opened it meanwhile.
    """
    fix, brief = PUT_BACK
    sentence = f"the log file {path}: "
    for found in _verified(path, is_in_use=is_in_use, mesh=mesh, is_deep=is_deep, on_entries=on_entries, brief=brief):
        yield found.removeprefix(sentence).removesuffix(f"; {fix}")


def _verified(
    path: Path, *, is_in_use: bool, mesh: bytes, is_deep: bool, on_entries: Callable[[int, int], None], brief: str
) -> Iterator[str]:
    reader = SqliteRunReader(path, is_in_use=is_in_use)
    if mesh:
        reader.enter_mesh(mesh)
    try:
        reader.open()
    except StoreError as error:
        if error.brief != brief:
            raise
        yield str(error)
        return
    try:
        file = reader.parts
        entries = sum(row.seq for row in file.epochs.values())
        total = entries * (2 if is_deep else 1)
        checks = [tables.check_file(file), tables.check_counters(file), chains.check_ends(file)]
        if is_deep:
            checks += [
                chains.check_chains(reader, lambda done: on_entries(done, total)),
                tables.check_order(reader, lambda done: on_entries(entries + done, total)),
                *(chains.check_places(file), tables.check_added(file), tables.check_labels(file)),
                *(tables.check_marks(file), tables.check_keys(reader)),
                *(tables.check_leaves(file), tables.check_facts(file)),
            ]
        for check in checks:
            yield from _few(check)
            reader.check_still()
    finally:
        reader.close()


def _few(findings: Iterator[str]) -> Iterator[str]:
    """What a check finds, up to MAX_FINDINGS. What cannot be read ends it, and is a finding too."""
    count = 0
    try:
        for found in findings:
            count += 1
            if count <= MAX_FINDINGS:
                yield found
    except _UNREADABLE as error:
        yield str(error) if isinstance(error, StoreError) else f"what is there cannot be read ({error})"
    if count > MAX_FINDINGS:
        yield f"and {count - MAX_FINDINGS} more of this kind"
