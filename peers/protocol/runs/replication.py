"""Replication: what two stores say to each other over one link, from their greetings on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from peers.codec.messages import Synced
from peers.codec.run_messages import (
    MAX_TOGETHER,
    READ_TOGETHER,
    Decline,
    Facts,
    Fill,
    Greeting,
    Heads,
    Pieces,
    Prove,
    RunHave,
    SayHollow,
    ShowBlocks,
    ShowWay,
    Yours,
)
from peers.events.dot import Dot, Epoch
from peers.events.epoch import END_BYTES, NOTHING
from peers.events.reconcile import Differ, EndsView, Reconciliation, Same
from peers.events.signature import is_signed
from peers.protocol.runs.fact_exchange import FactExchange
from peers.protocol.runs.fork_search import ForkSearch
from peers.protocol.runs.other_end import OtherEnd, SendWindow
from peers.protocol.runs.role import BadPeer, RunRole
from peers.protocol.runs.said import Said, read_said
from peers.protocol.runs.sending import Sending
from peers.protocol.runs.taking import Taking
from peers.protocol.runs.untold import Untold
from peers.protocol.runs.wants import Wants
from peers.stores.run_store import RunStore
from peers.stores.taken import Limited, Taken

RunWords = (
    Same
    | Differ
    | RunHave
    | Pieces
    | Fill
    | Synced
    | Heads
    | ShowBlocks
    | Prove
    | ShowWay
    | SayHollow
    | Decline
    | Facts
)
"""What the two ends say to each other after their greetings."""


class Replication:
    """One end of one link: pure rules, without sockets, threads and time. All of it is gone when the link ends.

    Both ends say how far they have each epoch, and find what differs. From then on each sends what the other lacks, oldest
    change first, and says what it got from others, and what of it is hollow. What was committed is acknowledged. Where a head
    is not ours, the place at which two histories part is looked for, and a proof goes to all before any event.

    The role calls `greet`, sends the greeting, and passes on that of the other end to `meet`; then every message to `hear`,
    and every commit of the store to `committed`. It calls `go_on` when the limit of the walk has risen, and `tell` at once or
    a little after `on_untold`. `meet`, `hear` and the answers of the store raise BadPeer when the link has to end.

    When a commit names epochs that are `proven`, a role of the node, not of a link, writes `adopt` after a while.
    """

    def __init__(self, role: RunRole, *, is_dialling: bool) -> None:
        self._role = role
        self._is_dialling = is_dialling
        self.other = OtherEnd()
        self._window = SendWindow(role)
        self._facts = FactExchange(role, self._window, self.go_on)
        self._forks = ForkSearch(role, self.other)
        self._wants = Wants(role, self._window)
        self._sending = Sending(role, self.other, self._window, self._wants, self._forks)
        self._taking = Taking(role, self.other, self._forks)
        self._reconciliation: Reconciliation | None = None
        self._last_position = 0
        """The last position of our log at our greeting."""
        self._is_met = False
        self._behind: set[Epoch] = set()
        """Epochs of which the other end has more."""
        self._untold = Untold()
        self._proven: dict[Epoch, None] = {}
        """Epochs proven to have forked since our greeting."""

    @property
    def is_settled(self) -> bool:
        """Whether it is known what the other end has."""
        return self.other.view is not None

    @property
    def is_full(self) -> bool:
        """Whether reading should pause, since too much waits for its commit."""
        return self._taking.is_full

    @property
    def in_flight_count(self) -> int:
        """Messages that were sent and are not acknowledged yet."""
        return self._window.count

    @property
    def is_idle(self) -> bool:
        """Whether all that is due was sent and acknowledged, and all that came is committed."""
        is_sent = self._sending.is_done and self._wants.is_done and not self._window.count
        return self.is_settled and self._facts.is_settled and is_sent and self._taking.is_done

    @property
    def position(self) -> int:
        """Up to here in our log all was sent that the other end lacked."""
        return self._sending.position

    @property
    def missing(self) -> int:
        """Entries that the other end says it has and this store lacks."""
        return sum([self._lacked_of(epoch) for epoch in self._behind])

    @property
    def lacked(self) -> set[Epoch]:
        """The epochs of these entries."""
        return {epoch for epoch in self._behind if self._lacked_of(epoch)}

    def _lacked_of(self, epoch: Epoch) -> int:
        view = self.other.view
        ours = self._role.ends.get(epoch) or NOTHING
        return 0 if view is None or ours.mark else max(0, view.get(epoch).seq - ours.seq)

    # Greeting

    def greet(self, then: Callable[[Greeting], None], other_key: bytes | None, **names: Any) -> None:
        """Make our greeting; `names` are the fields of Greeting that the role knows. `other_key`: the other end's, if known."""
        self._role.read(partial(read_said, other_key), partial(self._greet, then, names))

    def meet(self, greeting: Greeting) -> None:
        """The other end has greeted; we did before. Raises BadPeer."""
        assert self._reconciliation is not None
        if self._is_met:
            raise BadPeer("it greeted twice")
        self._is_met = True
        self._wants.meet(greeting.hollow)
        self._forks.other_reads_ways = greeting.reads_ways
        self.other.together = max(MAX_TOGETHER, min(greeting.together, READ_TOGETHER))
        self._look_at_own(greeting.yours)
        self._facts.meet(greeting.facts)
        self._reconcile(partial(self._reconciliation.meet, greeting.newest, greeting.rest))
        self.tell()

    def _greet(self, then: Callable[[Greeting], None], names: dict[str, Any], said: Said) -> None:
        reconciliation = Reconciliation(self._role.ends.snapshot(), said.newest, is_dialling=self._is_dialling)
        self._reconciliation = reconciliation
        self._last_position = said.last_position
        self._facts.greet(said.facts, said.fact_ids)
        then(
            Greeting(
                newest=reconciliation.newest,
                rest=reconciliation.rest,
                yours=said.yours,
                hollow=self._wants.greet(said),
                last_position=said.last_position,
                facts=said.facts,
                reads_ways=True,
                together=READ_TOGETHER,
                **names,
            )
        )

    def _look_at_own(self, yours: Mapping[Epoch, Yours]) -> None:
        """The epoch that we write in, shown with our signature beyond what we hold, is never written in again."""
        epoch = self._role.epoch
        shown = yours.get(epoch) if epoch is not None else None
        if epoch is None or shown is None or shown.head[:END_BYTES] != shown.end.head:
            return
        ours = self._role.ends.get(epoch)
        is_beyond = ours is None or shown.end.seq > ours.seq
        if is_beyond and is_signed(self._role.key, epoch, shown.end.seq, shown.head, shown.signature):
            self._role.write(partial(_leave, epoch), lambda _: None)

    def _reconcile(self, step: Callable[[], Same | Differ | None]) -> None:
        assert self._reconciliation is not None
        try:
            answer = step()
        except ValueError as error:
            raise BadPeer(str(error)) from None
        if answer is not None:
            self._role.send(answer)
        view = self._reconciliation.view
        if view is not None and self.other.view is None:
            self.other.view = view
            self._on_view(view)

    def _on_view(self, view: EndsView) -> None:
        lacked: list[Dot] = []
        exceptions = dict(view.exceptions())
        for epoch, theirs in exceptions.items():
            ours = self._role.ends.get(epoch)
            if ours is None:
                continue
            if ours.seq > theirs.seq:
                lacked.append((epoch, theirs.seq + 1))
            if ours.mark not in (b"", theirs.mark):
                self._forks.prove(epoch)
        self._behind.update(epoch for epoch in exceptions if self._lacked_of(epoch))
        for epoch in self._proven:
            self._forks.prove(epoch)
        self._proven.clear()
        if self._forks.look(exceptions):
            self._forks.compare()
        self._wants.compare()
        self._sending.begin(lacked, self._last_position)
        self.go_on()

    # Messages

    def hear(self, message: RunWords) -> None:
        """A message of the other end, after its greeting. Raises BadPeer for what no node sends."""
        if not self._is_met or self._reconciliation is None:
            raise BadPeer("it sent a message before its greeting")
        if isinstance(message, Same | Differ):
            self._reconcile(partial(self._reconciliation.take, message))
        elif isinstance(message, RunHave):
            self._on_have(self._reconciliation, message)
        elif isinstance(message, Pieces | Fill | Prove | ShowBlocks | ShowWay):
            self._taking.add(message)
        elif isinstance(message, Facts):
            self._on_facts(message)
        elif isinstance(message, Synced):
            self._window.acknowledged(message.added)
            self.go_on()
        elif isinstance(message, Heads):
            self._forks.heads(message)
        elif isinstance(message, SayHollow):
            self._wants.say()
        elif isinstance(message, Decline):
            self._on_declined(frozenset(message.keys))

    def _on_have(self, reconciliation: Reconciliation, message: RunHave) -> None:
        reconciliation.have(message.ends)
        for epoch in message.anew:
            self.other.anew(epoch, message.ends.get(epoch, NOTHING))
        if message.anew:
            self._sending.readmit(())
        self._wants.hear(message)
        if self.other.view is not None:
            self._behind.update(epoch for epoch in message.ends if self._lacked_of(epoch))
            self._forks.lead_anew(message)
            if self._forks.look(message.ends):
                self._role.on_doubt()
            self.go_on()

    def _on_facts(self, message: Facts) -> None:
        self._facts.hear(message)
        if message.facts:
            self._taking.add(message)

    def _on_declined(self, keys: frozenset[bytes]) -> None:
        readmitted = self.other.declined - keys
        self.other.declined = keys
        if readmitted:
            self._sending.readmit(readmitted)
            self.go_on()

    def accept(self) -> None:
        """Take again what the limits declined on this link: they admit it now."""
        self._taking.accept()

    def on_room(self) -> None:
        """Take again what others wrote: the disk has room."""
        self._taking.go_on()

    # Commits

    def committed(self, taken: Taken) -> None:
        """The store has committed this, for this link or another."""
        if taken.facts:
            self._facts.learned(taken.facts)  # also before our greeting, which may have been read before that commit
        if self._reconciliation is None:
            return  # our greeting says it
        if taken.facts:
            self._taking.accept()
        if taken.limited:
            self._on_limited(taken.limited)
        self._forks.followed(taken.anew)
        self._untold.begin_anew({epoch: self._role.ends.get(epoch) or NOTHING for epoch in taken.anew})
        own = self._role.epoch
        for epoch, end in taken.ends.items():
            is_told = max(self.other.sent.get(epoch, 0), self.other.coming.get(epoch, 0)) >= end.seq
            if end.mark or epoch in taken.limited or (epoch != own and not is_told):
                self._untold.ends[epoch] = end
            if epoch == own:
                self._sending.overtake(epoch)
        self._behind.difference_update([epoch for epoch in taken.ends if not self._lacked_of(epoch)])
        self._untold.hollow += taken.hollow
        self._untold.filled += [change.dot for change in taken.changes if change.is_fill]
        if self.other.view is None:
            self._proven.update(dict.fromkeys(taken.proven))
        else:
            for epoch in taken.proven:
                self._forks.prove(epoch)
        if self._untold.filled:
            self._wants.ask()
        if self._untold.hollow or self._untold.filled:
            self.tell()
        elif self._untold.ends:
            self._role.on_untold()
        self.go_on()

    def _on_limited(self, limited: Mapping[Epoch, Limited]) -> None:
        self._taking.ask_again(limited)
        for epoch, now in limited.items():
            ours = self._role.ends.get(epoch) or NOTHING
            self.other.limit(epoch, ours.seq)
            if now.counts_more and self.other.has(epoch) < ours.seq:
                self._sending.readmit(())
            if ours.mark:
                self._untold.ends[epoch] = ours  # an end that knows the way to the limit shows it
            elif self.other.view is not None and (theirs := self.other.view.get(epoch)).mark:
                self._forks.lead(epoch, theirs)

    def tell(self) -> None:
        """Say what was committed and came from others, and what is hollow."""
        if not self._is_met:
            return
        for have in self._untold.messages():
            self._role.send(have)

    def compare(self) -> None:
        """See whether what the other end has of epochs, as it last named them, is the same as here."""
        self._forks.compare()

    def go_on(self) -> None:
        """Send what may be sent now."""
        if self.other.view is not None:
            self._wants.go_on()
            self._sending.go_on()
            self._wants.check_served()


def _leave(epoch: Epoch, store: RunStore) -> Sequence[Taken]:
    return [store.leave(epoch)]
