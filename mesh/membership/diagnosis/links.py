"""LinkRow: what a node knows of its link with another one, for `mesh doctor`."""

from __future__ import annotations

from typing import TypedDict

from peers.roles.run_peer import RunPeerSync


class LinkRow(TypedDict):
    """A node that is connected."""

    node_id: str
    address: str
    dialled: bool
    """Whether we dialled it."""
    release: str
    """Of its software; empty for releases that do not say it."""
    clock_ahead_ms: int | None
    """By how much its clock was ahead of ours at the greeting."""
    sends_small: bool
    """Whether this node sends it small packets alone, since large ones were lost."""
    reached: bool | None
    """Whether it could dial us now; None if it was not asked, or did not try."""
    why: str
    """Why it could not."""
    not_dialled: str
    """Why it did not try."""


def link_row(role: RunPeerSync | None, *, sends_small: bool) -> LinkRow | None:
    """What the role of a session says of its link; None while the other end is not let in."""
    hello = role.other_hello if role is not None else None
    if role is None or hello is None or not role.authenticated:
        return None
    return {
        "node_id": role.other_node_id or "",
        "address": role.connection.address,
        "dialled": role.connection.dialled,
        "release": hello.release,
        "clock_ahead_ms": role.clock_ahead_ms,
        "sends_small": sends_small,
        "reached": None,
        "why": "",
        "not_dialled": "",
    }
