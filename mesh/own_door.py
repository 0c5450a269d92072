"""Where a node listens for others, and what is said of it."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from random import Random

from mesh.actors.role_supervisor import DoorError
from mesh.client_door import CLIENTS_DOOR
from mesh.config import EVERY_ADDRESS
from mesh.ports import choose_ports, first_ephemeral, ports_instead
from peers.connections.address import show_listening


def where_to_listen(listen: tuple[str, int] | None, kept: int, random: Random) -> tuple[str, tuple[int, ...]]:
    """The host and the ports to try: as the options say, else the port that the home has `kept`, or if that is 0 a new one."""
    if listen is not None:
        return listen[0], (listen[1],)
    first = first_ephemeral()
    return EVERY_ADDRESS, (kept, *ports_instead(kept, first)) if kept else choose_ports(random, first)


def moved(kept: int, port: int) -> str:
    """What is said when the kept port was taken."""
    return (
        f"port {kept}, which this node keeps, is in use on this machine: it listens on port {port} this time; where others "
        f"need {kept} (--peer, a firewall), stop the program that uses it and start this node again"
    )


def unreachable_from_outside(hosts: Sequence[str]) -> str:
    """What is said when only this machine reaches the node."""
    return (
        f"listens on {' and '.join(hosts)} alone: other machines cannot reach it and are not told of it, it still dials "
        "them; to be reached, leave --listen out, or give --listen :PORT"
    )


def why_not_listening(failed: DoorError) -> str:
    """What is said when a door cannot be opened."""
    error, host = failed.error, failed.host
    where = show_listening(host, failed.port) if host else f"port {failed.port}"
    option = {"": "--listen", CLIENTS_DOOR: "--clients"}.get(failed.name, "serve")
    if error.errno == errno.EADDRINUSE:
        other = show_listening(host, "PORT")
        return f"{where} is in use on this machine: stop the program that uses it, or choose another port with {option} {other}"
    return f"cannot listen on {where}: {error.strerror or error}; choose another address with {option} HOST:PORT"
