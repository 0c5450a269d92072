"""What plain sockets need: a door at every address of this machine, and a few words for what went wrong."""

from __future__ import annotations

import errno
import re
import socket

from peers.connections.address import MAX_PORT

NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EHOSTDOWN}
RESET = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}


def every_address(port: int) -> socket.socket:
    """A listening socket for IPv4 and IPv6 with one port. Raises OSError if the port is taken."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in NO_ROUTE:
                raise  # the port is taken; otherwise IPv6 is built in but switched off
    return socket.create_server(("", port))


def check_port(port: int) -> None:
    """Raise ValueError unless one can listen on `port`."""
    if not 0 <= port <= MAX_PORT:
        raise ValueError(f"{port} is not a port: take one from 1 to {MAX_PORT}, or 0 for any free one")


def explain_os_error(error: OSError) -> str:
    """In a few words, why a socket did not open, or why it is lost."""
    if isinstance(error, socket.gaierror):
        return "no address known"
    number = error.errno
    if number is None:  # asyncio tried several addresses and joined the sentences
        found = re.search(r"\[Errno (\d+)\]", str(error))
        number = int(found[1]) if found else 0
    if number == errno.ECONNREFUSED:
        return "refused"
    if number in NO_ROUTE:
        return "no route"
    if number in RESET or isinstance(error, ConnectionError):
        return "reset"
    return error.strerror or str(error) or type(error).__name__
