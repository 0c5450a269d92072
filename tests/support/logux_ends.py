"""The two ends of a Logux protocol."""

from __future__ import annotations

from typing import Any

from peers.codec.versions import LoguxProtocol, dialect_of

BASE = 1_000


def ends(protocol: Any, *, base: int = BASE) -> tuple[LoguxProtocol, LoguxProtocol]:
    """The dialects of a client called `anna` and of a server called `server`, which have met at `base`."""
    client, server = dialect_of(protocol, "anna"), dialect_of(protocol, "server")
    client.other_node_id, server.other_node_id = "server", "anna"
    client.on_times((base, base), is_ours=False)
    server.on_times((base, base), is_ours=True)
    return client, server
