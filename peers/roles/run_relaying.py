"""RunRelaying: when a link between nodes hears of commits, tells the other end of them, and passes on what others wrote."""

from __future__ import annotations

from functools import partial
from typing import Any

from peers.codec.messages import Message
from peers.codec.run_messages import LINK_BYTES, MAX_LINKS, RunHave, Summaries
from peers.events.dot import Epoch
from peers.events.epoch import NO_EPOCH, NOTHING
from peers.log.run_log import RunCommit
from peers.log.write_batch import joined
from peers.protocol.flow_control import SOON_ANSWER_MS
from peers.roles.neighbours import Neighbours
from peers.roles.relay_hold import RelayHold
from peers.roles.run_session import RunSession
from peers.roles.summaries import SummaryBoard
from peers.stores.taken import Taken

HAVE_MS = 5.0
"""Between two `have`: what came from others meanwhile is gathered for the second."""
CALM_HAVE_MS = 250.0
"""How long that is gathered for an end that does not wait for it to pass something on."""
RELAY_MS = 20.0
"""How long events of others wait at least before they are passed on: time enough to hear who has them already."""
MAX_RELAY_MS = 200.0
"""The same at most. In between it is a multiple of the time of an answer, which takes long where all nodes are busy."""
SERVED_MS = 2_000.0
"""How long they wait at least where the other end says that it is connected with the node that writes them."""
LINKS_MS = 10.0
"""So long after a change in the other connections of this node they are sent, all that changed meanwhile at once."""
COMPARE_MS = 2_000.0
"""After the other end named less of an epoch than is here, before it is looked whether that is the same."""
FEW_OF_ADDRESS = 16
CROWD_GATHER_MS = 4.0
"""For each link beyond FEW_OF_ADDRESS with one address, what came from others is gathered so much longer for these links: one
machine that is many nodes costs little more than a few."""
MAX_CROWD_MS = 250.0
SPREAD = 3
"""By how many times longer a summary is held at most before it is passed on."""
LAST_MS = 2_000.0
"""How long an end that has left its mesh may still send what its fact says that it wrote."""
SLOW_GATHER_MS = 1_000.0
"""Where answers take long, what was committed is announced no more often."""


