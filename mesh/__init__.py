"""peermesh: one shared event log on every machine of a LAN."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.app_node import AppNode
    from mesh.errors import MeshError
    from mesh.gateway.clients.channels import Denied
    from mesh.membership.actions import Notice
    from mesh.membership.status import Status
    from mesh.node import Node
    from mesh.node_log import NodeLog
    from mesh.version import __version__ as __version__
    from mesh.views.state import ViewState
    from mesh.views.view import View
    from peers.events.entry import EventMeta
    from peers.limits import Limits
    from peers.transport.web_socket import WebSocketNetwork

__all__ = [
    "AppNode",
    "Denied",
    "EventMeta",
    "Limits",
    "MeshError",
    "Node",
    "NodeLog",
    "Notice",
    "Status",
    "View",
    "ViewState",
    "WebSocketNetwork",
]

_PLACES = {
    "AppNode": "mesh.app_node",
    "Denied": "mesh.gateway.clients.channels",
    "EventMeta": "peers.events.entry",
    "Limits": "peers.limits",
    "View": "mesh.views.view",
    "ViewState": "mesh.views.state",
    "MeshError": "mesh.errors",
    "Node": "mesh.node",
    "NodeLog": "mesh.node_log",
    "Notice": "mesh.membership.actions",
    "Status": "mesh.membership.status",
    "WebSocketNetwork": "peers.transport.web_socket",
    "__version__": "mesh.version",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Imported at the first use, so that a command for a running node does not load the libraries of a node.
        if name not in _PLACES:
            raise AttributeError(f"module 'mesh' has no attribute {name!r}")
        return getattr(import_module(_PLACES[name]), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *_PLACES})
