"""ControlClient: a blocking connection from a command to the node that runs in a home."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from msgspec import Raw

from mesh.control import messages
from mesh.control.line_reader import LineReader
from mesh.control.mesh_texts import MeshTexts
from mesh.control.messages import Answer, Confirmed, Rejected, Request
from mesh.control.unix_socket import connect_in
from mesh.errors import MeshError, NoNodeError
from mesh.settings.home_lock import holder, is_locked
from mesh.settings.paths import start_of

if TYPE_CHECKING:
    from peers.events.created import Created

AnswerKind = TypeVar("AnswerKind", bound=Answer)

NODE_SECONDS = 10.0
"""Within which a node answers, and within which it stops."""
WRITE_SECONDS = 60.0
"""The same of what it writes: its disk may be slow, or busy."""
STOP_CHECK_SECONDS = 0.02
"""Between two checks whether a node has stopped."""
SOCKET_READ_BYTES = 64 * 1024
"""Read from the socket at once."""


class ControlClient:
    """Requests to a running node. Use it in a `with`.

    Everything raises MeshError with a sentence if the node refuses a request or does not answer within NODE_SECONDS, and
    NoNodeError if no node runs or it stops.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._lines = LineReader(messages.MAX_LINE_BYTES)
        self._received: deque[bytes | None] = deque()
        try:
            self.connection = connect_in(home)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise NoNodeError(_why_no_node(home)) from None
        except OSError as error:
            raise MeshError(f"cannot talk to the node in {home}: {error.strerror or error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.connection.close()

    def status(self) -> dict[str, Any]:
        """The object of `mesh status --json`, see mesh.membership.status."""
        return self._ask(messages.Show(), messages.Shown).status

    def examine(self) -> list[dict[str, Any]]:
        """The rows of Node.examine."""
        return self._ask(messages.Examine(), messages.Examined).links

    def story(self, which: Created | int) -> dict[str, Any] | None:
        """The story of an event: see EventStory. None if it is not known."""
        asked = messages.Tell(added=which) if isinstance(which, int) else messages.Tell(which)
        return self._ask(asked, messages.Told).story

    def retry(self) -> None:
        """Let the node start again what it paused or refused."""
        self._ask(messages.Retry(), messages.Done)

    def options(self) -> dict[str, Any] | None:
        """With what the node was made, see Node.shown_options; None from one of an earlier release."""
        try:
            return self._ask(messages.ShowOptions(), messages.OptionsShown).options
        except NoNodeError:
            raise
        except MeshError:
            return None

    def reload(self) -> list[str]:
        """Let the node read its options again; the result says what it took over, and what not."""
        return self._ask(messages.Reload(), messages.Reloaded).lines

    def wait(self, peers: int, timeout_seconds: float) -> None:
        """Wait until at least `peers` others are connected, and the node and each of them have the same events."""
        self._ask(messages.Wait(peers, timeout_seconds), messages.Done, seconds=timeout_seconds + NODE_SECONDS)

    def static_peers(self) -> list[dict[str, str | None]]:
        """The rows of `mesh peer list --json`, see Node.static_peers."""
        return self._ask(messages.ShowPeers(), messages.Peers).rows

    def change_peer(self, address: str, is_wanted: bool) -> None:
        """Let the node dial an address from now on, or, without `is_wanted`, no longer."""
        self._ask(messages.ChangePeer(address, is_wanted), messages.Done)

    def add(
        self, events: Sequence[Raw], metas: Sequence[dict[str, Any] | None], keys: Sequence[str]
    ) -> Sequence[Confirmed | Rejected]:
        """Add events with their metas and keys, at most BATCH_EVENTS; what became of each."""
        request = messages.Add(list(events), list(keys), list(metas))
        return self._ask(request, messages.Added, seconds=WRITE_SECONDS).outcomes

    def take(self, mesh: bytes, frames: Sequence[bytes]) -> messages.FramesTaken:
        """Let the node take records of an archive of this mesh, of at most FRAMES_BYTES in all, but for one."""
        return self._ask(messages.TakeFrames(mesh, list(frames)), messages.FramesTaken, seconds=WRITE_SECONDS)

    def texts(self) -> MeshTexts:
        """The facts of the mesh, and the proofs of forks."""
        found = MeshTexts([], [])
        self._send(messages.ShowFacts())
        while isinstance(answer := self._next_answer(messages.Texts | messages.Done), messages.Texts):
            found.facts.extend(answer.facts)
            found.proofs.extend(answer.proofs)
        return found

    def invite(
        self, ttl_seconds: int, uses: int, *, with_log: bool = False, recovery_code: str | None = None
    ) -> messages.Invited:
        """Open an invite code: see Inviting.invite."""
        return self._ask(messages.Invite(ttl_seconds, uses, with_log, recovery_code), messages.Invited)

    def cut(self, key: bytes) -> list[messages.CutTip]:
        """How far the node holds what this key has written: see NodeMesh.cut."""
        return self._ask(messages.ShowCut(key), messages.CutShown).tips

    def state(self, facts: list[bytes]) -> None:
        """Let the node take facts into its log, and tell them the others."""
        self._ask(messages.State(facts), messages.Done)

    def leave(self) -> int:
        """Let the node leave its mesh, and stop. Returns how many others have taken the fact; raises as `stop`."""
        told = self._ask(messages.LeaveMesh(), messages.Left).told
        self._until_stopped()
        return told

    def stop(self) -> None:
        """Stop the node. It has stopped when this returns. Raises MeshError after NODE_SECONDS."""
        self._ask(messages.Stop(), messages.Done)
        self._until_stopped()

    def read(self, request: messages.Read) -> Iterator[list[Raw]]:
        """Lists of the requested events, each `{"event": ..., "meta": ...}`. It does not end if the request follows the log."""
        self._send(request)
        while isinstance(answer := self._next_answer(messages.Events | messages.Done), messages.Events):
            yield answer.items

    def receive(self) -> list[Answer]:
        """Read from the socket once; returns the answers that are complete then."""
        self._receive_bytes()
        return [self._take() for _ in range(len(self._received))]

    def lost(self) -> MeshError:
        """The error to raise when the connection breaks."""
        return NoNodeError(f"the node in {self.home} stopped")

    def _until_stopped(self) -> None:
        for _ in range(round(NODE_SECONDS / STOP_CHECK_SECONDS)):
            if not is_locked(self.home):
                return
            select.select([], [], [], STOP_CHECK_SECONDS)
        raise MeshError(
            f"the node in {self.home}{holder(self.home)} has not stopped within {NODE_SECONDS:.0f} s: end its process"
        )

    def _ask(self, request: Request, kind: type[AnswerKind], *, seconds: float = NODE_SECONDS) -> AnswerKind:
        self.connection.settimeout(seconds)
        self._send(request)
        answer: AnswerKind = self._next_answer(kind)
        self.connection.settimeout(None)
        return answer

    def _send(self, request: Request) -> None:
        try:
            self.connection.sendall(messages.encode(request))
        except TimeoutError:
            raise self._silent() from None
        except OSError:
            raise self.lost() from None

    def _next_answer(self, kind: Any) -> Any:
        while not self._received:
            self._receive_bytes()
        answer = self._take()
        if isinstance(answer, messages.Failure):
            raise MeshError(self._why_not(answer.why))
        if not isinstance(answer, kind):
            raise MeshError(f"the node in {self.home} answered another request: is it of another version?")
        return answer

    def _receive_bytes(self) -> None:
        try:
            received = self.connection.recv(SOCKET_READ_BYTES)
        except TimeoutError:
            raise self._silent() from None
        except BlockingIOError:
            return
        except ConnectionError:
            raise self.lost() from None
        if not received:
            raise self.lost()
        self._received.extend(self._lines.feed(received))

    def _take(self) -> Answer:
        line = self._received.popleft()
        if line is None:
            raise MeshError(
                f"the node in {self.home} answered with more than {messages.MAX_LINE_BYTES} bytes in a line"
            )
        try:
            return messages.decode_answer(line)
        except ValueError as error:
            raise MeshError(f"the node in {self.home} may be of another version: {error}") from None

    def _why_not(self, why: str) -> str:
        if not why.startswith(f"the request {messages.NOT_UNDERSTOOD}"):
            return why
        return (
            f"the node in {self.home} is of another release than this command: restart it with the same release ({why})"
        )

    def _silent(self) -> MeshError:
        seconds = self.connection.gettimeout() or NODE_SECONDS
        return MeshError(
            f"the node in {self.home}{holder(self.home)} has not answered within {seconds:.0f} s: "
            "try again, or restart it"
        )


def _why_no_node(home: Path) -> str:
    if is_locked(home):
        return (
            f"the node in {home}{holder(home)} is just starting or stopping: try again in a moment, "
            "and if that does not help, end its process"
        )
    return f"no node runs in {home}: {start_of(home)}"
