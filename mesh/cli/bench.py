"""`mesh bench`: measures how fast peermesh is on this machine."""

from __future__ import annotations

import click

from mesh.bench import COMPARED, TRUSTED, WORKLOADS
from mesh.cli import options
from mesh.errors import MeshError
from mesh.terminal import output


@click.group(cls=options.Group)
def bench() -> None:
    """Measure on this machine.

    \b
    mesh bench catch-up --runs 3
    mesh bench latency --against
    mesh bench lab
    mesh bench logux
    mesh bench attacks
    mesh bench view
    """


def _workload(name: str, usual: int, sentence: str) -> click.Command:
    @click.option("--events", default=usual, show_default=True, type=click.IntRange(1), help="How many events.")
    @click.option("--runs", default=1, show_default=True, type=click.IntRange(1), help="Print the median of so many.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    def measure_it(*, events: int, runs: int, as_json: bool, against: bool = False) -> None:
        from mesh.bench.machine import machine
        from mesh.bench.workloads import measure, measure_both, show

        both = {"events": events, "runs": runs}
        is_one = against or name not in TRUSTED
        figures = [measure(name, **both, against=against)] if is_one else measure_both(name, **both)
        if as_json:
            output.write_json(figures)
        else:
            output.write(show(figures, machine()))

    pairs = " Open nodes, then nodes of a mesh, over TLS." if name in TRUSTED else ""
    text = f"{sentence}\n\nReal nodes over loopback, with each commit on disk.{pairs}\n\n\b\nmesh bench {name} --runs 3"
    made = click.command(name, help=text)(measure_it)
    if name in COMPARED:
        sentence = "Compare it with plain inserts into SQLite, in the same run; with open nodes alone."
        made.params.append(click.Option(["--against"], is_flag=True, help=sentence))
    return made


for _name, (_usual, _sentence) in WORKLOADS.items():
    bench.add_command(_workload(_name, _usual, _sentence))


@bench.command()
@click.option(
    "--size",
    "names",
    multiple=True,
    type=click.Choice(["few", "hundred", "hundreds"]),
    help="Only this size. May be repeated.",
)
@click.option("--seed", default=0, show_default=True, type=int, help="Another run of the same size.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def lab(*, names: tuple[str, ...], seed: int, as_json: bool) -> None:
    """How fast the lab simulates large clusters.

    Five nodes with a thousand events each; a hundred nodes, all connected; three hundred with four links each. They meet,
    write, are partitioned for a while, and agree in the end. It takes minutes.

    \b
    mesh bench lab
    mesh bench lab --size few --seed 7
    """
    from mesh.bench.lab import SIZES, measure, show

    runs = measure([size for size in SIZES if not names or size.name in names], seed=seed)
    if as_json:
        output.write_json(runs)
    else:
        output.write(show(runs))


@bench.command()
@click.option("--events", default=10_000, show_default=True, type=click.IntRange(1), help="How many events each way.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def logux(*, events: int, as_json: bool) -> None:
    """How fast a Logux client syncs with a node.

    The client is @logux/core 0.10; the same with a Logux server is measured too. Needs Node.js and npm. The packages are
    fetched once and kept in the user's cache folder.

    \b
    mesh bench logux
    """
    from mesh.bench.logux import measure, show
    from mesh.bench.npm_packages import PackagesError

    try:
        runs = measure(events)
    except PackagesError as error:
        raise MeshError(f"this cannot be measured here: {error}") from None
    if as_json:
        output.write_json(runs)
    else:
        output.write(show(runs))


@bench.command()
@click.option("--attack", "names", multiple=True, metavar="NAME", help="Only this one. May be repeated.")
@click.option("--seconds", default=4.0, show_default=True, type=click.FloatRange(0.5, 60), help="Of each attack.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def attacks(*, names: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """What a hostile host costs two honest nodes.

    One node adds 50 events a second, the other one gets them and is attacked by a process of this machine: how long events take
    before, during, and from 2 s after each attack; the memory of the attacked node, also 5 s after it; its processor time, and
    how long both nodes waited for a processor; lines that it printed; the connections of the attack, and what it sent; which
    limits the node says were hit. Each attack has a new pair. All of them take about five minutes, and need a machine that
    does nothing else: a p99 is the second or third worst of 125 to 200 events.

    The hostile process gets only what the two nodes leave of the processors, as if it had a machine of its own.

    \b
    mesh bench attacks
    mesh bench attacks --attack ping --attack writer --seconds 10
    """
    from mesh.bench.attacks.catalogue import ATTACKS
    from mesh.bench.attacks.measure import measure, show
    from mesh.bench.machine import machine

    for name in names:
        if name not in ATTACKS:
            raise MeshError(f"there is no attack {name!r}: the attacks are {', '.join(ATTACKS)}")
    figures = list(measure(names or tuple(ATTACKS), seconds))
    if as_json:
        output.write_json(figures)
    else:
        output.write(show(figures, machine()))


@bench.command()
@click.option(
    "--events", default=1_000_000, show_default=True, type=click.IntRange(20_000), help="How long the log is."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def view(*, events: int, as_json: bool) -> None:
    """What a view costs.

    A counter by key, in a node alone: how fast it folds a log, a late event, a start over what is folded, reads, and by how
    much longer adds take while a view is open: single ones, 256 at once, for so long that the view folds them meanwhile; and
    how long `after` takes then. Processor time of all threads, but for the start, the adds and `after`, which need an idle
    machine.

    \b
    mesh bench view
    mesh bench view --events 100000
    """
    from mesh.bench.machine import machine
    from mesh.bench.views import run, show

    figures = run(events)
    if as_json:
        output.write_json(figures)
    else:
        output.write(show(figures, machine()))
