"""The errors of `mesh`, how their sentences name options and what was meant, and how text of others is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Self

_OPTION = re.compile(
    r"`[^`]*`|--(?P<no>no-)?(?P<name>name|home|mesh|existing|open|listen|peer|mdns|interface|requery|limit|metrics|"
    r"(?:clients|upstream)(?:-[a-z]+)*)(?![\w-])(?:[= ](?P<value>lan\b|https?://[^\s,;]+|[\w.:\[\]]*[A-Z]{2}[\w.:\]]*))?"
)
"""A command, which stays as it is, or an option of `mesh up` that Node has, with its value or the placeholder of it."""
_LISTS = {"peer", "interface", "limit", "clients-origin", "clients-host", "upstream-channel"}
_SWITCHES = {"existing", "clients-insecure"}


class MeshError(Exception):
    """An error of a node, a home or a command, as a sentence for users: what is wrong, and what would fix it.

    Errors of the protocol between two nodes are `peers.errors.SyncError`.
    """

    for_commands = ""
    """The sentence with the options of `mesh up`, where this one has keyword arguments of Node in their place."""

    def for_python(self) -> Self:
        """The same error for an application: `--listen` is `listen=` in it."""
        spoken = type(self)(in_python(str(self)))
        spoken.for_commands = str(self)
        return spoken.with_traceback(self.__traceback__)


class NoNodeError(MeshError):
    """No node runs in the home, or it has just stopped. Start one there and try again."""


@contextmanager
def for_python() -> Iterator[None]:
    """Let a MeshError name keyword arguments of Node."""
    try:
        yield
    except MeshError as error:
        raise error.for_python() from error.__cause__


def in_python(sentence: str) -> str:
    """A sentence for an application: where it names options of `mesh up`, keyword arguments of Node stand in their place."""
    return _OPTION.sub(_keyword, sentence)


def _keyword(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    if name is None:
        return found[0]
    keyword = f"{name.replace('-', '_')}{'s' if name in _LISTS else ''}="
    if found["no"]:
        return f"{keyword}False"
    if value:
        return f'{keyword}"{value}"'
    return f"{keyword}True" if name in _SWITCHES else keyword


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """The end of a sentence about an unknown name, with the names that are like it; empty if there are none."""
    near = get_close_matches(name, [*known], n=most)
    return f"; did you mean {', '.join(near)}?" if near else ""


def printable(text: str) -> str:
    """`text` for people, with all that is no letter, mark or sign escaped: text of others must not control a terminal.

    These are control characters, line ends, marks of direction, characters without width, and spaces but the plain one.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
