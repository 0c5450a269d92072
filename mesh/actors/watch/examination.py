"""Examination: what the sessions of a node know of their links, and whether other nodes can dial its port."""

from __future__ import annotations

from mesh.actors.children import Children
from mesh.actors.peer_session import PeerSession
from mesh.membership.diagnosis.links import LinkRow

ASKED_AT_ONCE = 3
"""Other nodes that are asked to dial this one."""
REACH_SECONDS = 5.0
"""Within which they answer: a dial is given up after 3 s."""


async def examine(children: Children[PeerSession], port: int) -> list[LinkRow]:
    """A row for each node that is connected. Some of them dial `port` at this machine, and say whether it answered."""
    found: dict[str, LinkRow | None] = await children.ask_sessions(PeerSession.examine)
    rows = {key: row for key, row in found.items() if row is not None}
    asked = [key for key, row in rows.items() if row["release"]][:ASKED_AT_ONCE]
    answers = await children.ask_sessions(lambda session: session.ask_reach(port), keys=asked, seconds=REACH_SECONDS)
    for key, answer in answers.items():
        if answer is None:
            rows[key]["not_dialled"] = f"it has not answered within {REACH_SECONDS:.0f} s"
        elif answer.was_dialled:
            rows[key]["reached"], rows[key]["why"] = not answer.why, answer.why
        else:
            rows[key]["not_dialled"] = answer.why
    return list(rows.values())
