"""GatewayOptions: the options of a node for sessions with others than nodes. They are listed here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from mesh.errors import MeshError, did_you_mean

if TYPE_CHECKING:  # the command line loads this module, and not the roles
    from mesh.gateway.clients.channels import Load
    from mesh.gateway.clients.guard import Auth
    from mesh.gateway.clients.role import Hook
    from mesh.gateway.clients.undoing import MayUndo
    from mesh.gateway.endpoints import MakeGatewayRole


SECURE_DOOR = (
    "give --clients-cert and --clients-key of a certificate that browsers trust (they do not trust those of the mesh)"
)
"""The remedy for a clients' door that is open to other machines without TLS."""

FUNCTIONS = ("auth", "in_filter", "in_map", "out_filter", "out_map", "may_undo")
"""Options for the clients' port that are one function each."""


def listed(given: str | Sequence[str]) -> tuple[str, ...]:
    """The value of an option that takes a list of text: a str is one item."""
    return (given,) if isinstance(given, str) else tuple(given)


def check_names(given: Iterable[str], of_node: Iterable[str]) -> None:
    """Raise TypeError for a keyword argument of Node that is none of its own and none of GatewayOptions."""
    for name in given:
        if name not in GatewayOptions.__annotations__:
            near = did_you_mean(name, [*of_node, *GatewayOptions.__annotations__])
            raise TypeError(f"Node() got an unexpected keyword argument {name!r}{near}")


def check_clients(options: GatewayOptions) -> None:
    """Raise MeshError for options that nothing would ever use, because `clients` was left out; None is an answer."""
    given: Mapping[str, object] = options
    alone = [f"`{name}`" for name in (*FUNCTIONS, "channels", "clients_role") if given.get(name) is not None]
    if alone and "clients" not in given:
        raise MeshError(
            f"{' and '.join(alone)}: only the port for clients uses that, and `clients` is not given: take "
            'clients="127.0.0.1:8080", or clients=None if there should be no such port'
        )


class GatewayOptions(TypedDict, total=False):
    """Keyword arguments of Node; all may be left out. `mesh up` has most of them as options: `clients_cert` is --clients-cert.
    Where a list of text is taken, a str is one item.

    Node raises MeshError, with a sentence, for values that cannot be used, and TypeError for a name that is not listed here.

        Node("kitchen", clients="127.0.0.1:8080", out_filter=lambda event, meta, user: event.get("to", user) == user)
        Node("kitchen", metrics="127.0.0.1:9464")
        Node("kitchen", upstream="wss://logux.example", upstream_user="10", upstream_token="secret")
        Node("kitchen", serve={":5000": WavingSync}, dial={"192.168.1.7:5000": WavingSync})
    """

    clients: str | None
    """HOST:PORT at which Logux clients and browsers connect; port 0 takes a free one. None: no such port is opened. With
    `auth`, `channels` and the other functions for clients it has to be given, if only as None."""
    metrics: str | None
    """HOST:PORT at which programs that watch the node ask for `/metrics`, `/healthz` and `/readyz`, and for nothing else; port
    0 takes a free one. The port for clients has them too. From other machines each request needs a token of `mesh token`, and
    what holds for TLS at the port for clients holds here. None: no such port is opened."""
    clients_cert: str | Path | None
    """PEM file with the certificate and its chain; with `clients_key`, the port speaks TLS."""
    clients_key: str | Path | None
    """PEM file with the private key of the certificate, not encrypted."""
    clients_insecure: bool
    """Open the port to other machines without TLS: tokens can be read on their way then. Without it that is refused."""
    clients_origins: str | Sequence[str]
    """Origins of other sites whose pages may connect, as `https://app.example`; `*` for any, `null` for sandboxed pages."""
    clients_hosts: str | Sequence[str]
    """Further names or addresses of this machine, without a port, by which browsers reach it."""
    auth: Auth | None
    """(user, token) -> bool: whether a client is let in whose token is none of `mesh token`, so that one secret or one key of
    JSON web tokens serves the doors of all nodes. A plain function must not block, a coroutine function has AUTH_SECONDS. What
    it raises is logged, and refuses the client for now, as does a value that is no bool. The token is text, empty if there is
    none. A client that was let in stays until its connection ends."""
    channels: Mapping[str, Load] | None
    """`{"stock/:item": load}`: what clients may subscribe to. `load(user, params)` returns the list of events that a client
    gets first, which are sent and not stored, or raises Denied; `params` has the parts of the channel, `{"item": "apple"}`.
    Then it gets the events whose `meta["channels"]`, a list of text, names the channel, if they were stored after `load` was
    called. Once this is given, an event without channels goes to the clients of the user who wrote it, and to no others.

    `load` returns the whole state, also to a client that was here before, of 8 MiB at most. It may be a coroutine function,
    which has 30 s. What else it raises is logged, and undoes the subscription. If it reads a view, it first waits for
    `view.after(node.log.last_added)`. A client cannot set the channels of its events: `in_map` does."""
    may_undo: MayUndo | None
    """(user, event, meta) -> bool: whether a client may undo that event; None: what its own user wrote, which is also the rule
    for an event that is not known here. It may be a coroutine function. It is asked once, at the node that takes the undo,
    which then counts on every node; a refused one is answered `denied`, and not stored."""
    clients_role: MakeGatewayRole
    """ClientGatewaySync, or a subclass of it."""
    in_filter: Hook | None
    """(event, meta, user) -> bool: whether an event of a client is taken. All four may be coroutine functions."""
    in_map: Hook | None
    """(event, meta, user) -> (event, meta): what is taken in place of an event of a client."""
    out_filter: Hook | None
    """(event, meta, user) -> bool: whether an event is sent to the clients of a user."""
    out_map: Hook | None
    """(event, meta, user) -> (event, meta): what is sent to the clients of a user in place of an event."""

    upstream: str | None
    """ws:// or wss:// URL of a Logux server that this node is a client of. Give it to one node of a mesh only."""
    upstream_user: str | None
    """The user id at that server; None: the node speaks under its own node id there."""
    upstream_token: str | None
    """The token to show there."""
    upstream_channels: str | Sequence[str]
    """Channels to subscribe to: a @logux/server sends nothing else."""
    upstream_subprotocol: int | str
    """The version of the application's events there, as 1 or "1.0.0"; 0 if it is left out."""
    upstream_role: MakeGatewayRole
    """UpstreamSync, or a subclass of it."""

    serve: Mapping[str, MakeGatewayRole]
    """HOST:PORT -> a subclass of BaseSync: a session with this role for each connection that is accepted there."""
    dial: Mapping[str, MakeGatewayRole]
    """URL or HOST:PORT -> a subclass of BaseSync: one session with this role, dialled again after each loss."""
