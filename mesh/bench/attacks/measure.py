"""What each attack costs an honest pair of nodes that adds events meanwhile.

The p99 of a phase is the second or third worst of its 125 to 200 events: one pause of the machine counts in it, so run the
bench on one that does nothing else. Where it does, the nodes wait long for a processor, which the figures show. What comes
before an attack is the same for all of them: compare with its median.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from math import ceil, inf
from pathlib import Path
from statistics import median

from mesh.bench import EVENTS_PER_SECOND, MIB
from mesh.bench.attacks.clients import client_token
from mesh.bench.attacks.host import HostileTarget
from mesh.bench.attacks.hostile_process import HostileProcess
from mesh.bench.node_process import NodeProcess
from mesh.terminal.tables import table, tables

BEFORE_SECONDS = 2.5
REST_SECONDS = 2.0
"""After an attack, until the latency is measured again."""
MEMORY_SECONDS = 5.0
"""After an attack, until the memory is measured again."""
LATENCY_SECONDS = 5.0
"""After an attack, until the latency is measured no more: not below REST_SECONDS."""
NEVER = "never"


@dataclass(frozen=True)
class Latency:
    """How long events took from one node to the other, in ms; None: such an event did not arrive."""

    p50_ms: float | None
    p99_ms: float | None

    @classmethod
    def of(cls, found: Sequence[float | None]) -> Latency:
        """That of events that took so many seconds each, by nearest rank: one of 100 may be later than the p99.

        One that did not arrive, None, is later than all others.
        """
        ordered = sorted(found, key=lambda seconds: inf if seconds is None else seconds)
        p50, p99 = (ordered[ceil(len(ordered) * part / 100) - 1] if ordered else None for part in (50, 99))
        return cls(*(None if seconds is None else seconds * 1000 for seconds in (p50, p99)))


@dataclass(frozen=True)
class AttackFigure:
    """What one attack on the reading node of a pair did."""

    name: str
    before: Latency
    during: Latency
    after: Latency
    """From REST_SECONDS to LATENCY_SECONDS after the attack."""
    rss_before: int
    """Bytes of resident memory of the attacked node."""
    rss_peak: int
    rss_after: int
    """MEMORY_SECONDS after the attack."""
    cpu_share: float
    """Of a processor, that the attacked node used during the attack."""
    waited_ms_per_second: float
    """How long threads of both nodes waited for a processor during the attack: if it is much, the machine had too much else to
    do. 0 where the system does not say."""
    lines: int
    """Of output, by the attacked node, since the attack began."""
    hits: dict[str, int]
    """How often which field of Limits was hit, by the status of the attacked node."""
    opened: int
    """Connections of the attack."""
    refused: int
    """Of these, how many were not let in, or cut off."""
    sent_bytes_per_second: float
    """That the hostile process sent while it attacked."""


def measure(names: Sequence[str], seconds: float) -> Iterator[AttackFigure]:
    """Run attacks one after the other, each for so many seconds on a new pair of nodes."""
    for name in names:
        with _pair() as (reader, writer, token):
            yield _measure(name, seconds, reader, writer, token)


@contextmanager
def _pair() -> Iterator[tuple[NodeProcess, NodeProcess, str]]:
    """The node that is attacked, with a token of a client; and the other one."""
    with (
        tempfile.TemporaryDirectory() as folder,
        NodeProcess(Path(folder, "a"), "a", clients="127.0.0.1:0") as reader,
        NodeProcess(Path(folder, "b"), "b", reader.address) as writer,
    ):
        writer.ask("meet", peers=1)
        yield reader, writer, client_token(Path(folder, "a"))


def _measure(name: str, seconds: float, reader: NodeProcess, writer: NodeProcess, token: str) -> AttackFigure:
    nodes = (reader.address, writer.address), (reader.node_id, writer.node_id)
    target = HostileTarget(*nodes, reader.clients, token)
    with HostileProcess(name, target, seconds) as hostile:
        reader.ask("listen")
        writer.ask("pace", every_ms=1000 / EVENTS_PER_SECOND)
        time.sleep(BEFORE_SECONDS)
        reader.ask("wait", events=1)  # on a busy machine the first one may come late
        reader.ask("forget_peak")
        before, waited_before = reader.ask("usage"), reader.waited_seconds + writer.waited_seconds
        deeds = hostile.attack()
        during, waited_after = reader.ask("usage"), reader.waited_seconds + writer.waited_seconds
    time.sleep(max(0.0, deeds.ended + MEMORY_SECONDS - time.monotonic()))
    after = reader.ask("usage")
    sent = writer.ask("end_pace", at=deeds.ended + LATENCY_SECONDS)["sent"]
    reader.ask("meet", peers=1)  # the last event is here
    found = dict(reader.ask("latencies")["latencies"])
    hits: dict[str, int] = {}
    for row in reader.ask("status")["limits"]:
        hits[row["limit"]] = hits.get(row["limit"], 0) + row["count"]

    attack_seconds = deeds.ended - deeds.began

    def latency(start: float, end: float) -> Latency:
        return Latency.of([found.get(at) for at in sent if start <= at < end])

    return AttackFigure(
        name,
        latency(0, deeds.began),
        latency(deeds.began, deeds.ended),
        latency(deeds.ended + REST_SECONDS, inf),
        before["rss"],
        after["peak_rss"],
        after["rss"],
        during["cpu_seconds"] / attack_seconds,
        (waited_after - waited_before) * 1000 / attack_seconds,
        after["lines"] - before["lines"],
        hits,
        deeds.opened,
        deeds.refused,
        deeds.sent_bytes / attack_seconds,
    )


def show(figures: Sequence[AttackFigure], machine: str) -> str:
    """The figures as a table for people."""
    headings = (
        "attack",
        "before ms",
        "during",
        "after",
        "MiB before",
        "peak",
        "after",
        "CPU %",
        "waited ms/s",
        "lines",
        "opened",
        "KiB/s",
        "limits that were hit",
    )
    rows = [
        (
            figure.name,
            *map(_percentiles, (figure.before, figure.during, figure.after)),
            *(f"{rss / MIB:.0f}" for rss in (figure.rss_before, figure.rss_peak, figure.rss_after)),
            f"{figure.cpu_share * 100:.0f}",
            f"{figure.waited_ms_per_second:.0f}",
            f"{figure.lines}",
            f"{figure.opened}",
            f"{figure.sent_bytes_per_second / 1024:.0f}",
            ", ".join(f"{name} {count}" for name, count in figure.hits.items()) or "-",
        )
        for figure in figures
    ]
    before = [figure.before for figure in figures]
    usual = Latency(*(median([ms or inf for ms in all_ms]) for all_ms in zip(*map(astuple, before), strict=True)))
    return (
        f"{tables([table(headings, rows)])}{machine}, over loopback; {EVENTS_PER_SECOND} events/s from one node to the "
        f"attacked one, p50/p99 each; before all attacks {_percentiles(usual)} in the median; processor time of that one, and "
        f"how long both waited for a processor; connections that the attack opened, and what it sent\n"
    )


def _percentiles(latency: Latency) -> str:
    return "/".join(NEVER if ms is None else f"{ms:.0f}" for ms in (latency.p50_ms, latency.p99_ms))
