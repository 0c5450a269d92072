"""The lab: runs whole nodes in virtual time, with verbs that break and mend links, processes, clocks and disks."""

from mesh.lab.checks.checker import Violation
from mesh.lab.cluster.client_roles import clients_door
from mesh.lab.cluster.cluster import Cluster
from mesh.lab.cluster.room import Room
from mesh.lab.cluster.topology import full, line, ring, star, two_lans
from mesh.lab.runner.scenario import Scenario, scenario

__all__ = [
    "Cluster",
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
