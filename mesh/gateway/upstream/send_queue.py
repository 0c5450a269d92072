"""SendQueue: sends messages one at a time, each after the answer to the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from peers.clock import Undo
from peers.codec.messages import Message

ANSWER_MS = 10_000
"""Without an answer for this long, the next message is sent all the same."""


class SendQueue:
    """`push` a message under a name, and report each name that is `answered`."""

    def __init__(
        self,
        send: Callable[[Message], None],
        call_later: Callable[[float, Callable[[], None]], Undo],
        *,
        on_silence: Callable[[str], None],
    ) -> None:
        """`on_silence` gets the name of a message without an answer, before the next one is sent."""
        self._send = send
        self._call_later = call_later
        self._on_silence = on_silence
        self._waiting: deque[tuple[str, Message]] = deque()
        self._awaited: str | None = None
        self._undo: Undo | None = None
        self._is_stopped = False

    def __len__(self) -> int:
        """How many messages are not sent yet."""
        return len(self._waiting)

    def push(self, name: str, message: Message) -> None:
        """Send a message, at once if no answer is awaited."""
        self._waiting.append((name, message))
        self._next()

    def answered(self, name: str) -> None:
        """An answer has arrived; names that are not awaited are ignored."""
        if name == self._awaited:
            self._forget()
            self._next()

    def clear(self) -> None:
        """The link has closed: forget all messages and the awaited answer."""
        self._waiting.clear()
        self._forget()

    def stop(self) -> None:
        """Send no more messages."""
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
