"""The commands of `mesh`, with their help."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.exceptions import Exit

from mesh.cli import options
from mesh.cli.bench import bench
from mesh.cli.log.options import log_options, read_request
from mesh.cli.peer import peer, wait
from mesh.cli.scenario import scenario
from mesh.cli.token import token
from mesh.errors import MeshError
from mesh.terminal import output
from mesh.terminal.output import INTERRUPTED

WRONG_USAGE = 2


@contextmanager
def _explained() -> Iterator[None]:
    """Turn whatever a command runs into into a sentence and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        raise Exit(INTERRUPTED) from None
    except (output.OutputClosed, BrokenPipeError):
        raise Exit(0) from None  # whoever read our output has seen enough
    except MeshError as error:
        output.complain(str(error))
        raise Exit(1) from None
    except OSError as error:
        output.complain(f"{error.filename or 'the system'}: {error.strerror or error}")
        raise Exit(1) from None


class QuietGroup(click.Group):
    """Explains whatever a command runs into."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # as they stand in this file, not by the alphabet

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            # Said here, since Click 8.1 makes a success of it.
            click.echo(ctx.get_help(), err=True)
            raise Exit(WRONG_USAGE)
        with _explained():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _explained():
            return super().invoke(ctx)


@click.group("mesh", cls=QuietGroup, context_settings={"help_option_names": ["--help", "-h"]})
@options.home
@options.version
@click.pass_context
def app(context: click.Context, home: Path | None) -> None:
    """One shared event log on every machine of a LAN: write anywhere, offline too; no server, nothing to configure.

    \b
    mesh up                          start this machine's node, and leave it running
    mesh add '{"type": "milk"}'      add an event, in another terminal
    mesh log --follow                see what all machines add
    """
    context.obj = home


@app.command()
@options.name
@options.mesh
@options.existing
@options.listen
@options.peers
@options.no_mdns
@options.interfaces
@options.requery
@options.clients_door
@options.upstream_link
@options.as_json
@click.pass_context
def up(
    context: click.Context,
    /,
    *,
    name: str | None,
    mesh: str | None,
    existing: bool,
    listen: str | None,
    peers: tuple[str, ...],
    no_mdns: bool,
    interfaces: tuple[str, ...],
    requery_seconds: float,
    as_json: bool,
    **doors: Any,
) -> None:
    """Run this machine's node until Ctrl-C, SIGTERM or `mesh stop`.

    \b
    mesh up
    mesh up --name kitchen --peer 192.168.1.7:4000
    mesh --home /tmp/second up --name second --no-mdns --listen 127.0.0.1:0

    \b
    mesh up --clients 127.0.0.1:31337
    mesh up --clients :31337 --clients-cert cert.pem --clients-key key.pem
    mesh up --upstream wss://logux.example --upstream-user kitchen
    """
    given = options.given_doors(context, doors)
    home = options.home_of(context)
    # The whole node is loaded here, and by no other command.
    from mesh.cli.up import run_up
    from mesh.node import Node
    from peers.stores.store import StoreError

    def make_node() -> Node:
        return Node(
            name,
            home=home,
            mesh=mesh,
            existing=existing,
            listen=listen,
            peers=peers,
            mdns=not no_mdns,
            interfaces=interfaces or None,
            requery_seconds=requery_seconds,
            **given,
        )

    try:
        code = run_up(make_node, as_json=as_json)
    except StoreError as error:
        raise MeshError(str(error)) from None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    raise Exit(code)


@app.command()
@options.events
@click.pass_context
def add(context: click.Context, events: tuple[str, ...]) -> None:
    """Add events: JSON objects with a `type`. Each prints a line once it is on disk.

    Success says that all are on disk, whether or not these lines could be printed.

    \b
    JSON...  Events, or - for one per line of standard input.

    \b
    mesh add '{"type": "milk", "litres": 2}'
    mesh add - < events.jsonl
    """
    if "-" in events and len(events) > 1:
        raise click.BadParameter("- stands alone: give events as arguments, or on standard input")
    raise Exit(_add(options.home_of(context), events))


def _add(home: Path, events: Sequence[str]) -> int:
    import msgspec

    from mesh.cli.add import Adder
    from mesh.control.client import ControlClient
    from mesh.control.messages import Confirmed
    from mesh.terminal.progress import Progress, file_position, file_size

    source = _standard_input() if list(events) == ["-"] else None
    refused: list[int] = []
    unprinted: list[str] = []

    def on_confirmed(confirmed: list[Confirmed]) -> None:
        lines = [msgspec.json.encode({"created": one.created, "added": one.added}) for one in confirmed]
        if not unprinted:
            try:
                with progress.hidden():
                    output.write(b"\n".join([*lines, b""]))
            except output.OutputError as error:
                unprinted[:] = [str(error)]
                output.complain(f"events are stored all the same, from here on without a line for each: {error}")
        progress.at(adder.confirmed, done=file_position(source))

    def on_refused(number: int, why: str) -> None:
        refused[:] = [number]
        with progress.hidden():
            output.complain(f"{'event' if source is None else 'line'} {number} is not added: {why}")

    with ControlClient(home) as client, Progress("stored", total=file_size(source)) as progress:
        adder = Adder(client, on_confirmed=on_confirmed, on_refused=on_refused)
        given = [] if source is not None else [event.encode(errors="surrogateescape") for event in events]
        try:
            adder.run(given, source)
        except MeshError as error:
            raise MeshError(f"{error}; {_count(adder.confirmed)} confirmed, and any other may be missing") from None
    return 1 if refused else 0


def _standard_input() -> int:
    if sys.stdin is None:
        raise MeshError("standard input is closed: give events as arguments")
    return sys.stdin.fileno()


def _count(events: int) -> str:
    return {0: "no event was", 1: "1 event was"}.get(events, f"{events} events were")


@app.command()
@log_options
@click.pass_context
def log(context: click.Context, /, *, as_json: bool, is_waiting: bool, **chosen: Any) -> None:
    """Print the log. It can be read while no node runs, too.

    \b
    mesh log
    mesh log --since 12h --until '2026-11-23 03:30' --reverse
    mesh log --tail 5 --follow --wait --type milk
    mesh log --json --order added --since 100
    """
    request = read_request(is_waiting=is_waiting, **chosen)
    from mesh.cli.log.printer import LogPrinter

    LogPrinter(options.home_of(context), request, as_json=as_json, is_waiting=is_waiting).run()


@app.command()
@options.as_json
@click.pass_context
def peers(context: click.Context, *, as_json: bool) -> None:
    """List the other nodes of the mesh.

    \b
    mesh peers
    mesh peers --json
    """
    rows = _status(context)["peers"]
    if as_json:
        _print_json(rows)
        return
    from mesh.terminal.tables import show_peers

    output.write(show_peers(rows))


@app.command()
@options.as_json
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> None:
    """Show how this machine's node is doing.

    \b
    mesh status
    mesh status --json
    """
    shown = _status(context)
    if as_json:
        _print_json(shown)
        return
    from mesh.terminal.tables import show_status

    output.write(show_status(shown))


@app.command()
@click.pass_context
def stop(context: click.Context) -> None:
    """Stop this machine's node; it has stopped when this returns.

    \b
    mesh stop
    """
    from mesh.control.client import ControlClient

    with ControlClient(options.home_of(context)) as client:
        client.stop()


@app.command()
@click.pass_context
def retry(context: click.Context) -> None:
    """Start again what the node has paused or what was refused.

    \b
    mesh retry
    """
    from mesh.control.client import ControlClient

    with ControlClient(options.home_of(context)) as client:
        client.retry()


def _status(context: click.Context) -> dict[str, Any]:
    from mesh.control.client import ControlClient

    with ControlClient(options.home_of(context)) as client:
        return client.status()


def _print_json(value: Any) -> None:
    import msgspec

    output.write(msgspec.json.encode(value) + b"\n")


app.add_command(wait)
app.add_command(peer)
app.add_command(token)
app.add_command(bench)
app.add_command(scenario)
