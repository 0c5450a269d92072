"""Checks the arguments of verbs: names of rooms and clients, amounts, protocols. Each refusal is a ValueError."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
from msgspec import Meta

SIMILARITY = 0.5
"""Two names that are at least this similar (0 to 1) may be one with a typing error."""
ENDLESS = 1e12
"""All amounts are smaller."""


class HasName(Protocol):
    """A room or a client."""

    @property
    def name(self) -> str: ...


class MayRun(HasName, Protocol):
    """A room."""

    @property
    def is_running(self) -> bool: ...

    @property
    def is_frozen(self) -> bool: ...


Named = HasName | str
"""A room or a client, or its name."""
ClientProtocol = int | Sequence[int] | str | None
"""Of a client: (0, 1) or "0.1", 5 or 7; None finds out what the other end speaks."""


class Amount(NamedTuple):
    """What an argument has to be: its type and range, and the words for them."""

    type: Any
    words: str


SECONDS = Amount(Annotated[float, Meta(ge=0, lt=ENDLESS)], "a time in seconds, 0 or more")
SHARE = Amount(Annotated[float, Meta(ge=0, le=1)], "a share, 0 to 1")
GAIN = Amount(Annotated[float, Meta(gt=-1, lt=ENDLESS)], "a share by which it gains, more than -1")
RATE = Amount(Annotated[float, Meta(gt=0, lt=ENDLESS)] | None, "bytes in a second, more than 0, or None")
COUNT = Amount(Annotated[int, Meta(ge=0)], "a whole number, 0 or more")
JUMP = Amount(Annotated[int, Meta(gt=-int(ENDLESS), lt=int(ENDLESS))], "a whole number of milliseconds")
_SPAN = tuple[Annotated[float, Meta(ge=0, lt=ENDLESS)], Annotated[float, Meta(ge=0, lt=ENDLESS)]]
SPAN = Amount(_SPAN, "two times in ms, from and to, such as (5, 20)")


def check(verb: str, name: str, value: Any, amount: Amount) -> None:
    """Raise ValueError if the argument `name` of `verb` is not such an amount."""
    try:
        found = msgspec.convert(value, amount.type)
        is_fine = amount is not SPAN or found[0] <= found[1]
    except msgspec.ValidationError:
        is_fine = False
    if not is_fine:
        raise ValueError(f"{verb}: {name} is {value!r}, and has to be {amount.words}")


def check_types(types: Any) -> None:
    """Raise ValueError if these are neither a list of types nor None."""
    if types is not None and (isinstance(types, str) or not isinstance(types, Sequence)):
        raise ValueError(f"assert_converged takes a list of types, as in [{types!r}]")


def check_awake(room: MayRun) -> None:
    """Raise ValueError if a room does not run or is frozen: nothing in it would answer."""
    if not room.is_running:
        raise ValueError(f"{room.name} does not run: start it first")
    if room.is_frozen:
        raise ValueError(f"{room.name} is frozen: thaw it first")


def name_of(place: Named) -> str:
    """The name of a room or client. Raises ValueError for anything else."""
    if isinstance(place, str):
        return place
    name = getattr(place, "name", None)
    if not isinstance(name, str):
        raise ValueError(f"{place!r} is neither a room nor a client nor the name of one")
    return name


def names_of_two(verb: str, one: Named, other: Named) -> tuple[str, str]:
    """The names of two places. Raises ValueError if they are the same."""
    pair = name_of(one), name_of(other)
    if pair[0] == pair[1]:
        raise ValueError(f"{verb} is about two places, and both are {pair[0]}")
    return pair


def names_in_groups(groups: Iterable[Any]) -> list[list[str]]:
    """The names on each side of a wall. Raises ValueError if these are not two groups of places or more."""
    example = 'as in partition(["kitchen"], ["study", "attic"])'
    for group in groups:
        if isinstance(group, str) or not isinstance(group, Iterable):
            raise ValueError(f"partition takes groups, {example}, not {group!r}")
    named = [[name_of(place) for place in group] for group in groups]
    if len(named) < 2:
        raise ValueError(f"partition takes two groups or more, {example}; heal() removes the wall")
    return named


def check_address(what: str, address: str, rooms: Iterable[str]) -> None:
    """Raise ValueError if an address is not `room:port`, or if there is no such room."""
    room, _, port = address.partition(":")
    if not port.isdigit():
        raise ValueError(f"{what}: {address!r} is not an address: write room:port, the port one that the room serves")
    if room not in rooms:
        raise no_such_place(room, rooms)


def read_protocol(client: str, protocol: ClientProtocol) -> int | tuple[int, int] | None:
    """A protocol as ClientSync takes it. Raises ValueError for one that no client of the lab speaks."""
    if protocol is None or protocol in (5, 7):
        return protocol
    if protocol == "0.1" or (isinstance(protocol, Sequence) and list(protocol) == [0, 1]):
        return (0, 1)
    raise ValueError(f"client {client}: {protocol!r} is no protocol of Logux here: choose (0, 1), 5, 7 or None")


def no_such_place(name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that no room and no client has."""
    near = get_close_matches(name, [*known], 1, SIMILARITY)
    hint = f"did you mean {near[0]}?" if near else "start it first"
    return ValueError(f"there is no room {name}: {hint}")
