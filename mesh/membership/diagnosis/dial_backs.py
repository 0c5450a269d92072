"""DialBacks: which requests of other nodes to be dialled are fulfilled, so that none makes this one dial anybody else."""

from __future__ import annotations

from peers.transport.address import UNKNOWN_KEY, address_key

MAX_AT_ONCE = 4
"""Dials for others at the same time."""
PAUSE_SECONDS = 5.0
"""Between two for one address."""
MAX_DIALLED_BACK = 256
"""That are remembered; if more ask within PAUSE_SECONDS, further ones are refused."""
FIRST_PORT = 1024
"""Lower ones belong to the system: where the address is that of a router, behind which the node is, to other programs."""


class DialBacks:
    """A node is dialled at the address of its own link alone, and at a port at which a node may listen.

    Where we dialled it, that is the port that we dialled: another one of that address may belong to another machine.
    """

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        """When each address was dialled last."""
        self._open = 0

    def begin(self, address: str, port: int, now_seconds: float, *, was_dialled: bool) -> tuple[str, str]:
        """Another node asks to be dialled at `port`; its link has this `address`, and we dialled it or not.

        Returns the address to dial and "", then `end` must follow; or "" and why it is not dialled.
        """
        host, _, its_port = address.rpartition(":")
        if was_dialled and its_port != str(port):
            return "", f"it dials port {its_port} here, and was asked about port {port}"
        if port < FIRST_PORT and not was_dialled:
            return "", f"it dials no port below {FIRST_PORT} on request"
        key = address_key(address)
        who = host if key == UNKNOWN_KEY else key
        self._last = {each: at for each, at in self._last.items() if now_seconds - at < PAUSE_SECONDS}
        if who in self._last:
            return "", f"it has dialled this address less than {PAUSE_SECONDS:.0f} s before"
        if self._open >= MAX_AT_ONCE or len(self._last) >= MAX_DIALLED_BACK:
            return "", "too many nodes ask it at once"
        self._last[who] = now_seconds
        self._open += 1
        return f"{host}:{port}", ""

    def end(self) -> None:
        """A dial has ended."""
        self._open -= 1
