"""ClientVerbs: what a Cluster can do to the Logux clients of its house, and when it is content with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mesh.lab.checks.checker import Checker
from mesh.lab.cluster.arguments import name_of, nobody
from mesh.lab.cluster.client import Client
from mesh.lab.cluster.room import Room
from mesh.lab.recording.timeline import Timeline
from mesh.lab.simulation.network import SimNetwork
from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.later import Later

Protocol = int | Sequence[int] | str | None
"""(0, 1) or "0.1", 5 or 7; None finds out what is spoken at the other end."""


class ClientVerbs:
    """The verbs about clients. ClientVerbs are given themselves or by name; they are crashed and restarted as rooms are."""

    seed: int
    loop: VirtualLoop
    rooms: dict[str, Room]
    clients: dict[str, Client]
    checker: Checker
    _network: SimNetwork
    _diary: Timeline | None

    def _wait_all(self, laters: Sequence[Later[Any]], what: str) -> None:
        raise NotImplementedError

    def _say(self, text: str, *, is_beat: bool = False) -> None:
        raise NotImplementedError

    def client(self, name: str, *, to: str, protocol: Protocol = None, **options: Any) -> Client:
        """A Logux client that dials `to`, a `room:port` where `serve=` put a role for it, again after each loss.

        `serve={5_000: clients_door}` is the door of a real node. `protocol` is (0, 1), 5 or 7; None finds out what is spoken
        there. `options` are those of ClientSync.
        """
        if name in self.rooms or name in self.clients:
            raise ValueError(f"there is a {name} already: choose another name")
        spoken = read_protocol(name, protocol)
        self._check_address(f"client {name}", to)
        place = self.seed, self.loop, self._network
        said = self.checker.on_confirmed
        client = Client(name, *place, to=to, protocol=spoken, on_confirmed=said, **options)
        self.clients[name] = client
        opened = client.begin()
        self._wait_all([opened], f"client {name} of {to}")
        if self._diary is not None:
            self._diary.on_client(client, opened.result())
        return client

    def move(self, client: Client | str, *, to: str) -> None:
        """Let a client dial another `room:port`, with the marks that it has: only a clients' door knows what they are worth."""
        name = name_of(client)
        if name not in self.clients:
            raise ValueError(f"move: there is no client {name}; the clients are {', '.join(self.clients) or 'none'}")
        moved = self.clients[name]
        self._check_address(f"move {name}", to)
        self._say(f"move {moved.name} to {to}")
        moved.move(to)

    def _check_address(self, what: str, to: str) -> None:
        room, _, port = to.partition(":")
        if not port.isdigit():
            raise ValueError(f"{what}: {to!r} is not an address: write room:port, the port one that the room serves")
        if room not in self.rooms:
            raise nobody(room, self.rooms)

    def _are_clients_settled(self) -> bool:
        """Whether each that can talk to its room is quiet and has what that room shows."""
        return all(client.is_quiet and client.shows_all_of(room) for client, room in self._talking_clients())

    def _client_faults(self) -> list[str]:
        """What they and their rooms do not agree about."""
        rooms, ledger = self.rooms.values(), self.checker.ledger
        return [fault for client, room in self._talking_clients() for fault in client.faults(room, rooms, ledger)]

    def _talking_clients(self) -> list[tuple[Client, Room]]:
        """Each client that can talk to its room, with that room."""
        pairs = [(client, self.rooms[client.to]) for client in self.clients.values() if client.is_running]
        return [(one, room) for one, room in pairs if room.is_running and self._network.is_open(one.name, room.name)]

    def _hang_up(self) -> None:
        for client in self.clients.values():
            client.end()


def read_protocol(client: str, protocol: Protocol) -> int | tuple[int, int] | None:
    """As a ClientSync takes it. Raises ValueError if it is none of them."""
    if protocol is None or protocol in (5, 7):
        return protocol
    if protocol == "0.1" or (isinstance(protocol, Sequence) and list(protocol) == [0, 1]):
        return (0, 1)
    raise ValueError(f"client {client}: {protocol!r} is no protocol of Logux here: choose (0, 1), 5, 7 or None")
