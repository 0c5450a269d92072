"""Shrinking: make a script that fails as short as it can be while it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from mesh.lab.fuzz.script import Script, Step

MAX_PLAYS = 400
"""Plays that one shrinking may cost."""
SHORT_WAITS = (0.0, 0.002, 0.1, 2.0)


class Shrinking:
    """Takes away rooms, then steps (delta debugging), then shrinks the steps that are left, again until nothing goes.

    Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), without its tests of subsets
    alone: a part of a script hardly ever fails by itself.
    """

    def __init__(self, fails: Callable[[Script], bool], *, max_plays: int = MAX_PLAYS) -> None:
        """`fails` plays a script and returns whether it failed."""
        self._fails = fails
        self._left = max_plays

    def shrink(self, script: Script) -> Script:
        """The shortest script found within the plays allowed; `script` itself if nothing could be taken away."""
        before = None
        while script != before and self._left > 0:
            before = script
            plain = replace(script, store="memory")
            if plain != script and self._still_fails(plain):
                script = plain
            for smaller in (self._fewer_places, self._fewer_steps, self._smaller_steps):
                script = smaller(script)
        return script

    def _still_fails(self, script: Script) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        return self._fails(script)

    def _fewer_places(self, script: Script) -> Script:
        for name in (*reversed(script.rooms), *(client[0] for client in script.clients)):
            without = _without(script, name)
            if without.rooms and without != script and self._still_fails(without):
                script = without
        return script

    def _fewer_steps(self, script: Script) -> Script:
        size = max(1, len(script.steps) // 2)
        while size and self._left > 0:
            start = 0
            while start < len(script.steps):
                without = replace(script, steps=(*script.steps[:start], *script.steps[start + size :]))
                if self._still_fails(without):
                    script = without
                else:
                    start += size
            size //= 2
        return script

    def _smaller_steps(self, script: Script) -> Script:
        for index in range(len(script.steps)):
            before, after = script.steps[:index], script.steps[index + 1 :]
            candidates = (replace(script, steps=(*before, step, *after)) for step in _smaller(script.steps[index]))
            script = next(filter(self._still_fails, candidates), script)
        return script


def _without(script: Script, place: str) -> Script:
    """The same without a room and its clients, or without a client; a wall keeps its other places."""
    steps: list[Step] = []
    for step in script.steps:
        if not step.names(place):
            steps.append(step)
        elif step.verb == "wall" and len(step.arguments) > 1:
            steps.append(Step("wall", tuple(name for name in step.arguments if name != place)))
    rooms = tuple(name for name in script.rooms if name != place)
    clients = tuple(client for client in script.clients if place not in client)
    liar = script.liar if script.liar in rooms else ""
    return replace(script, rooms=rooms, steps=tuple(steps), clients=clients, liar=liar)


def _smaller(step: Step) -> Iterator[Step]:
    """Steps that are like this one and do less, the smallest first."""
    verb, arguments = step.verb, step.arguments
    if verb in {"write", "say", "trip"}:
        room, count, *size = arguments
        if size:
            yield Step(verb, (room, count))
        yield from (Step(verb, (room, fewer, *size)) for fewer in (1, 2, 5) if fewer < count)
    elif verb == "crash" and len(arguments) > 1:
        yield Step(verb, arguments[:1])
    elif verb == "wait":
        yield from (Step(verb, (seconds,)) for seconds in SHORT_WAITS if seconds < arguments[0])
