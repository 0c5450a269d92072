"""What the exchange of runs over one link needs from its role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from peers.codec.messages import Message
from peers.codec.pieces import RawPiece
from peers.events.dot import Epoch
from peers.events.ends import Ends
from peers.events.epoch import Birth
from peers.events.piece import Piece
from peers.events.reconcile import Differ, Same
from peers.stores.run_store import RunStore
from peers.stores.taken import Taken

T = TypeVar("T")


class BadPeer(Exception):
    """The other end sent what no node sends. The text says what; the link has to end."""


class RunRole(Protocol):
    """One end of one link, as far as Replication needs it.

    The store does what is asked of it in order, later or at once. Its commits, for this link or another, and the answers are
    heard in that order too: a commit before the answer to the write that made it. After the link ended nothing is heard.
    Where the disk fails, the role ends the link, and the answer does not come.
    """

    @property
    def key(self) -> bytes:
        """Our public key."""

    @property
    def epoch(self) -> Epoch | None:
        """The epoch that our next own entry continues, as of the last commit that was heard."""

    @property
    def ends(self) -> Ends:
        """Our vector, as of the last commit that was heard."""

    def send(self, message: Message | Same | Differ) -> None:
        """Send a message. One that is sent after the end of the link is dropped."""

    def encode(self, piece: Piece) -> RawPiece:
        """A piece with its bytes on the wire: once for all sessions, and those that came where they still fit."""

    def read(self, work: Callable[[RunStore], T], then: Callable[[T], None]) -> None:
        """Ask the store for something; `then` gets the answer."""

    def write(
        self,
        work: Callable[[RunStore], Sequence[Taken]],
        then: Callable[[Sequence[Taken]], None],
        *,
        is_next_part: bool = False,
    ) -> None:
        """Ask the store to write, in one transaction; `then` gets what was done, after it was committed.

        `is_next_part`: for `rest` it is one with the write before.
        """

    def is_awaited(self) -> bool:
        """Whether others wait for the store: asked in a work, which may do less then, and the rest later."""

    def is_shared(self) -> bool:
        """Whether others waited for the store at, or shortly before, the last write that was told to `rest`."""

    def walk_limit(self) -> int:
        """The position up to which the walk may go now: the last one, or before entries of others that wait a little."""

    def rest(self, was_awaited: bool, then: Callable[[], None]) -> None:
        """Call `then`, after as long as the last write took if others use the store: `was_awaited` says that they do now."""

    def may_send(self) -> bool:
        """Whether one more message with events may go now; if not, one more acknowledgement is to come."""

    def page_bytes(self) -> int:
        """Bytes of the events of one message, at most, but for one run or event: no more than half of a frame."""

    def clock_ms(self) -> int:
        """What the timer of the store rises to."""

    def trusts(self, birth: Birth) -> bool:
        """Whether epochs of its key that are new here, and proofs that these forked, are taken: not after too many proofs, and
        of no node of which nothing counts in the mesh.
        """

    def may_begin(self, birth: Birth) -> bool:
        """Whether an epoch that is new here is taken; asked once for each message that brings it."""

    def has_room(self) -> bool:
        """Whether what others wrote is taken; if not, `Replication.on_room` is called later."""

    def on_pieces(self, taken: Taken, idle_messages: int, idle_bytes: int) -> None:
        """Pieces, fills or facts are committed: what they brought; and how much came that no honest end sends.

        That is messages with nothing but it, and bytes: what came over this link before, or cannot be taken.
        """

    def is_news(self, hollow: bytes) -> bool:
        """Whether the other end has to say what it wants, of which its greeting gave this digest alone.

        Not if `on_served` was called with it for that node, and this store got no event for a hollow entry since.
        """

    def on_served(self, hollow: bytes) -> None:
        """The other end was given all that it wanted, by this digest, and that is here."""

    def on_untold(self) -> None:
        """There is something to tell that may wait a little for more: `Replication.tell`."""

    def on_doubt(self) -> None:
        """The other end named less of an epoch than is here: call `Replication.compare`, now or after a while."""
