"""DialBack: dials the other end of a link, which asked whether its port can be reached."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mesh.actors.environment import Environment
from peers.codec.run_messages import MAX_WHY, Reached
from peers.roles.run_peer import RunPeerSync
from peers.transport.port import Connection


class DialBack:
    """Fulfils the requests of the link of one session, as far as DialBacks allows them.

    Where nodes prove their keys, only an answer of the node that asked counts. Nothing is sent over the connection.
    """

    def __init__(self, environment: Environment, turn: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
        """`turn` lets a function run in a turn of the session."""
        self._environment = environment
        self._turn = turn
        self._connection: Connection | None = None

    def begin(self, role: RunPeerSync, port: int) -> None:
        """The other end of this link asks to be dialled at `port`: it gets the answer when that succeeded or failed."""
        self.close()  # of an earlier link
        environment, link = self._environment, role.connection
        address, why = environment.dial_backs.begin(
            link.address, port, environment.now_seconds(), was_dialled=link.dialled
        )
        if why:
            role.answer_reach(Reached(why, was_dialled=False))
            return
        answer = self._turn(partial(self._answer, role, role.connection_id))
        try:
            connection = self._connection = environment.network.dial(address, node_id=role.other_node_id or "")
            connection.on("connect", answer)
            connection.on("disconnect", answer)
            connection.connect()
        except (ValueError, RuntimeError) as error:  # no address of this network, or the network is closed
            self._connection = None
            environment.dial_backs.end()
            role.answer_reach(Reached(str(error)[:MAX_WHY], was_dialled=False))

    def close(self) -> None:
        """Give up what is under way."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._environment.dial_backs.end()
            connection.disconnect()

    def _answer(self, role: RunPeerSync, connection_id: str, why: str = "") -> None:
        if self._connection is None:
            return
        self.close()
        if role.connection_id == connection_id:
            role.answer_reach(Reached(why[:MAX_WHY]))
