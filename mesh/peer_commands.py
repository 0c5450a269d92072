"""The commands about other nodes: `mesh wait`."""

from __future__ import annotations

import click

from mesh import options
from mesh.config import MAX_WAIT_PEERS, MAX_WAIT_SECONDS, WAIT_SECONDS


@click.command()
@click.option(
    "--peers",
    type=options.WholeNumber(1, MAX_WAIT_PEERS),
    default=1,
    show_default=True,
    metavar="N",
    help="How many other nodes have to be connected, at least.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=options.Number(0.001, MAX_WAIT_SECONDS),
    default=WAIT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait.",
)
@click.pass_context
def wait(context: click.Context, *, peers: int, timeout_seconds: float) -> None:
    """Wait until everything is here: this node and all that are connected hold what each of them held at the call.

    It fails with who is missing or behind, and by how much, when the time is up.

    \b
    mesh wait
    mesh wait --peers 2 --timeout 10
    """
    from mesh.control_client import ControlClient

    with ControlClient(options.home_of(context)) as client:
        client.wait(peers, timeout_seconds)
