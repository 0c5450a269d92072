"""ClientSync and ServerSync in each dialect of Logux: facing each other, or one of them facing a script."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from peers.later import Later
from peers.roles.client import ClientSync
from peers.roles.server import ServerSync
from tests.support.pair import NOW_MS, Pair, PairLog, Stranger

PROTOCOLS: dict[str, Any] = {"0.1": (0, 1), "5": 5, "7": 7}
NEWER: dict[str, Any] = {"5": 5, "7": 7}

every_dialect = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
newer_dialects = pytest.mark.parametrize("protocol", NEWER.values(), ids=NEWER)


def logux(
    protocol: Any = (0, 1), *, left: dict[str, Any] | None = None, right: dict[str, Any] | None = None, **both: Any
) -> Pair:
    """A client on the left and a server on the right; their errors are collected."""
    return Pair(ClientSync, ServerSync, left={"protocol": protocol, **(left or {})}, right=right, **both).catch()


def meet_again(pair: Pair, log: PairLog | None = None, **options: Any) -> Pair:
    """A new link to a server on the right, which from now on makes a new role for each connection."""
    if pair.left.connected:
        pair.cut()
    pair.forget()
    pair.serve(ServerSync, log=log or pair.right.log, **{"node_id": "right", **options})
    return pair.connect()


def client(protocol: Any = (0, 1), **options: Any) -> Stranger:
    """A client that has said `connect` to a script."""
    return Stranger(ClientSync, dials=False, protocol=protocol, **options)


def met_client(protocol: Any = (0, 1), *, connected: dict[str, Any] | None = None, **options: Any) -> Stranger:
    """A client that was accepted by a script with the node id `server`."""
    stranger = client(protocol, **options)
    more = () if connected is None else (connected,)
    stranger.say("connected", version(protocol), "server", [NOW_MS, NOW_MS], *more)
    stranger.heard.clear()
    return stranger


def server(**options: Any) -> Stranger:
    """A server to which a script has opened a connection."""
    return Stranger(ServerSync, **options)


def met_server(protocol: Any = (0, 1), *, synced: int = 0, **options: Any) -> Stranger:
    """A server that has accepted a script with the node id `client`."""
    stranger = server(**options).say("connect", version(protocol), "client", synced)
    stranger.heard.clear()
    return stranger


def version(protocol: Any) -> Any:
    """The version in its form on the wire."""
    return protocol if isinstance(protocol, int) else list(protocol)


def event(protocol: Any, ms: int, node_id: str = "client", type_: str = "a") -> tuple[Any, Any]:
    """An event that `node_id` created `ms` after NOW_MS, and what stands beside it in a `sync`."""
    if protocol == 5:
        return {"type": type_}, {"id": [ms, node_id, 0], "time": ms}
    if protocol == 7:
        return {"type": type_}, {"id": f"3oF{'-0123456789'[ms]} {node_id}", "time": ms}
    return {"type": type_}, [NOW_MS + ms, node_id, 0]


def names(messages: list[Any]) -> list[str]:
    return [message[0] for message in messages]


class Asked:
    """A callback that answers when the test does."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answers: list[Later[Any]] = []

    def __call__(self, *args: Any) -> Later[Any]:
        self.calls.append(args)
        self.answers.append(Later())
        return self.answers[-1]

    def answer(self, value: Any) -> None:
        """Answer the oldest question."""
        self.answers.pop(0).set(value)

    def fail(self, error: Exception) -> None:
        self.answers.pop(0).fail(error)


def spawn_at_once(work: Coroutine[Any, Any, Any]) -> Later[Any]:
    """Runs a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as stop:
        return Later.done(stop.value)
    except Exception as error:  # noqa: BLE001 - it is the result
        return Later.failed(error)
    raise AssertionError("it waits for something")


def spawn_for_ever(work: Coroutine[Any, Any, Any]) -> Later[Any]:
    """Never answers, as for a coroutine that waits for ever."""
    work.close()
    return Later()
