"""peermesh: one shared event log on every machine of a LAN."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.errors import MeshError
    from mesh.membership.actions import Notice
    from mesh.node import Node
    from mesh.node_log import NodeLog
    from mesh.version import __version__ as __version__
    from mesh.views.view import View
    from peers.limits import Limits

__all__ = ["Limits", "MeshError", "Node", "NodeLog", "Notice", "View"]

_PLACES = {
    "Limits": "peers.limits",
    "MeshError": "mesh.errors",
    "Node": "mesh.node",
    "NodeLog": "mesh.node_log",
    "Notice": "mesh.membership.actions",
    "View": "mesh.views.view",
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
