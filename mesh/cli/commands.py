"""The command `mesh`: its commands in the order of its help, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.exceptions import Exit

from mesh.cli import options
from mesh.cli.backup import backup, restore, upgrade
from mesh.cli.bench import bench
from mesh.cli.data.export import export
from mesh.cli.data.importing import import_
from mesh.cli.data.verify import verify
from mesh.cli.help import show_help
from mesh.cli.log import log
from mesh.cli.members.found import found, recover
from mesh.cli.members.invite import invite, join
from mesh.cli.members.revoke import leave, revoke
from mesh.cli.members.show import facts, members
from mesh.cli.node import up_options
from mesh.cli.node.chosen import read_again, read_options
from mesh.cli.node.config import config
from mesh.cli.node.layers import UpCommand
from mesh.cli.node.service import service
from mesh.cli.peer import peer, wait
from mesh.cli.scenario import scenario
from mesh.cli.token import token
from mesh.cli.watch.doctor import doctor
from mesh.cli.watch.show import show
from mesh.cli.watch.top import mesh_nodes, top
from mesh.errors import MeshError
from mesh.terminal import output
from mesh.terminal.output import INTERRUPTED
from mesh.terminal.recovery import code_shower


@contextmanager
def _explained() -> Iterator[None]:
    """Turn an exception of a command into a sentence on standard error and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        raise Exit(INTERRUPTED) from None
    except (output.OutputClosed, BrokenPipeError):
        raise Exit(0) from None  # as after `mesh log | head -1`
    except MeshError as error:
        for sentence in (error.for_commands,) if error.for_commands else error.args:
            output.complain(str(sentence))
        raise Exit(1) from None
    except OSError as error:
        output.complain(f"{error.filename or 'the system'}: {error.strerror or error}")
        raise Exit(1) from None


