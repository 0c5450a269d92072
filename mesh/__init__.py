"""peermesh: one shared event log on every machine of a LAN."""

from mesh.errors import MeshError
from mesh.neighbourhood import Notice
from mesh.node import Node, NodeLog

__all__ = ["MeshError", "Node", "NodeLog", "Notice"]
