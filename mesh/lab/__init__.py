"""The lab: whole nodes in virtual time, and the verbs that break what is between them."""

from mesh.lab.cluster import Cluster, Violation
from mesh.lab.room import Room
from mesh.lab.scenario import Scenario, scenario

__all__ = ["Cluster", "Room", "Scenario", "Violation", "scenario"]
