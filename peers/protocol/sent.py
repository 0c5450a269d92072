"""Sent: a `sync` that is under way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Sent:
    """A `sync` under way."""

    number: int
    confirms: int
    """Up to here the walk is confirmed once this and all before it are acknowledged."""
    size: int
    """Bytes of its events."""
    since_ms: float
    """When it was sent, as `Clock.elapsed_ms`."""
    is_acknowledged: bool = False
