"""The checks of the checker that need only the logs of real hosts, as `mesh log --json` prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mesh.lab.checks.checker import show_types
from mesh.lab.live.room import LiveEntry
from peers.events.created import Created

Logs = Mapping[str, Sequence[LiveEntry]]
"""The log of each room, in the order in which the room shows it."""
Acknowledged = Mapping[str, Mapping[Created, dict[str, Any]]]
"""The events that each room has acknowledged, in order."""


def log_faults(name: str, log: Sequence[LiveEntry], acknowledged: Mapping[Created, dict[str, Any]]) -> list[str]:
    """What is wrong with the log of one room: acknowledged events lost or changed, events shown twice or out of order."""
    faults = []
    shown = {entry.created: entry.event for entry in log}
    lost = [created for created in acknowledged if created not in shown]
    if lost:
        faults.append(f"{name} acknowledged {len(lost)} events that it does not hold, the first {lost[0]}")
    changed = [created for created, event in acknowledged.items() if shown.get(created, event) != event]
    if changed:
        faults.append(f"{name} holds {len(changed)} events that differ from what it was given, the first {changed[0]}")
    if len(shown) != len(log):
        faults.append(f"{name} shows {len(log) - len(shown)} events twice")
    if len({entry.added for entry in log}) != len(log):
        faults.append(f"{name} counts two events with one number")
    own = [created for created in shown if created in acknowledged]
    if own != [created for created in acknowledged if created in shown]:
        faults.append(f"{name} shows what was written there in another order")
    return faults


def group_faults(logs: Logs, acknowledged: Acknowledged) -> list[str]:
    """Differences between rooms that can talk, and acknowledged events that one of them lacks."""
    if not logs:
        return []
    faults = []
    (first, first_log), *others = logs.items()
    expected = shown(first_log)
    for name, log in others:
        if shown(log) != expected:
            faults.append(f"{name} shows {show_types(types_of(log))}, {first} {show_types(types_of(first_log))}")
    everything = [created for name in logs for created in acknowledged[name]]
    for name, log in logs.items():
        held = {entry.created for entry in log}
        missing = [created for created in everything if created not in held]
        if missing:
            faults.append(f"{name} lacks {len(missing)} acknowledged events, the first {min(missing)}")
    return faults


def shown(log: Sequence[LiveEntry]) -> list[tuple[object, ...]]:
    """What must be equal on all hosts."""
    return [(entry.created, entry.time, entry.event) for entry in log]


def types_of(log: Sequence[LiveEntry]) -> list[str]:
    return [entry.event["type"] for entry in log]
