"""Hosts for live tests: those on which `mesh scenario NAME --live` plays, too."""

from __future__ import annotations

from mesh.lab.netns import HOSTS_LIMIT, Host, NetLab, NetLabError, Process, find_flags

__all__ = ["HOSTS_LIMIT", "Host", "NetLab", "NetLabError", "Process", "find_flags"]
