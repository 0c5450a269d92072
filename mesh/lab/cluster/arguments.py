"""What is meant by the arguments of a verb: places by themselves or by name, and amounts; or the sentence why it is nothing."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
from msgspec import Meta

SIMILARITY = 0.5
"""Of names, from which on one may be meant by the other."""
ENDLESS = 1e12
"""Amounts are smaller."""


class Placed(Protocol):
    @property
    def name(self) -> str: ...


class Amount(NamedTuple):
    """What an argument has to be."""

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
    """Raises ValueError if this is not such an amount."""
    try:
        found = msgspec.convert(value, amount.type)
        is_fine = amount is not SPAN or found[0] <= found[1]
    except msgspec.ValidationError:
        is_fine = False
    if not is_fine:
        raise ValueError(f"{verb}: {name} is {value!r}, and has to be {amount.words}")


def name_of(place: Placed | str) -> str:
    """Raises ValueError if it is neither a place nor a name of one."""
    if isinstance(place, str):
        return place
    name = getattr(place, "name", None)
    if not isinstance(name, str):
        raise ValueError(f"{place!r} is neither a room nor a client nor the name of one")
    return name


def names_of_two(verb: str, one: Placed | str, other: Placed | str) -> tuple[str, str]:
    """Raises ValueError if they are the same."""
    pair = name_of(one), name_of(other)
    if pair[0] == pair[1]:
        raise ValueError(f"{verb} is about two places, and both are {pair[0]}")
    return pair


def names_in_groups(groups: Iterable[Any]) -> list[list[str]]:
    """The sides of a wall. Raises ValueError if they are none."""
    example = 'as in partition(["kitchen"], ["study", "attic"])'
    for group in groups:
        if isinstance(group, str) or not isinstance(group, Iterable):
            raise ValueError(f"partition takes groups, {example}, and {group!r} is none")
    named = [[name_of(place) for place in group] for group in groups]
    if len(named) < 2:
        raise ValueError(f"a wall has two sides at least, {example}; heal() tears it down")
    return named


def nobody(name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is nobody's."""
    near = get_close_matches(name, [*known], 1, SIMILARITY)
    hint = f"did you mean {near[0]}?" if near else "start it first"
    return ValueError(f"there is no room {name}: {hint}")


def nothing_held(source: str, target: str) -> ValueError:
    """The error for a `release` without a `hold`."""
    return ValueError(f"release: what {source} sends to {target} is not held: hold it first, the same way round")
