"""KeyJudge: whose keys a node speaks to, by the facts of its mesh."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mesh.errors import MeshError
from mesh.trust.expulsion import why_out
from mesh.trust.tls import may_speak
from peers.facts.fact import Fact
from peers.facts.roster import Roster
from peers.log.run_log import RunCommit
from peers.transport.tls.certificate import ReadCertificate

_GONE = {
    "revoked": "it is revoked",
    "left": "it has left this mesh",
    "void": "only an admin that is revoked has let it in",
}
"""By the state of a key in a roster; part of a sentence, as in a MaySpeak."""
UNKNOWN = "no admin that is known here has let it in"


class KeyJudge:
    """Asked about each connection. The whole key is compared with those in the facts.

    TLS has verified before that the certificates of the other end lead to the key of the mesh. A key of which no fact is known
    is taken if an admin has signed its certificate, since the fact is on its way then; likewise if that key itself has, since
    then the mesh's key has made it an admin, as `mesh recover` does. While the facts about our own key, or about all others,
    are not here yet, any key of the mesh is taken that is not revoked: who has just joined or recovered has to hear them.
    """

    def __init__(self, mesh: bytes, own: bytes, facts: Callable[[], Sequence[Fact]]) -> None:
        """`mesh` and `own` are the public keys of the mesh and of this node. What `facts` returns only grows."""
        self._own = own
        self._facts = facts
        self._count = 0
        self._roster = Roster(mesh, ())

    @property
    def roster(self) -> Roster:
        """By the facts of now."""
        facts = self._facts()
        if len(facts) != self._count:
            self._count = len(facts)
            self._roster = Roster(self._roster.mesh, facts)
        return self._roster

    @property
    def why_out(self) -> str:
        """Why this node itself is not in its mesh any more, as a sentence; empty while no fact speaks against it."""
        return why_out(self.roster, self._own)

    @property
    def has_left(self) -> bool:
        """Whether this node itself has left its mesh."""
        return self.roster.has_left(self._own)

    def may_enter(self, certificate: ReadCertificate, node_id: str) -> str:
        """A MaySpeak, for the moment after a handshake."""
        key, rows = certificate.public, self.roster.rows
        why = self.may_greet(key, node_id)
        if why or key in rows or self._own not in rows or len(rows) == 1:
            return why
        admins = [row.key for row in rows.values() if row.is_admin and row.state == "member"]
        return "" if any(certificate.is_signed_by(one) for one in (key, *admins)) else UNKNOWN

    def may_greet(self, key: bytes, node_id: str) -> str:
        """The same for a key that may have entered before: whether facts that came since then, or its id, speak against it."""
        roster = self.roster
        row = roster.rows.get(key)
        state = row.state if row is not None else roster.gone.get(key, "member")
        return _GONE.get(state) or may_speak(key, node_id)


class OwnMembership:
    """Looks whether a node is still in its mesh itself, and what that is called: when its log is open, and when facts come."""

    def __init__(
        self, judge: KeyJudge, node_id: str, on_gone: Callable[[str], None], on_name: Callable[[str], None]
    ) -> None:
        """`on_gone` gets a sentence if it was taken out; again only if it was in the mesh meanwhile.

        `on_name` gets the label of the mesh at each look, once it is known.
        """
        self._judge, self._node_id, self._on_gone, self._on_name = judge, node_id, on_gone, on_name
        self._is_said = False

    @property
    def why_out(self) -> str:
        """See expulsion.why_out."""
        return self._judge.why_out

    def check(self) -> None:
        """Raise MeshError, with a sentence, if it has left."""
        if self._judge.has_left:
            raise MeshError(
                f"{self._node_id} has left its mesh for good: start a new node in another --home; "
                "`mesh log` shows what is in this one"
            )
        self._look()

    def on_commit(self, commit: RunCommit) -> None:
        """The log has changed."""
        if commit.taken.facts:
            self._look()

    def _look(self) -> None:
        why = "" if self._judge.has_left else self._judge.why_out
        if why and not self._is_said:
            self._on_gone(why)
        self._is_said = bool(why)
        if self._judge.roster.name:
            self._on_name(self._judge.roster.name)
