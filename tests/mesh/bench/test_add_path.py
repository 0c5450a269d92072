"""What one `add` costs in calls, files and futures. Lower the limits when a change makes it cheaper.

The calls differ by two from run to run, by which thread comes first: 304 at best. Some 70 of the calls and 15 of the files are
of runs: the leaf of the event, the hash and the content of its run, the signature of the head, and the rows of the run, the
epoch and the entry's place.
"""

from __future__ import annotations

from mesh.bench.add_path import measure

MAX_CALLS = 306
MAX_FILES = 50
MAX_FUTURES = 6


def test_an_add_takes_no_more_calls_files_and_futures_than_before() -> None:
    path = measure()

    assert 0 < path.calls <= MAX_CALLS
    assert 0 < path.files <= MAX_FILES
    assert 0 < path.futures <= MAX_FUTURES
