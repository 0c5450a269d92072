"""ATTACKS: all attacks by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mesh.bench.attacks import clients, members, strangers
from mesh.bench.attacks.host import HostileHost

ATTACKS: dict[str, Callable[[HostileHost], Awaitable[None]]] = {
    "greeted": strangers.greeted,
    "headers": strangers.headers,
    "fragments": strangers.fragments,
    "silent": strangers.silent,
    "slow-http": strangers.slow_http,
    "slow-frames": strangers.slow_frames,
    "odd-frames": strangers.odd_frames,
    "pages": strangers.pages,
    "wrong-mesh": strangers.wrong_mesh,
    "bad-frames": strangers.bad_frames,
    "escapes": strangers.escapes,
    "have": members.haves,
    "ping": members.pings,
    "ws-ping": members.web_socket_pings,
    "known": members.known_events,
    "synced": members.synceds,
    "debug": members.debugs,
    "member-headers": members.member_headers,
    "differ": members.differs,
    "clones": members.clones,
    "epochs": members.epochs,
    "writer": members.writer,
    "client-writer": clients.client_events,
    "client-known": clients.client_known,
    "client-empty": clients.client_empty,
}
"""What each does is in the first line of its function."""
