"""The lab: runs whole nodes in virtual time, with verbs that break and mend links, processes, clocks and disks."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.lab.checks.checker import Violation
    from mesh.lab.cluster.client_roles import clients_door
    from mesh.lab.cluster.cluster import Cluster
    from mesh.lab.cluster.room import Room
    from mesh.lab.cluster.topology import full, line, ring, star, two_lans
    from mesh.lab.runner.outcome import Outcome
    from mesh.lab.runner.scenario import Scenario, scenario

__all__ = [
    "Cluster",
    "Outcome",
    "Room",
    "Scenario",
    "Violation",
    "clients_door",
    "full",
    "line",
    "ring",
    "scenario",
    "star",
    "two_lans",
]

_TOPOLOGY = "mesh.lab.cluster.topology"
_PLACES = {
    "Cluster": "mesh.lab.cluster.cluster",
    "Outcome": "mesh.lab.runner.outcome",
    "Room": "mesh.lab.cluster.room",
    "Scenario": "mesh.lab.runner.scenario",
    "Violation": "mesh.lab.checks.checker",
    "clients_door": "mesh.lab.cluster.client_roles",
    "full": _TOPOLOGY,
    "line": _TOPOLOGY,
    "ring": _TOPOLOGY,
    "scenario": "mesh.lab.runner.scenario",
    "star": _TOPOLOGY,
    "two_lans": _TOPOLOGY,
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Imported at the first use: pytest loads the plugin of this package in every project of its environment.
        if name not in _PLACES:
            raise AttributeError(f"module 'mesh.lab' has no attribute {name!r}")
        return getattr(import_module(_PLACES[name]), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *_PLACES})