class RunRelaying(RunSession):
    """A RunSession that goes on as the log grows.

    In a mesh of many, every node hears of an event from its origin and could pass it on to all others. So each tells the
    others at once what it got (`have`), and passes on after RELAY_MS only what no other has named by then. With many neighbours
    that would be many small messages for each event: there it gathers for `gather_ms` before it does either. And each tells
    the others with which nodes it is connected: what one of these writes comes there without a relay, while the link lasts.
    """

    __slots__ = (
        *("_commits", "_is_untold", "_is_urgent", "_is_woken", "_links", "_neighbours", "_relays", "_served"),
        *("_summaries", "_told_links"),
    )

    def __init__(
        self,
        *args: Any,
        neighbours: Neighbours | None = None,
        summaries: SummaryBoard | None = None,
        **options: Any,
    ) -> None:
        """`neighbours` and `summaries` are shared by all sessions of a log."""
        self._neighbours = neighbours or Neighbours()
        self._summaries = summaries or SummaryBoard()
        self._served: tuple[str | None, bytes] | None = None
        """Whom we gave all that it called hollow, by which digest; None since this log got such an event itself."""
        super().__init__(*args, **options)
        self._undos.append(self.runs.on("commit", self._on_commit))
        self._undos.append(self._neighbours.on_change(self._on_neighbours))

    def _begin_link(self) -> None:
        super()._begin_link()
        self._relays = RelayHold(self.runs.state.last_position)
        self._commits: list[Taken] = []
        """Those that are still to be heard of."""
        self._is_woken = False
        self._is_untold = self._is_urgent = False
        """Whether there is something for a `have`, and whether the other end may pass it on if it gets none."""
        self._links: frozenset[bytes] = frozenset()
        """With which other nodes the other end is connected, as it says."""
        self._told_links: frozenset[bytes] = frozenset()
        """With which nodes this one was connected when it said so last, the other end included."""

    def on_authenticated(self) -> None:
        self._relays = RelayHold(self.runs.state.last_position)
        super().on_authenticated()
        assert self.other_hello is not None
        self._neighbours.begin(self, self.other_hello.key, self._lacked, self.clock_ahead_ms, self.connection.address)
        self._summaries.begin(
            self,
            self.other_hello.key,
            self.other_node_id or "",
            reads=self.other_hello.reads_summaries,
            links=self._links,
            lag=lambda: self.lag,
            show=self._show_own_summary,
            wake=self._wake_summaries,
            is_proven=self.connection.proven_key == self.other_hello.key,
        )

    def _lacked(self) -> set[Epoch]:
        """Epochs of which the other end says that it has more; NO_EPOCH as long as it is not known what it has."""
        return self._replication.lacked if self._replication.is_settled else {NO_EPOCH}

    def _forget_link(self) -> None:
        super()._forget_link()
        self._neighbours.end(self)
        self._summaries.end(self)

    # What Replication needs of its role, see RunRole

    def walk_limit(self) -> int:
        return self._relays.limit(self.runs.state.last_position, self._replication.other.has)

    def on_untold(self) -> None:
        self._is_untold = True  # announced when all commits of this turn are known

    def on_doubt(self) -> None:
        if not self.is_timing("compare"):
            self.start_timer("compare", COMPARE_MS, partial(self._with_peer, self._replication.compare))

    def is_news(self, hollow: bytes) -> bool:
        return self._served != (self.other_node_id, hollow)

    def on_served(self, hollow: bytes) -> None:
        self._served = self.other_node_id, hollow

    # Commits

    def _on_commit(self, commit: RunCommit) -> None:
        if self._served is not None and any(change.is_fill for change in commit.taken.changes):
            self._served = None
        if commit.taken.facts or self.is_timing("last"):
            self._say_facts()
        if self.connected:
            self._commits.append(commit.taken)
        is_urgent = self.epoch in commit.taken.ends or commit.taken.facts
        if not is_urgent and self.is_timing("gather"):
            return  # heard of with those before
        gather_ms = 0 if is_urgent or not self.authenticated else self._gathering_ms()
        if gather_ms <= 0:
            self.stop_timer("gather")
            if not self._is_woken:  # one wake-up for any number of commits
                self._is_woken = True
                self._turn(self._on_wake)()
        else:
            self.start_timer("gather", gather_ms, self._on_gathered)

    def _say_facts(self) -> None:
        """Not before an end that has left its mesh has sent what it wrote: it may be that no other node has that."""
        if not self._lacks_last():
            self.stop_timer("last")
            self.emitter.emit("facts")
        elif not self.is_timing("last"):
            self.start_timer("last", LAST_MS, partial(self.emitter.emit, "facts"))

    def _lacks_last(self) -> bool:
        roster, key = self.runs.roster, self.connection.proven_key
        if roster is None or key is None or not roster.has_left(key):
            return False
        return any(
            tip.seq > (self.runs.ends.get(tip.epoch) or NOTHING).seq for cut in roster.leaves[key] for tip in cut
        )

    def _on_wake(self) -> None:
        self._is_woken = False
        if not self.is_destroyed:
            self._guard(self._on_gathered)

    def _on_gathered(self) -> None:
        self._hear_commits()
        self._name()
        self._show_state()

    def _hear_commits(self) -> None:
        commits = self._commits
        if not self.connected or self._is_closing:
            commits.clear()
        if not commits:
            return
        own, other = self.epoch, self._replication.other
        ends = {epoch: end.seq for taken in commits for epoch, end in taken.ends.items() if epoch != own}
        writers = {piece.epoch: piece.birth.key[:LINK_BYTES] for taken in commits for piece in taken.pieces}
        calm = (self._told_links & self._links) | {self._neighbours.other(self)}
        self._is_urgent |= any(writers.get(epoch) not in calm for epoch in ends)
        # Far behind too: in a burst all are, and a wait costs no throughput, since a group goes as a whole.
        lacked = {epoch: seq for epoch, seq in ends.items() if other.has(epoch) < seq}
        is_served = all(writers.get(epoch) in self._links for epoch in lacked)
        if self._relays.note(self.runs.state.last_position, lacked, is_patient=is_served):
            self._wait()
        # Once for all, since with many links each step counts; and without the events, which are not looked at there.
        taken = joined(commits, has_events=False)
        commits.clear()
        self._with_peer(partial(self._replication.committed, taken))
        if not self.is_timing("gather"):
            self._name()

    # Telling, and passing on

    def _name(self) -> None:
        """Tell what was committed and came from others; and again after a little, if there is more."""
        if not self._is_untold or not self.connected or self.is_timing("have"):
            return
        if self._is_urgent:
            self._is_untold = self._is_urgent = False
            self.stop_timer("calm have")
            self.start_timer("have", HAVE_MS, self._name)
            self._replication.tell()
        elif not self.is_timing("calm have"):
            self.start_timer("calm have", CALM_HAVE_MS, self._hurry)

    def _hurry(self) -> None:
        """Tell now what waits calmly."""
        self._is_urgent = True
        self._name()

    def send_pong(self) -> None:
        self._hurry()  # who asks may wait for it
        super().send_pong()

    def _gathering_ms(self) -> float:
        """On a slow link too one message for many: what is sent there comes late anyhow, and makes all else later."""
        usual_ms = self._progress.patience.usual_ms
        crowd = self._neighbours.crowd(self) - FEW_OF_ADDRESS
        crowd_ms = min(CROWD_GATHER_MS * crowd, MAX_CROWD_MS)
        return max(self._gather_ms(), crowd_ms, min(usual_ms / 4, SLOW_GATHER_MS) if usual_ms > SOON_ANSWER_MS else 0)

    def _wait(self) -> None:
        # Others announce after a commit, as this end answers; they may gather still, though we announced early.
        answers_ms = 4 * self._progress.patience.usual_ms
        wait_ms = max(RELAY_MS, min(answers_ms, MAX_RELAY_MS))
        if self._relays.is_patient:
            wait_ms = max(SERVED_MS, answers_ms)
        self.start_timer("relay", wait_ms + self._gathering_ms(), self._on_waited)

    def _on_waited(self) -> None:
        if self._relays.ripen():
            self._wait()
        self._with_peer(self._replication.go_on)

    # Who is connected with whom

    def _on_neighbours(self) -> None:
        if not self.authenticated or not self.connected or self.is_timing("links"):
            return
        links = self._besides(self._neighbours.nodes)
        if links != self._besides(self._told_links):
            self.start_timer("links", LINKS_MS * len(links), self._tell_links)

    def _tell_links(self) -> None:
        links = self._besides(self._neighbours.nodes)
        if links != self._besides(self._told_links):
            self._hurry()  # else it might be passed on where a link was lost
            self._told_links = self._neighbours.nodes
            self.send(RunHave({}, links=tuple(sorted(links)[:MAX_LINKS])))

    def _besides(self, nodes: frozenset[bytes]) -> frozenset[bytes]:
        """These without the other end, which knows of itself."""
        return nodes - {self._neighbours.other(self)}

    def _hear_links(self, message: RunHave) -> None:
        if message.links is None:
            return
        links, before = frozenset(message.links), self._links
        self._links = links
        self._summaries.note_links(self, links)
        if before - links:  # what waited for the end of such a link
            self._relays.release()
            self._with_peer(self._replication.go_on)

    # Summaries

    def reads_summaries(self) -> bool:
        return self._summaries.is_running

    def cost(self, message: Message) -> int:
        """Each summary may have to be verified."""
        return len(message.summaries) if isinstance(message, Summaries) else super().cost(message)

    def dispatch(self, message: Message) -> None:
        if self.authenticated and isinstance(message, Summaries):
            self._summaries.hear(self, self.other_node_id or "", message.summaries)
        else:
            super().dispatch(message)

    def _show_own_summary(self, frame: bytes) -> None:
        if self.connected:
            self.send_frame(frame)

    def _wake_summaries(self, delay_ms: float) -> None:
        if not self.is_timing("summaries"):
            # Some wait longer than others, and hear meanwhile that the other end has it already.
            share = self.random.getrandbits(8) / 256
            self.start_timer("summaries", delay_ms * (1 + SPREAD * share), self._show_summaries)

    def _show_summaries(self) -> None:
        due = self._summaries.due(self)
        if due and self.connected:
            self.send(Summaries(tuple(due)))
