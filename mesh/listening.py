"""The address and port at which a node listens for others, and the notices about them."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from random import Random
from typing import Literal

from mesh.actors.listener import ListenAddress, ListenError
from mesh.errors import MeshError
from mesh.gateway.endpoints import CLIENTS_DOOR
from mesh.membership.actions import Notice
from mesh.settings.config import EVERY_ADDRESS, ONLY_HERE
from mesh.settings.ports import PATIENCE_SECONDS, choose_ports, first_ephemeral, ports_instead
from peers.limits import Limits
from peers.transport.accepting.door import Door
from peers.transport.accepting.listening_socket import open_listening_sockets
from peers.transport.address import is_loopback, show_listening

Open = bool | Literal["lan"]
"""Whether a node takes any other without certificates: not, on this machine alone, or on all networks."""


def check_open(is_open: Open, listen: tuple[str, int] | None, interfaces: Sequence[str] | None) -> None:
    """Raise MeshError, with a sentence, for options of a node that do not fit `open=`, or for another value of that."""
    if is_open not in (False, True, "lan"):
        raise MeshError(f"open={is_open!r} cannot be used: take True, 'lan' or False")
    hosts = [*(interfaces or ()), *([listen[0]] if listen is not None else ())]
    if is_open is True and not all(map(is_loopback, hosts)):
        raise MeshError(
            "an open node takes all that reach it, so it stays on this machine: leave --listen and --interface out (or "
            "listen at 127.0.0.1:PORT), or allow it on all networks with --open=lan"
        )


def where_to_listen(
    listen: tuple[str, int] | None, kept: int, random: Random, is_open: Open
) -> tuple[str, tuple[int, ...], float]:
    """The host, the ports to try in this order, and for how many seconds only the first one is tried.

    They are as the option `listen` gives them, else the port that the home has `kept`, or if that is 0 a new one.
    """
    host = ONLY_HERE if is_open is True else EVERY_ADDRESS
    if listen is not None:
        return listen[0], (listen[1],), 0.0
    first = first_ephemeral()
    if not kept:
        return host, choose_ports(random, first), 0.0
    return host, (kept, *ports_instead(kept, first)), PATIENCE_SECONDS


async def check_free(listen: tuple[str, int] | None) -> None:
    """Raise MeshError if a port that `listen` chooses cannot be opened: asked before a home is made, which would stay."""
    host, port = listen or (EVERY_ADDRESS, 0)
    if not port:
        return
    loop = asyncio.get_running_loop()
    try:
        sockets = await open_listening_sockets(loop, host, port, door=Door(loop, Limits(), lambda *_: None, ()))
    except OSError as error:
        raise MeshError(why_not_listening(ListenError("", host, port, error))) from None
    for one in sockets:
        one.close()


def listen_notices(address: ListenAddress, kept: int, is_open: Open, *, is_mdns_on: bool) -> list[Notice]:
    """The notices about where the node listens. `kept` is the port that it should have; 0: any."""
    notices = [Notice("note", None, _moved(kept, address.port))] if kept and address.port != kept else []
    if is_mdns_on and is_open is not True and all(map(is_loopback, address.hosts)):
        notices.append(Notice("listening", None, _unreachable_from_outside(address.hosts)))
    return notices


def _moved(kept: int, port: int) -> str:
    return (
        f"port {kept}, which this node keeps, is in use on this machine: it listens on port {port} this time; where others "
        f"need {kept} (--peer, a firewall), stop the program that uses it and start this node again"
    )


def _unreachable_from_outside(hosts: Sequence[str]) -> str:
    return (
        f"listens on {' and '.join(hosts)} alone: other machines cannot reach it and do not find it, it still dials "
        "them; to be reached, leave --listen out, or give --listen :PORT"
    )


def why_not_listening(failed: ListenError) -> str:
    """The sentence for a listening socket that cannot be opened."""
    error, host = failed.error, failed.host
    where = show_listening(host, failed.port) if host else f"port {failed.port}"
    option = {"": "--listen", CLIENTS_DOOR: "--clients"}.get(failed.name, "serve")
    if error.errno == errno.EADDRINUSE:
        other = show_listening(host, "PORT")
        return f"{where} is in use on this machine: stop the program that uses it, or choose another port with {option} {other}"
    return f"cannot listen on {where}: {error.strerror or error}; choose another address with {option} HOST:PORT"
