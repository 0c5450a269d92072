"""A home to back up, and backups of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.gateway.clients.tokens import Tokens
from mesh.node import Node
from mesh.settings.backup import make_backup
from mesh.settings.backup_file import BackupFacts, BackupFile
from mesh.settings.home import Home, read_identity
from mesh.settings.kept_peers import KeptPeers
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.street import SECONDS

MADE_MS = 1_795_404_626_661


def back_up(home: Path, file: Path, **options: Any) -> BackupFacts:
    given: Any = {"with_keys": False, "is_forced": False, "now_ms": MADE_MS, "on_step": lambda *_: None, **options}
    return make_backup(home, file, **given)


def add(node: Node, *names: str) -> None:
    for name in names:
        node.log.add({"type": name}).get(SECONDS)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two events, a peer and a token, whose node does not run."""
    path = tmp_path / "kitchen"
    with Node("kitchen", home=path, mesh="garden", listen="127.0.0.1:0", open=True, mdns=False) as node:
        add(node, "milk", "bread")
    opened = Home(path)
    opened.keep_port(4321)
    opened.close()
    KeptPeers(path).add("192.168.1.7:4000")
    Tokens(path).add("ada", None, 0)
    return path


def facts_of(file: Path) -> BackupFacts:
    with BackupFile(file) as backup:
        return backup.facts


def node_id_in(home: Path) -> str:
    return read_identity(home)[0]


def look(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def events(home: Path) -> list[tuple[Any, Any]]:
    """The events of a home in which no node runs, in the order of the log, and their labels."""
    store = SqliteRunStore(home / "log.sqlite")
    store.open()
    try:
        return [(entry.created, entry.meta) for entry in store.each()]
    finally:
        store.close()
