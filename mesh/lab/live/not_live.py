"""What real hosts do not offer to a story, and how that is found in its code before it is played."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType

from mesh.errors import MeshError

NOT_LIVE = {
    "skew": "skews clocks",
    "drift": "lets clocks drift",
    "forge_sighting": "forges sightings",
    "repeat_sighting": "forges sightings",
    "bad_air": "lets sightings get lost",
    "failing_commits": "lets commits fail",
    "move": "has Logux clients",
    "client": "has Logux clients",
    "dials": "counts attempts to dial",
    "events_came": "counts events on their way",
    "resume": "lets a machine go on from a snapshot of its memory",
    "copy_home": "copies a home with its key",
    "make_hostile": "has a hostile node",
    "revoke": "revokes a key",
    "store": "looks at a disk",
    "seed": "depends on its seed",
    "app": "runs an application in its rooms",
}
"""Names of Cluster and Room that real hosts do not offer, and what a story that uses one of them does."""


class NotLive(MeshError):
    """A story wants what real hosts do not offer; the text completes "this story cannot be played live: it ..."."""


def why_not_live(story: Callable[..., None]) -> str | None:
    """What a story does that real hosts cannot, found by the names in its code; None: it may be played live."""
    used = names_in(story.__code__)
    return next((reason for name, reason in NOT_LIVE.items() if name in used), None)


def names_in(code: CodeType) -> set[str]:
    """The names that the code of a story uses, inner functions included."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return {*code.co_names, *(name for one in inner for name in names_in(one))}