class ExplainingGroup(options.Group):
    """Turns exceptions of its commands into a sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of `add_command`, not of the alphabet

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _explained():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _explained():
            return super().invoke(ctx)


@click.group("mesh", cls=ExplainingGroup, context_settings={"help_option_names": ["--help", "-h"]})
@options.home
@options.version
@click.pass_context
def app(context: click.Context, home: Path | None) -> None:
    """One shared event log on every machine of a LAN: write anywhere, offline too; no server, nothing to configure.

    \b
    mesh up                          start this machine's node, and leave it running
    mesh invite                      print a code, with which another machine joins by `mesh join`
    mesh add '{"type": "milk"}'      add an event, in another terminal
    mesh log --follow                see what all machines add
    mesh help                        list the pages of the guide
    """
    context.obj = home


@click.command(cls=UpCommand)
@up_options.node_options
@up_options.clients_options
@up_options.upstream_options
@up_options.log_options
@click.pass_context
def up(context: click.Context, /, *, as_json: bool, log_level: str, log_format: str, **chosen: Any) -> None:
    """Run this machine's node until Ctrl-C, SIGTERM or `mesh stop`.

    In a fresh home it founds a mesh, which other machines enter by `mesh invite` here and `mesh join` there. To enter that of
    another machine, call `mesh join` first.

    \b
    mesh up
    mesh up --name kitchen --peer 192.168.1.7:4000

    \b
    mesh up --open
    mesh --home /tmp/second up --open --name second

    \b
    mesh up --clients 127.0.0.1:31337
    mesh up --clients :31337 --clients-cert cert.pem --clients-key key.pem
    mesh up --upstream wss://logux.example --upstream-user kitchen

    An option that is not given here is taken from the variable of its name, as MESH_LISTEN or MESH_PEER="HOST:PORT,HOST:PORT",
    else from `mesh.toml` in the home: see `mesh config`.
    """
    given = read_options(context)
    home = options.home_of(context)
    # Imported here: no other command needs the whole node.
    from mesh.cli.node.reload import Reloading
    from mesh.cli.node.up import run_up
    from mesh.node import Node
    from peers.stores.store import StoreError

    try:
        code = run_up(
            lambda: Node(home=home, on_recovery_code=code_shower(as_json), **given.of_node),
            Reloading(given, partial(read_again, context)),
            as_json=as_json,
            log_level=log_level,
            log_as_json=log_format == "json",
        )
    except StoreError as error:
        raise MeshError(str(error)) from None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    raise Exit(code)


@click.command()
@click.argument("events", nargs=-1, required=True, metavar="JSON...")
@click.option("--key", metavar="KEY", help="Makes it safe to repeat: a known key prints the line of its first event.")
@click.option("--key-field", metavar="FIELD", help="The same for many: the field of each event that has its key.")
@click.pass_context
def add(context: click.Context, events: tuple[str, ...], *, key: str | None, key_field: str | None) -> None:
    """Add events: JSON objects with a `type`. Each prints a line once it is on disk.

    The exit code is 0 if all are on disk, even if these lines could not be printed.

    \b
    JSON...  Events, or - for one per line of standard input.

    \b
    mesh add '{"type": "milk", "litres": 2}'
    mesh add '{"type": "sale", "cents": 1250}' --key sale-17
    mesh add - < events.jsonl
    """
    if "-" in events and len(events) > 1:
        raise click.BadParameter("- stands alone: give events as arguments, or on standard input")
    if key is not None and (events == ("-",) or len(events) > 1 or key_field is not None):
        raise click.BadParameter(
            "--key is for one event: for more give --key-field, the field that has the key of each"
        )
    from mesh.cli.add import add_events

    raise Exit(add_events(options.home_of(context), events, key=key, key_field=key_field))


@click.command()
@options.as_json
@click.pass_context
def peers(context: click.Context, *, as_json: bool) -> None:
    """List the other nodes of the mesh.

    `behind` counts the events that a node lacks, also those that were cleaned here meanwhile. `mesh help json` says what
    the states mean.

    \b
    mesh peers
    mesh peers --json
    """
    from mesh.terminal.tables import show_peers

    with options.node_of(context) as node:
        rows = node.status()["peers"]
    output.write_shown(rows, show_peers, as_json=as_json)


@click.command()
@options.as_json
@click.option("--mesh", "of_mesh", is_flag=True, help="Show all nodes of the mesh, as this one knows them.")
@click.pass_context
def status(context: click.Context, *, as_json: bool, of_mesh: bool) -> None:
    """Show how this machine's node is doing, or the whole mesh.

    \b
    mesh status
    mesh status --json
    mesh status --mesh
    """
    with options.node_of(context) as node:
        shown = node.status()
    if of_mesh:
        from mesh.cli.watch.mesh_table import show_mesh

        output.write_shown(mesh_nodes(shown), show_mesh, as_json=as_json)
    else:
        from mesh.terminal.tables import show_status

        output.write_shown(shown, show_status, as_json=as_json)


@click.command()
@click.pass_context
def stop(context: click.Context) -> None:
    """Stop this machine's node; it has stopped when this returns.

    \b
    mesh stop
    """
    with options.node_of(context) as node:
        node.stop()


@click.command()
@click.pass_context
def reload(context: click.Context) -> None:
    """Let this machine's node read `mesh.toml` again, and say what it takes over. SIGHUP does so, too.

    Taken over are `peer`, most limits, and the files of the certificate of the clients' door. The rest is named, and waits for
    the next start.

    \b
    mesh reload
    """
    with options.node_of(context) as node:
        for line in node.reload():
            output.write(f"{line}\n")


@click.command()
@click.pass_context
def retry(context: click.Context) -> None:
    """Start again what the node has paused or what was refused.

    \b
    mesh retry
    """
    with options.node_of(context) as node:
        node.retry()


COMMANDS = (
    *(up, config, add, log, show, peers, status, top, doctor, stop, reload, retry, wait, peer, token),
    *(found, invite, join, recover, members, facts, revoke, leave),
    *(backup, restore, export, import_, verify, upgrade, service, bench, scenario, show_help),
)
for command in COMMANDS:
    app.add_command(command)
