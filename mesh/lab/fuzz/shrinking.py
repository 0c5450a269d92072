"""Shrinking: make a script that fails as short as it can be while it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from mesh.lab.fuzz.script import Script, Step

MAX_RUNS = 400
"""Plays that one shrinking may cost."""
SHORT_WAITS = (0.0, 0.002, 0.1, 2.0)

Fails = Callable[[Script], bool]


class Shrinking:
    """Takes away rooms, then steps (delta debugging), then what is large in the steps that are left, again until nothing goes.

    Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), without its tests of subsets
    alone: a piece of a story hardly ever fails by itself.
    """

    def __init__(self, fails: Fails, *, max_runs: int = MAX_RUNS) -> None:
        """`fails` plays a script, and says whether it fails as the first one did."""
        self._fails = fails
        self._left = max_runs
        self.runs = 0

    def shrink(self, script: Script) -> Script:
        """The shortest script found within the runs allowed; `script` itself if nothing could be taken away."""
        before = None
        while script != before and self._left > 0:
            before = script
            for smaller in (self._in_memory, self._fewer_rooms, self._fewer_steps, self._smaller_steps):
                script = smaller(script)
        return script

    def _still_fails(self, script: Script) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        self.runs += 1
        return self._fails(script)

    def _in_memory(self, script: Script) -> Script:
        plain = replace(script, store="memory")
        return plain if plain != script and self._still_fails(plain) else script

    def _fewer_rooms(self, script: Script) -> Script:
        for room in reversed(script.rooms):
            if len(script.rooms) == 1:
                break
            without = _without(script, room)
            if self._still_fails(without):
                script = without
        for name, _, _ in script.clients:
            without = _without(script, name)
            if self._still_fails(without):
                script = without
        return script

    def _fewer_steps(self, script: Script) -> Script:
        size = max(1, len(script.steps) // 2)
        while self._left > 0:
            start = 0
            while start < len(script.steps):
                without = replace(script, steps=(*script.steps[:start], *script.steps[start + size :]))
                if self._still_fails(without):
                    script = without
                else:
                    start += size
            if size == 1:
                break
            size //= 2
        return script

    def _smaller_steps(self, script: Script) -> Script:
        for index in range(len(script.steps)):
            for smaller in _smaller(script.steps[index]):
                changed = replace(script, steps=_exchanged(script.steps, index, smaller))
                if self._still_fails(changed):
                    script = changed
                    break
        return script


def _without(script: Script, room: str) -> Script:
    """The same without a room and its clients, or without a client; a wall keeps its other rooms."""
    steps: list[Step] = []
    for step in script.steps:
        if not step.names(room):
            steps.append(step)
        elif step.verb == "wall":
            side = tuple(name for name in step.arguments if name != room)
            if side:
                steps.append(Step("wall", side))
    rooms = tuple(name for name in script.rooms if name != room)
    clients = tuple(client for client in script.clients if room not in client)
    return replace(script, rooms=rooms, steps=tuple(steps), clients=clients)


def _smaller(step: Step) -> Iterator[Step]:
    """Steps that are like this one and less, the least first."""
    if step.verb in {"write", "say", "trip"}:
        room, count, *size = step.arguments
        if size:
            yield Step(step.verb, (room, count))
        for fewer in (1, 2, 5):
            if fewer < count:
                yield Step(step.verb, (room, fewer, *size))
    elif step.verb == "crash" and len(step.arguments) > 1:
        yield Step("crash", step.arguments[:1])
    elif step.verb == "wait":
        for seconds in SHORT_WAITS:
            if seconds < step.arguments[0]:
                yield Step("wait", (seconds,))


def _exchanged(steps: Sequence[Step], index: int, step: Step) -> tuple[Step, ...]:
    return (*steps[:index], step, *steps[index + 1 :])
