"""`mesh scenario`: plays scenarios, in which networks, disks and clocks break, in virtual time."""

from __future__ import annotations

from itertools import islice

import click
from click.exceptions import Exit

from mesh.cli import options
from mesh.errors import MeshError
from mesh.terminal import output

ALL = "all"
STORM = "storm"


class ScenarioGroup(options.Group):
    """Its commands are the scenarios of the package, each loaded when it is played, and those below."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from mesh.lab.runner.library import titles

        return [*titles(), *self.commands]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in self.commands:
            return self.commands[name]
        from mesh.lab.runner.library import load, titles

        try:
            story = load(name)
        except MeshError as error:
            raise click.UsageError(str(error), ctx) from None
        return story.command(replay=f"mesh scenario {name}", title=titles()[name])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Scenarios"):
            more = [(name, command.get_short_help_str(100)) for name, command in self.commands.items()]
            formatter.write_dl([("NAME", "A scenario that --list names."), *more])


def _print_list(_context: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    if not is_asked:
        return
    from mesh.lab.runner.library import titles
    from mesh.terminal.tables import table, tables

    output.write(tables([table(("scenario", "what happens"), titles().items())]))
    raise Exit(0)


@click.group(cls=ScenarioGroup, subcommand_metavar="NAME [OPTIONS]")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_print_list, help="List all scenarios."
)
def scenario() -> None:
    """Play a scenario: nodes agree, something breaks, it is repaired. The same seed gives the same run.

    \b
    mesh scenario --list
    mesh scenario partition
    mesh scenario partition --seed 7 --trace
    mesh scenario all --seeds 200
    mesh scenario storm --seeds 60
    """


_processes = click.option(
    "--processes", type=click.IntRange(1), metavar="N", help="How many at once.  [default: one for each core]"
)


@scenario.command(ALL)
@click.option("--seed", default=0, show_default=True, metavar="N", help="The first seed.")
@click.option(
    "--seeds", default=1, show_default=True, type=click.IntRange(1), metavar="N", help="How many seeds of each."
)
@_processes
def play_all(*, seed: int, seeds: int, processes: int | None) -> None:
    """Play every scenario, and sum up.

    \b
    mesh scenario all --seeds 200
    """
    from time import monotonic

    from mesh.lab.runner.library import load, play_briefly, titles
    from mesh.lab.runner.outcome import HEADING, Tally
    from mesh.lab.runner.process_pool import spread

    began = monotonic()
    total = Tally(ALL)
    output.write(f"{HEADING}\n")
    wanted = [(name, number) for name in titles() for number in range(seed, seed + seeds)]
    runs = spread(play_briefly, wanted, processes=processes)
    for name in titles():
        tally = Tally(name)
        for outcome in islice(runs, seeds):
            tally.add(outcome)
            total.add(outcome)
            if outcome.failure is not None:
                load(name).show_failure(outcome, replay=f"mesh scenario {name}", is_short=True)
        output.write(f"{tally.row()}\n")
    total.real_seconds = monotonic() - began
    verbs = ", ".join(f"{verb} {count}" for verb, count in sorted(total.verbs.items()))
    output.write(f"{total.row()}\n\nin these runs: {verbs}\n")
    if total.failures:
        raise Exit(1)


@scenario.command(STORM)
@click.option("--seed", default=0, show_default=True, metavar="N", help="The first seed.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1), metavar="N", help="How many seeds.")
@click.option("--nodes", default="3..9", show_default=True, metavar="N..M", help="How many nodes a storm has.")
@click.option(
    "--minutes", default=10.0, show_default=True, type=click.FloatRange(0.1), help="Virtual time of each storm."
)
@_processes
def play_storms(*, seed: int, seeds: int, nodes: str, minutes: float, processes: int | None) -> None:
    """Play random scenarios with all kinds of faults, and shrink those that fail.

    \b
    mesh scenario storm --seeds 60
    mesh scenario storm --seed 7 --nodes 3..5 --minutes 2
    """
    from mesh.lab.fuzz.storm import main, read_nodes

    try:
        limits = read_nodes(nodes)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--nodes") from None
    raise Exit(main(seed, seeds, limits, minutes, processes))
