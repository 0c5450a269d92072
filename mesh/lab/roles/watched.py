"""The role of rooms between nodes, which notes what comes over its links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peers.codec.messages import Message
from peers.codec.run_messages import Fill, Greeting, Pieces, RunHave
from peers.events.columns import events_of
from peers.events.dot import Epoch
from peers.events.ends import EndsSnapshot
from peers.roles.run_peer import RunPeerSync

OnEvents = Callable[[int, str | None, str], None]


class WatchedPeerSync(RunPeerSync):
    """A RunPeerSync that counts the events that come, and names entries that its greeting said it has."""

    def __init__(self, *args: Any, on_events: OnEvents, **options: Any) -> None:
        """`on_events` gets the events of each message, the node that sent them, and what of it was known: empty if nothing."""
        self._had: EndsSnapshot | None = None
        """What our greeting says; the link may have opened earlier, and a proof that came meanwhile takes entries away."""
        self._anew: dict[Epoch, int] = {}
        """From where on it has said since that it takes epochs anew."""
        self._on_events = on_events
        super().__init__(*args, **options)

    def _greet(self, node_id: str | None, other_key: bytes | None, then: Callable[[Greeting], None]) -> None:
        def greeted(greeting: Greeting) -> None:
            self._had = self.ends.snapshot()
            then(greeting)

        super()._greet(node_id, other_key, greeted)

    def send(self, message: Message) -> None:
        if isinstance(message, RunHave):
            self._anew |= {epoch: message.ends[epoch].seq for epoch in message.anew}
        super().send(message)

    def dispatch(self, message: Message) -> None:
        if self.authenticated and isinstance(message, Pieces):
            count = sum([len(events_of(piece.items)) for piece in message.pieces])
            self._on_events(count, self.other_node_id, self._known(message))
        elif self.authenticated and isinstance(message, Fill):
            self._on_events(len(message.events), self.other_node_id, "")
        super().dispatch(message)

    def _known(self, message: Pieces) -> str:
        for piece in message.pieces:
            had = self._had.get(piece.epoch) if self._had is not None else None
            known = 0 if had is None else min(had.seq, self._anew.get(piece.epoch, had.seq))
            if piece.start <= known:
                return f"entries {piece.start} to {min(piece.last, known)} of {piece.epoch}"
        return ""
