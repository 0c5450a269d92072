"""What `mesh members` and `mesh facts` show: plain values, ready for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peers.events.proof import Proof
from peers.facts.fact import Certificate, Fact, Found, Revocation, checked_fact, decode_fact
from peers.facts.roster import Roster, RosterRow


def member_rows(texts: Sequence[bytes], last_seen_ms: Mapping[str, int]) -> list[dict[str, Any]]:
    """The rows of `mesh members --json`, by the facts with these bytes: members first, in the order in which they came.

    `last_seen_ms` says by node id when this node was last connected to others, in ms of the wall clock.

    Fields, besides the obvious ones. `state`: `member`, `revoked`, `left`, or `void`, by certificates of a revoked admin
    alone. `since_ms`: when it was certified, by the clock of who did it. `invited_by`: that node, empty if it was the mesh's
    key. `from`: the address that it joined from, empty if it is not known.
    """
    return [
        {
            "node_id": row.node_id,
            "is_admin": row.is_admin,
            "state": row.state,
            "since_ms": row.since_ms,
            "invited_by": row.invited_by,
            "from": row.source,
            "last_seen_ms": last_seen_ms.get(row.node_id),
        }
        for row in sorted(_roster(map(decode_fact, texts)).rows.values(), key=_is_gone)
    ]


def fact_rows(texts: Sequence[bytes]) -> list[dict[str, Any]]:
    """The rows of `mesh facts --json`, in the order in which the facts came; each is verified here.

    `signer`: the id of the node that signed it, empty for the mesh's key. `about`: the node that it is about, or the name of
    the mesh. `error`: what is wrong with the fact itself, as its signature; `void`: why it has no effect, by other facts. Both
    are empty for a fact that holds.
    """
    facts = [decode_fact(text) for text in texts]
    roster = _roster(facts)
    return [
        {
            "id": fact.id.hex(),
            "kind": fact.kind,
            "time_ms": fact.time_ms,
            "signer": roster.id_of(fact.signer),
            "about": about(fact, roster),
            "error": _error(fact.data),
            "void": roster.void.get(fact.id, ""),
        }
        for fact in facts
    ]


def proof_rows(proofs: Sequence[bytes]) -> list[dict[str, Any]]:
    """The same for the proofs of forks, of the kind `fork`: about and by the node whose key has signed two histories."""
    rows = []
    for proof in map(Proof.decode, proofs):
        try:
            proof.check()
            error = ""
        except ValueError as wrong:
            error = str(wrong)
        node_id = proof.birth.origin or ""
        rows.append(
            {
                "id": proof.mark.hex(),
                "kind": "fork",
                "time_ms": None,
                "signer": node_id,
                "about": node_id,
                "error": error,
                "void": "",
            }
        )
    return rows


def _roster(facts: Iterable[Fact]) -> Roster:
    """Of facts of one mesh."""
    known = list(facts)
    return Roster(known[0].mesh if known else b"", known)


def _is_gone(row: RosterRow) -> bool:
    return row.state != "member"


def about(fact: Fact, roster: Roster) -> str:
    """The node that a fact is about, or the name of the mesh."""
    if isinstance(fact, Found):
        return fact.name
    if isinstance(fact, Certificate):
        return fact.node_id
    return roster.id_of(fact.key if isinstance(fact, Revocation) else fact.signer)


def _error(text: bytes) -> str:
    try:
        checked_fact(text)
    except ValueError as error:
        return str(error)
    return ""
