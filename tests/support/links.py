"""What a node says of a link."""

from __future__ import annotations

from typing import Any

from mesh.membership.diagnosis.links import LinkRow


def link(**fields: Any) -> LinkRow:
    row: LinkRow = {
        "node_id": "study~b",
        "address": "10.0.0.2:4000",
        "dialled": True,
        "release": "0.6",
        "clock_ahead_ms": 3,
        "sends_small": False,
        "reached": None,
        "why": "",
        "not_dialled": "",
    }
    return LinkRow(**{**row, **fields})  # type: ignore[typeddict-item]
