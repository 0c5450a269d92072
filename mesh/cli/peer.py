"""`mesh wait`, and `mesh peer` for addresses that are dialled whether discovery finds them or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mesh.cli import options
from mesh.errors import MeshError
from mesh.settings.config import MAX_WAIT_PEERS, MAX_WAIT_SECONDS, WAIT_SECONDS, parse_address
from mesh.terminal import output

if TYPE_CHECKING:
    from mesh.settings.kept_peers import KeptPeers


@click.command()
@click.option(
    "--peers",
    type=options.WholeNumber(1, MAX_WAIT_PEERS),
    default=1,
    show_default=True,
    metavar="N",
    help="The least number of other nodes.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=options.Number(0.001, MAX_WAIT_SECONDS),
    default=WAIT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="The longest time to wait.",
)
@click.pass_context
def wait(context: click.Context, *, peers: int, timeout_seconds: float) -> None:
    """Wait until the connected nodes have the same events.

    This node then has the events that each of them had at the call, and each of them has those of this node. When the time is
    up, it fails and names the nodes that are missing or behind, and by how much.

    \b
    mesh wait
    mesh wait --peers 2 --timeout 10
    """
    with options.node_of(context) as node:
        node.wait(peers, timeout_seconds)


address_argument = click.argument(
    "address", metavar="HOST:PORT", callback=options.checked(partial(parse_address, is_dialled=True), "the peer")
)


@click.group(cls=options.Group)
def peer() -> None:
    """Add, remove and list addresses to dial.

    The node dials them whether discovery finds them or not, like those of `mesh up --peer`.

    \b
    mesh peer add 192.168.1.7:30307
    mesh peer list
    mesh peer remove 192.168.1.7:30307

    They are kept in the home. A change takes effect at once if the node runs.
    """


@peer.command("add")
@address_argument
@click.pass_context
def add_peer(context: click.Context, *, address: str) -> None:
    """Dial another node at HOST:PORT from now on, also after each start.

    \b
    mesh peer add 192.168.1.7:30307
    """
    home = options.home_of(context)
    if not _ask(home, lambda client: client.change_peer(address, True)):
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise MeshError(f"cannot make {home}: {error.strerror or error}; choose another --home") from None
        with _idle(home) as kept:
            kept.add(address)


@peer.command("remove")
@address_argument
@click.pass_context
def remove_peer(context: click.Context, *, address: str) -> None:
    """Dial HOST:PORT no longer.

    A connection to this address ends, unless discovery finds the other node too.

    \b
    mesh peer remove 192.168.1.7:30307
    """
    home = options.home_of(context)
    if not _ask(home, lambda client: client.change_peer(address, False)):
        with _idle(home) as kept:
            kept.remove(address)


@peer.command("list")
@options.as_json
@click.pass_context
def list_peers(context: click.Context, *, as_json: bool) -> None:
    """List the addresses, and where each comes from.

    With the node that answered there.

    \b
    mesh peer list
    mesh peer list --json
    """
    from mesh.settings.kept_peers import KeptPeers

    home = options.home_of(context)
    rows: list[dict[str, str | None]] = []
    if not _ask(home, lambda client: rows.extend(client.static_peers())):
        rows = KeptPeers(home).rows({})
    output.write_shown(rows, _table_of, as_json=as_json)


def _ask(home: Path, request: Callable[[Any], None]) -> bool:
    """Send a request to the node that runs in `home`. False if none runs. Raises MeshError."""
    from mesh.settings.home_lock import is_locked

    if not is_locked(home):
        return False
    from mesh.control.client import ControlClient

    with ControlClient(home) as client:
        request(client)
    return True


@contextmanager
def _idle(home: Path) -> Iterator[KeptPeers]:
    """The peers of a home in which no node runs; the home is locked meanwhile. Raises MeshError."""
    from mesh.settings.home_lock import release, take
    from mesh.settings.kept_peers import KeptPeers

    if not home.is_dir():
        raise MeshError(f"there is no home in {home}: correct --home")
    lock = take(home)
    try:
        yield KeptPeers(home)
    finally:
        release(lock)


def _table_of(rows: list[dict[str, str | None]]) -> str:
    from mesh.terminal.tables import table, tables

    if not rows:
        return "no address is dialled but those that discovery finds\n"
    cells = [(row["address"] or "", row["source"] or "", row["node_id"] or "-") for row in rows]
    return tables([table(("address", "from", "node"), cells)])
