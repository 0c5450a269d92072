"""The lab: whole nodes in virtual time, and the verbs that break what is between them."""

from mesh.lab.cluster import Cluster, Violation
from mesh.lab.room import Room
from mesh.lab.scenario import Scenario, scenario
from mesh.lab.topology import full, line, ring, star, two_lans
from mesh.lab.visiting import clients_door

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
