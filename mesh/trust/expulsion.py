"""What a node that is not in its mesh any more says of that."""

from __future__ import annotations

from peers.facts.roster import Roster


def why_out(roster: Roster, key: bytes) -> str:
    """Why own events of the node with this key are not taken, as a sentence; empty while no fact speaks against it."""
    row = roster.rows.get(key)
    state = row.state if row is not None else roster.gone.get(key, "member")
    if state == "member":
        return ""
    how = "it left"
    if state == "revoked":
        how = f"revoked by {roster.id_of(roster.gone_by[key]) or 'the recovery code of the mesh'}"
    elif state == "void":
        how = "only a revoked admin let it in"
    return (
        f"this node is not in its mesh any more ({how}): no event is taken here, since no member would take it; what the log "
        "has can be read; to take part again, join with a new --home"
    )
