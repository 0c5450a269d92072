"""Channels: what the clients of a node may subscribe to, and what they get first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.errors import MeshError
from mesh.gateway.clients.access import may_write
from peers.events.created import Created
from peers.events.entry import Entry

Load = Callable[[str, Mapping[str, str]], Sequence[Mapping[str, Any]] | Awaitable[Sequence[Mapping[str, Any]]]]
"""(user, params) -> the events that the client gets first, or a coroutine of them. It may raise Denied."""

CHANNELS = "channels"
"""The key of an event's meta with the list of its channels."""
MAX_CHANNEL_CHARACTERS = 512


class Denied(Exception):
    """Raised by a function of `channels`: the subscription is refused, and the client gets `logux/undo` with this reason."""

    def __init__(self, reason: str = "denied") -> None:
        super().__init__(reason)
        self.reason = str(reason).encode(errors="backslashreplace").decode()  # JSON has no half of a surrogate pair


@dataclass(frozen=True, slots=True)
class MatchedChannel:
    """What a channel of a client stands for."""

    pattern: str
    load: Load
    params: Mapping[str, str]
    """The parts of the channel by the names that the pattern gives them."""


class Channels:
    """Patterns of channels as `stock/:item`, with the function for each: `:item` stands for one part between slashes."""

    def __init__(self, loads: Mapping[str, Load]) -> None:
        """If several patterns fit a channel, the first one counts. Raises MeshError for what cannot be used."""
        given: object = loads
        if not isinstance(given, Mapping) or not all(isinstance(one, str) and callable(given[one]) for one in given):
            raise MeshError(
                f'`channels` has a function for each pattern of channels, as in {{"stock/:item": load}}: it cannot be {given!r}'
            )
        for pattern in loads:
            names = [part[1:] for part in pattern.split("/") if part.startswith(":")]
            if not pattern or len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
                raise MeshError(
                    f"the channel {pattern!r} cannot be used: write parts with slashes between them, as in stock/:item, "
                    "each :NAME once, of letters, digits and _"
                )
        self._loads = [(pattern, pattern.split("/"), load) for pattern, load in loads.items()]

    def find(self, channel: object) -> MatchedChannel | None:
        """What fits the channel that a client named; None: nothing does, or it is no channel."""
        if not isinstance(channel, str) or len(channel) > MAX_CHANNEL_CHARACTERS:
            return None
        parts = channel.split("/")
        for pattern, names, load in self._loads:
            pairs = list(zip(names, parts, strict=False))
            if len(names) == len(parts) and all(
                bool(part) if name.startswith(":") else name == part for name, part in pairs
            ):
                return MatchedChannel(pattern, load, {name[1:]: part for name, part in pairs if name.startswith(":")})
        return None


def channels_of(entry: Entry) -> Sequence[str]:
    """The channels in the meta of an event; empty if it names none, or if they are not a list of text."""
    key = f'"{CHANNELS}"'.encode()
    if key not in entry.extra and key not in entry.local:
        return ()
    named: object = entry.meta.get(CHANNELS)
    return named if isinstance(named, list) and all(isinstance(channel, str) for channel in named) else ()


def goes_to_writer(entry: Entry, target: Created | None, channels: Sequence[str], user: str) -> bool:
    """Whether an event goes to the clients of `user` without a subscription: those without channels go to their writer's.

    `target` is what it undoes, or None. As in Logux, an undo goes to the user who wrote the event, too.
    """
    writer = entry.created[1] if target is None else target[1]
    return (not channels or target is not None) and may_write(user, writer, dialect_is_01=False)
