"""What a run says of itself: the lines of its trace, its beats, and where in the story it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from mesh.errors import printable
from mesh.lab.checks.checker import Checker
from mesh.lab.checks.subject import LogHolder
from mesh.lab.recording.timeline import Timeline
from mesh.lab.recording.trace import Trace

SHOWN_HOLDERS = 8
"""A beat counts the events of each room and client if there are up to so many; of more it says the least and the most."""


class Narration:
    """Writes verbs, beats and notices to the trace and the timeline; after a verb or beat the checker looks at all rooms."""

    def __init__(
        self,
        seed: int,
        now: Callable[[], float],
        trace: Trace,
        timeline: Timeline | None,
        checker: Checker,
        on_beat: Callable[[str], None] | None,
    ) -> None:
        """`now` is the virtual time in seconds; `on_beat` gets a line for each beat."""
        self.verbs: Counter[str] = Counter()
        """How often each verb was called, by the first word of its line."""
        self._seed = seed
        self._now = now
        self._trace = trace
        self._timeline = timeline
        self._checker = checker
        self._on_beat = on_beat
        self._beat = ""

    @property
    def moment(self) -> str:
        """Seed, virtual time and last beat: they identify this moment of this run."""
        after = f"after the beat {self._beat!r}" if self._beat else "before the first beat"
        return f"seed {self._seed}, at {self._now():.3f} s, {after}"

    def verb(self, text: str) -> None:
        """A verb was called; its line begins with its name."""
        self._trace.write(f"{self._now():.6f} * {text}")
        self.verbs[text.partition(" ")[0]] += 1
        if self._timeline is not None:
            self._timeline.note_verb(text)
        self._checker.look()

    def beat(self, sentence: str, counts: str) -> None:
        """The story has reached a beat; `counts` is how many events each room holds."""
        self._trace.write(f"{self._now():.6f} * {sentence}  {counts}")
        if self._on_beat is not None:
            self._on_beat(f"{self._now():.3f}s  {sentence}  {counts}")
        self._beat = sentence
        if self._timeline is not None:
            self._timeline.note("beat", text=sentence)
        self._checker.look()

    def notice(self, room: str, text: str) -> None:
        """A node has told its operator something."""
        self._trace.write(f"{self._now():.6f} {room}: {printable(text)}")


def count_events(holders: Sequence[LogHolder]) -> str:
    """How many events each room and client shows."""
    counts = {holder.name: holder.store.state.events for holder in holders}
    if len(counts) <= SHOWN_HOLDERS:
        return "  ".join(f"{name} {count}" for name, count in counts.items())
    least, most = min(counts.values()), max(counts.values())
    return f"{len(counts)} hold {least} each" if least == most else f"{len(counts)} hold {least} to {most}"
