"""Plays a scenario on real hosts for the command line, and leaves no process or file behind."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, cast

from mesh.errors import MeshError
from mesh.lab.live.cluster import LiveCluster
from mesh.lab.live.namespaces import NetLabError, find_flags
from mesh.lab.live.not_live import NotLive, names_in, why_not_live
from mesh.lab.recording.failure_report import SHOWN_LINES, is_mistake, lines_about
from mesh.terminal.output import complain

if TYPE_CHECKING:
    from mesh.lab.cluster.cluster import Cluster

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class _Ended(SystemExit):
    """A signal ends this process: it is no failure of the story."""


def play_live(
    story: Callable[[Cluster], None],
    explain: Callable[[BaseException], str],
    *,
    is_traced: bool = False,
    replay: str = "",
) -> int:
    """Play a story once and print its beats, or with `is_traced` the whole trace. Returns the exit code.

    `explain` makes a sentence of what the story raised; `replay` is the command that plays it again, if that is known. All
    failures are printed, none is raised.
    """
    name = story.__name__
    reason = why_not_live(story)
    if reason is not None:
        return _refuse(name, f"this story cannot be played live: it {reason}")
    flags, missing = find_flags()
    if flags is None:
        return _refuse(name, f"stories cannot be played live here: {missing}")
    cluster: LiveCluster | None = None
    try:
        with _ended_by_signals():
            cluster = LiveCluster(
                flags,
                now_seconds=monotonic,
                on_line=_print,
                on_trace=_print if is_traced else None,
                has_small_disks="disk_full" in names_in(story.__code__),
            )
            with cluster:
                story(cast("Cluster", cluster))
    except NotLive as error:
        return _refuse(name, f"this story cannot be played live: it {error}")
    except _Ended:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any error that a story causes is a finding
        _show_failure(name, error, explain(error), cluster)
        if replay:
            print(f"replay: {replay} --live", file=sys.stderr)
        return 1
    return 0


def _show_failure(name: str, error: BaseException, sentence: str, cluster: LiveCluster | None) -> None:
    is_ours = not is_mistake(error)
    if cluster is not None and is_ours:
        print(*cluster.trace[-SHOWN_LINES:], sep="\n", file=sys.stderr)
    if not isinstance(error, (MeshError, NetLabError)):
        print("".join(f"{line}\n" for line in lines_about(error)), end="", file=sys.stderr)
    complain(f"{name} failed live: {sentence}")
    for line in cluster.saw if cluster is not None and is_ours else []:
        complain(f"  {line}")


def _refuse(name: str, sentence: str) -> int:
    complain(f"{name}: {sentence}")
    return 1


def _print(line: str) -> None:
    with suppress(OSError):  # the command reports it at its end: it is no failure of the story
        print(line, flush=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let signals that would end this process at once raise _Ended, so that it cleans up, as after Ctrl-C."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise _Ended(128 + number)

    before = {number: signal.signal(number, end) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
