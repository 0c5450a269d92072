"""The notices of a node at its start and end, and how each notice is logged."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from mesh.errors import printable
from mesh.gateway.options import SECURE_DOOR
from mesh.membership.actions import Notice

LOGGER = "mesh"
"""The logger of notices, and of nothing else; modules log under names of their own below it."""
LOG_LEVELS = {
    **dict.fromkeys(
        ("paused", "refused", "restarted", "unreachable", "note", "open link", "open door", "revoked"), logging.WARNING
    ),
    **dict.fromkeys(("cloned", "failed"), logging.ERROR),
}
"""Log levels by the kind of the notice; all other kinds are INFO."""
OPEN_LINK = (
    "this node is open: its links to other nodes are neither encrypted nor authenticated, "
    "so anyone who reaches its port can read and write this log"
)
PUT_AWAY = "write it down, put it away, and delete the file"
OPEN_DOOR = (
    "the door for clients or metrics is open to the network and not encrypted, so tokens can be read on their way: "
    f"{SECURE_DOOR}, or open it at 127.0.0.1"
)


class RunningNode(Protocol):
    """What the notices need of a node; see Node."""

    @property
    def node_id(self) -> str: ...
    @property
    def mesh(self) -> str: ...
    @property
    def home(self) -> Path: ...
    @property
    def is_new(self) -> bool: ...
    @property
    def is_trusted(self) -> bool: ...
    @property
    def port(self) -> int: ...
    @property
    def door_ports(self) -> Mapping[str, int]: ...
    @property
    def clients_url(self) -> str | None: ...
    @property
    def is_clients_door_in_clear(self) -> bool: ...


def log_notice(notice: Notice) -> None:
    """Log a notice to LOGGER."""
    logging.getLogger(LOGGER).log(LOG_LEVELS.get(notice.kind, logging.INFO), "%s", printable(notice.sentence))


def start_notices(node: RunningNode) -> list[Notice]:
    """The notices once a node runs. The kinds are new, up, door, page, and open link and open door, which are warnings."""
    node_id = node.node_id
    notices = [Notice("new", node_id, f"made a new home in {node.home}: a new node, {node_id}")] if node.is_new else []
    up = f"{node_id} is up in mesh {node.mesh}: it listens on port {node.port}, its home is {node.home}"
    notices.append(Notice("up", node_id, up))
    if not node.is_trusted:
        notices.append(Notice("open link", None, OPEN_LINK))
    notices += [
        Notice("door", None, f"the door for {key} is open on port {port}") for key, port in node.door_ports.items()
    ]
    if node.clients_url:
        page = f"the page of this node is at {node.clients_url}; `mesh token add USER` prints a token for it"
        notices.append(Notice("page", None, page))
    if node.is_clients_door_in_clear:
        notices.append(Notice("open door", None, OPEN_DOOR))
    return notices


def founded_notice(mesh: str) -> Notice:
    """The notice that a mesh was founded, before its node is up."""
    return Notice(
        "founded",
        None,
        f"founded the mesh {mesh}: `mesh invite` prints a code here, with which `mesh join CODE` takes another machine into it",
    )


def recovery_notice(path: Path) -> Notice:
    """The notice that the recovery code of the mesh is still in its file."""
    return Notice("note", None, f"the recovery code of this mesh is in {path}: {PUT_AWAY}")


def stop_notice(node_id: str) -> Notice:
    """The notice once a node has stopped."""
    return Notice("stopped", node_id, f"{node_id} stopped")


UPGRADES = ("upgrade", "upgraded")
"""Kinds of notices that come before a node is up."""


def upgrade_notice(node_id: str, size: int) -> Notice:
    """The notice before the log of an older release is brought up to date; its file has `size` bytes."""
    sentence = (
        f"{node_id} brings its log up to date, {size / 1e6:.0f} MB of an older release: it is up when that is done"
    )
    return Notice(UPGRADES[0], node_id, sentence)


def upgraded_notice(node_id: str, events: int, seconds: float, kept: Path) -> Notice:
    """The notice after it; `kept` is the old file."""
    sentence = (
        f"{node_id} has brought its log of {events} events up to date in {seconds:.1f} s; the old file is kept as {kept}, "
        "until `mesh upgrade --drop-old`"
    )
    return Notice(UPGRADES[1], node_id, sentence)
