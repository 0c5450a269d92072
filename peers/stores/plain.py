"""How a store takes the entries that nothing is known of: nearly all of them, and so as fast as it can."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.version_vector import MAX_SEQ, Dot, Epoch
from peers.stores.retention import Effects
from peers.stores.rows import Numbers

Outcome = Entry | ValueError | None
"""What became of one entry: see Appended.results."""

_dot_of = attrgetter("dot")


@dataclass(slots=True)
class Batch:
    """What one `append` knows and has done so far."""

    epoch: Epoch
    seq: int
    """The highest of `epoch`."""
    known: dict[Created, Entry | None]
    """The event as shown, or None where one has to look."""
    entries: Sequence[Entry] = ()
    """What was offered."""
    held: dict[Dot, Entry] | None = None
    """The events of those offered dots that may be known; None before it is asked for. Dots of renewed epochs are left out:
    they say nothing for sure.

    It stays true during this append, but for events that are None in `known` and for `dots`: whatever changes an event or
    its dots notes that there.
    """
    run: list[Entry] = field(default_factory=list)
    """Changes that have their numbers but are not among the rows yet."""
    further: set[int] = field(default_factory=set)
    """Positions in `run` of further dots of events that have a row of their own."""
    dots: dict[Dot, None] = field(default_factory=dict)
    """Those taken, in order."""
    floors: dict[Epoch, int] = field(default_factory=dict)
    """By epoch: a dot with a larger seq is not known and was not taken. MAX_SEQ where each needs a closer look."""
    changes: list[Entry] = field(default_factory=list)
    relabelled: list[Created] = field(default_factory=list)
    """Events that have a further dot now, while there are renewed epochs."""
    is_revised: bool = False
    """Then `changes`, and what was read before, may show what was replaced since."""
    is_forked: bool = False
    has_tombstones: bool = False
    """Whether there may be some among `changes`."""
    effects: Effects = field(default_factory=Effects)


def take_plain(
    numbers: Numbers,
    floor_of: Callable[[Epoch, Batch], int],
    rest: Iterator[Entry],
    batch: Batch,
    results: list[Outcome],
) -> Entry | None:
    """Take entries, and pass over repeats that were read already. Returns the first other one, None at the end.

    An entry is plain if its `created` is not known, and it is our own or its dot is above all that is known of its epoch.
    `floor_of` says above which seq that is: see `Batch.floors`.
    """
    known, held = batch.known, batch.held or {}
    added, position, seq = numbers.last_added, numbers.last_position, batch.seq
    run: list[Entry] = []
    last_epoch, floor = batch.epoch, MAX_SEQ
    hard = None
    for entry in rest:
        created, dot = entry.created, entry.dot
        if created in known:
            hard = entry
            break
        if dot is None:
            seq += 1
            dot = (batch.epoch, seq)
        else:
            if dot[0] != last_epoch:
                batch.floors[last_epoch] = floor
                last_epoch, floor = dot[0], floor_of(dot[0], batch)
            if dot[1] <= floor:
                if dot in held and is_repeat(entry, held[dot]):
                    results.append(None)
                    continue
                hard = entry
                break
            floor = dot[1]
        added += 1
        position += 1
        stored = Entry(created, entry.time, entry.body, entry.extra, dot, added, position, b"", entry.tombstone)
        known[created] = stored
        run.append(stored)
        results.append(stored)
    batch.floors[last_epoch] = floor
    batch.seq = seq
    batch.run += run
    batch.dots.update(dict.fromkeys(map(_dot_of, run)))
    numbers.events += len(run)
    numbers.last_added, numbers.last_position = added, position
    return hard


def is_repeat(entry: Entry, known: Entry) -> bool:
    """Whether an entry says nothing that the known copy of its event does not say."""
    return known.same_as(entry) and known.extra <= entry.extra
