"""SecondHolder: notices by the log that another machine writes with this node's key, though no node is connected with both."""

from __future__ import annotations

from collections.abc import Callable

from peers.events.columns import events_of
from peers.events.dot import Epoch
from peers.events.piece import Piece
from peers.log.run_log import RunCommit


class SecondHolder:
    """Looks at what comes from others under the key of this node, in epochs that it did not write since its start.

    After a home was put back from a backup, its own lost events come so too, but none that was written since this start. A
    clock that was put back in between makes them look like those of a second machine: users are told once, no more happens.
    """

    def __init__(
        self,
        key: bytes,
        node_id: str,
        since_ms: int,
        own_epoch: Callable[[], Epoch | None],
        on_second: Callable[[], None],
    ) -> None:
        """`key` is the public key of this node; no event that it wrote before its start has a time after `since_ms`.

        `own_epoch` returns the epoch in which it writes at present. `on_second` is called once.
        """
        self._key, self._node_id, self._since_ms = key, node_id, since_ms
        self._own_epoch, self._on_second = own_epoch, on_second
        self._own: set[Epoch | None] = set()
        self._is_said = False

    def on_commit(self, commit: RunCommit) -> None:
        """The log has changed."""
        epoch = self._own_epoch()
        self._own.add(epoch)
        if epoch is not None and not self._is_said and any(map(self._is_of_second, commit.taken.pieces)):
            self._is_said = True
            self._on_second()

    def _is_of_second(self, piece: Piece) -> bool:
        if piece.birth.key != self._key or piece.epoch in self._own:
            return False
        return any(
            event.created[0] > self._since_ms and event.created[1] == self._node_id for event in events_of(piece.items)
        )
