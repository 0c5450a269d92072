"""A server in place of a node: the page, the status, and protocol 5 of Logux over a log in memory."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from mesh.gateway.clients.page import PAGE_FILES, SECURITY_HEADERS

Created = tuple[int, str, int]
EVENTS_PER_MESSAGE = 500
OPEN_SECONDS = 10.0
"""How long a connection may stay silent: browsers open some in advance. On a busy machine the request may come late, and one
that fails leaves an empty page."""


@dataclass
class Client:
    """One connection past its handshake."""

    connection: ServerConnection
    node_id: str
    base_time: int
    known: set[Created] = field(default_factory=set)
    sent: int = 0

    def send(self, message: list[Any]) -> None:
        with contextlib.suppress(ConnectionClosed):
            self.connection.send(json.dumps(message))


class StandIn:
    """A node called kitchen on 127.0.0.1. It may be stopped and started again: port and log stay."""

    node_id = "kitchen~7f3q2x5a"

    def __init__(self, tokens: dict[str, str], peers: list[dict[str, Any]] | None = None) -> None:
        self.tokens = tokens
        self.peers = peers or []
        self.log: list[tuple[dict[str, Any], Created, int]] = []
        self.undone: set[str] = set()
        """The ids of events that are undone: MS NODE N."""
        self.syncs: list[Created] = []
        """The `created` of each event that clients sent, with repetitions."""
        self.received: list[list[Any]] = []
        """All messages of clients but `sync`."""
        self.asked: list[str] = []
        """The queries of all requests for pages of events."""
        self.discovery: dict[str, Any] | None = None
        """The row about discovery in the status; None: none, as of a node of an older release."""
        self.mesh_nodes: list[dict[str, Any]] | None = None
        """What the status says of the whole mesh; None: nothing, as a node of an older release."""
        self.answers_syncs = True
        self.answers_pings = True
        self.skew_ms = 0
        """How far the clock of this node is ahead of the browser's."""
        self.port = 0
        self._clients: list[Client] = []
        self._lock = threading.RLock()
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def types(self) -> list[str]:
        return [event["type"] for event, _, _ in self.log]

    def now_ms(self) -> int:
        return int(time.time() * 1000) + self.skew_ms

    def start(self) -> None:
        self._server = serve(
            self._serve_client,
            "127.0.0.1",
            self.port,
            process_request=self._answer,
            open_timeout=OPEN_SECONDS,
            close_timeout=1,
            compression=None,
        )
        self.port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server = None

    def add(self, event: dict[str, Any], *, ago_ms: int = 0, node_id: str | None = None, n: int = 0) -> None:
        """Add an event of this node, or of another one."""
        ms = self.now_ms() - ago_ms
        self._take(event, (ms, node_id or self.node_id, n), ms)

    def forward(self) -> None:
        """Send each client the events that it lacks, in the order of the log, EVENTS_PER_MESSAGE events a message."""
        with self._lock:
            for client in self._clients:
                while client.sent < len(self.log):
                    page = self.log[client.sent : client.sent + EVENTS_PER_MESSAGE]
                    client.sent += len(page)
                    items = [item for entry in page if entry[1] not in client.known for item in _wire(entry, client)]
                    if items:
                        client.send(["sync", client.sent, *items])

    def send_all(self, message: list[Any]) -> None:
        """Send a message to every client."""
        with self._lock:
            for client in self._clients:
                client.send(message)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        path, _, query = request.path.partition("?")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        if path in ("/status", "/events"):
            user, _, token = request.headers.get("Authorization", "").removeprefix("Bearer ").partition(":")
            if self.tokens.get(user) != token:
                return _response(HTTPStatus.UNAUTHORIZED, "text/plain", b"unknown user or wrong token\n")
            answer = self._status() if path == "/status" else self._page(query)
            return _response(HTTPStatus.OK, "application/json", json.dumps(answer).encode())
        file = PAGE_FILES.get(path)
        if file is None:
            return _response(HTTPStatus.NOT_FOUND, "text/plain", b"there is no such page\n")
        return _response(HTTPStatus.OK, file.content_type, file.body)

    def _status(self) -> dict[str, Any]:
        with self._lock:
            clients = [
                {"node_id": c.node_id, "user": c.node_id.partition(":")[0], "state": "synchronized"}
                for c in self._clients
            ]
            return {
                "node_id": self.node_id,
                "mesh": "home",
                "events": len(self.log),
                "last_added": len(self.log),
                "port": self.port,
                "peers": self.peers,
                "sessions": [],
                "clients": clients,
                **({} if self.discovery is None else {"discovery": self.discovery}),
                **({} if self.mesh_nodes is None else {"mesh_nodes": self.mesh_nodes}),
            }

    def _page(self, query: str) -> dict[str, Any]:
        """A page of the log; of a search it knows the type alone."""
        self.asked.append(query)
        given = dict(parse_qsl(query))
        with self._lock:
            known = sorted((time_ms, created, n + 1, event) for n, (event, created, time_ms) in enumerate(self.log))
        if "id" in given:
            known = [row for row in known if "{} {} {}".format(*row[1]) == given["id"]]
        if "type" in given:
            known = [row for row in known if row[3]["type"] == given["type"]]
        start = given.get("before", given.get("after"))
        if start is not None:
            place = next(row for row in known if start in (str(row[2]), "{} {} {} {}".format(row[0], *row[1])))
            known = [row for row in known if (row < place if "before" in given else row > place)]
        if "after" not in given:
            known.reverse()
        page = known[: int(given.get("limit", 100))]
        events = [
            {
                "event": event,
                "meta": {
                    "created": created,
                    "time": time_ms,
                    "added": added,
                    "origin": self.node_id,
                    "vouched": "",
                    "reasons": ["log"],
                    "keep_last": None,
                    "undone": "{} {} {}".format(*created) in self.undone,
                },
            }
            for time_ms, created, added, event in page
        ]
        return {"events": events, "next": str(page[-1][2]) if len(page) < len(known) else None, "looked_at_ms": None}

    def _serve_client(self, connection: ServerConnection) -> None:
        client: Client | None = None
        try:
            for frame in connection:
                message = json.loads(frame)
                if client is not None:
                    self._react(client, message)
                elif (client := self._meet(connection, message)) is None:
                    return
        except ConnectionClosed:
            pass  # the page closed without a closing handshake
        finally:
            with self._lock:
                if client in self._clients:
                    self._clients.remove(client)

    def _meet(self, connection: ServerConnection, message: list[Any]) -> Client | None:
        if message[0] == "headers":
            return self._meet(connection, json.loads(connection.recv()))
        name, protocol, node_id, received, options = message
        assert (name, protocol) == ("connect", 5)
        now = self.now_ms()
        client = Client(connection, node_id, now, sent=received)
        if self.tokens.get(node_id.partition(":")[0]) != options["token"]:
            client.send(["error", "wrong-credentials"])
            return None
        client.send(["connected", 5, self.node_id, [now, now]])
        with self._lock:
            self._clients.append(client)
            self.forward()
        return client

    def _react(self, client: Client, message: list[Any]) -> None:
        name, *items = message
        if name != "sync":
            self.received.append(message)
        if name == "ping" and self.answers_pings:
            client.send(["pong", len(self.log)])
        elif name == "sync":
            for event, meta in zip(items[1::2], items[2::2], strict=True):
                shift, n = meta["id"] if isinstance(meta["id"], list) else (meta["id"], 0)
                created = (shift + client.base_time, client.node_id, n)
                client.known.add(created)
                self.syncs.append(created)
                self._take(event, created, meta["time"] + client.base_time)
            if self.answers_syncs:
                client.send(["synced", items[0]])

    def _take(self, event: dict[str, Any], created: Created, time_ms: int) -> None:
        with self._lock:
            if all(known != created for _, known, _ in self.log):
                self.log.append((event, created, time_ms))
            self.forward()


def _wire(entry: tuple[dict[str, Any], Created, int], client: Client) -> list[Any]:
    event, (ms, node_id, n), time_ms = entry
    shift = ms - client.base_time
    own = shift if n == 0 else [shift, n]
    return [
        event,
        {"id": own if node_id == StandIn.node_id else [shift, node_id, n], "time": time_ms - client.base_time},
    ]


def _response(status: HTTPStatus, content_type: str, body: bytes) -> Response:
    headers = Headers(
        {**SECURITY_HEADERS, "Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close"}
    )
    return Response(status.value, status.phrase, headers, body)
