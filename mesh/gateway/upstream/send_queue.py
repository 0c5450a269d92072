"""SendQueue: messages that go out one at a time, each once the other end has answered the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from peers.clock import Undo
from peers.codec.messages import Message

ANSWER_MS = 10_000
"""How long an answer may take before the next message goes out all the same."""


class SendQueue:
    """`push` what is to be sent under a name, and say which name was `answered`."""

    def __init__(
        self,
        send: Callable[[Message], None],
        call_later: Callable[[float, Callable[[], None]], Undo],
        *,
        on_silence: Callable[[str], None],
    ) -> None:
        """`on_silence` is called with the name that was not answered, before the next message goes out."""
        self._send = send
        self._call_later = call_later
        self._on_silence = on_silence
        self._waiting: deque[tuple[str, Message]] = deque()
        self._awaited: str | None = None
        self._undo: Undo | None = None
        self._is_stopped = False

    def __len__(self) -> int:
        """How many messages have not gone out."""
        return len(self._waiting)

    def push(self, name: str, message: Message) -> None:
        """Send it, at once if no answer is awaited."""
        self._waiting.append((name, message))
        self._next()

    def answered(self, name: str) -> None:
        """An answer came, perhaps to something else."""
        if name == self._awaited:
            self._forget()
            self._next()

    def clear(self) -> None:
        """The link is gone: nothing waits, and no answer comes."""
        self._waiting.clear()
        self._forget()

    def stop(self) -> None:
        """Nothing goes out any more."""
        self._is_stopped = True

    def _next(self) -> None:
        if self._awaited is not None or not self._waiting or self._is_stopped:
            return
        self._awaited, message = self._waiting.popleft()
        self._undo = self._call_later(ANSWER_MS, partial(self._give_up, self._awaited))
        self._send(message)

    def _give_up(self, name: str) -> None:
        self._on_silence(name)
        self.answered(name)

    def _forget(self) -> None:
        self._awaited = None
        if self._undo is not None:
            self._undo()
            self._undo = None
