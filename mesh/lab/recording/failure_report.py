"""The report of a failed run, for the author of the scenario: a sentence, and where in the scenario it failed."""

from __future__ import annotations

import ast
import linecache
import sysconfig
from contextlib import suppress
from pathlib import Path
from traceback import FrameSummary, StackSummary, TracebackException, extract_tb

LAB = Path(__file__).parents[1]
OURS = (LAB.parents[1] / "mesh", LAB.parents[1] / "peers")
PACKAGED_SCENARIOS = LAB / "stories"
"""Where the wheel puts the scenarios."""
LOOP = str(LAB / "simulation" / "virtual_loop.py")
"""An error that came through it is one of the cluster, whichever code raised it."""
SHOWN_LINES = 30
"""How many lines of the trace's end are shown after a failure."""
LIBRARIES = tuple(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))


def explain(error: BaseException, moment: str = "") -> str:
    """A sentence: what went wrong and where in the scenario; `moment` says when, for errors that do not."""
    places = extract_tb(error.__traceback__)
    sentence = ", ".join([_describe(error, places), *getattr(error, "__notes__", ())])
    when = f" ({moment})" if moment and "(seed " not in sentence else ""
    theirs = _theirs(places)
    where = f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""
    return f"{sentence}{when}{where}"


def is_mistake(error: BaseException) -> bool:
    """Whether a verb of the lab refused what the scenario asked for."""
    if not (isinstance(error, ValueError) or type(error) is RuntimeError):
        return False
    ours = _after_story(extract_tb(error.__traceback__))
    return bool(ours) and all(_is_in(place, LAB) and place.filename != LOOP for place in ours)


def lines_about(error: BaseException) -> list[str]:
    """The traceback: for an error of the scenario its own frames alone, for one of the product all frames."""
    places = extract_tb(error.__traceback__)
    if is_mistake(error):
        return "".join(_theirs(places).format()).splitlines()
    blamed = [place for place in places if not _is_library(place)]
    is_of_lab = isinstance(error, AssertionError) and bool(str(error))
    report = TracebackException.from_exception(error)
    if blamed and not _is_ours(blamed[-1]):
        if isinstance(error, AssertionError):
            return []
        _leave_out_ours(report)
    elif is_of_lab and all(_is_in(place, LAB) for place in _after_story(places)):
        return []
    return "".join(report.format()).splitlines()


def _describe(error: BaseException, places: StackSummary) -> str:
    if isinstance(error, AssertionError):
        return str(error) or f"{_quote(places)} is not so"
    if isinstance(error, SystemExit):
        return f"the story called sys.exit({'' if error.code is None else repr(error.code)}), and a story ends by its return"
    return str(error) if is_mistake(error) else f"{type(error).__name__}: {error}"


def _quote(places: StackSummary) -> str:
    """The condition of an assert without a message."""
    if not places or places[-1].lineno is None:
        return "an assertion"
    source, line = "".join(linecache.getlines(places[-1].filename)), places[-1].lineno
    with suppress(SyntaxError, ValueError):  # the file may be another by now
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Assert) and node.lineno <= line <= (node.end_lineno or node.lineno):
                is_long = node.test.lineno != node.test.end_lineno
                return f"`{ast.unparse(node.test) if is_long else ast.get_source_segment(source, node.test)}`"
    return "an assertion"


def _leave_out_ours(report: TracebackException) -> None:
    """Remove the frames of this package, also from the errors that led to this one."""
    report.stack = StackSummary.from_list([place for place in report.stack if not _is_ours(place)])
    for earlier in (report.__cause__, report.__context__):
        if earlier is not None:
            _leave_out_ours(earlier)


def _theirs(places: StackSummary) -> StackSummary:
    """Frames of the scenario and of the modules beside it."""
    return StackSummary.from_list([place for place in places if not _is_ours(place) and not _is_library(place)])


def _after_story(places: StackSummary) -> list[FrameSummary]:
    """The frames after the last one of the scenario, from the outside in; all if the scenario had returned."""
    after: list[FrameSummary] = []
    for place in places:
        after = [*after, place] if _is_ours(place) or _is_library(place) else []
    return after


def _is_ours(place: FrameSummary) -> bool:
    return any(_is_in(place, folder) for folder in OURS) and not _is_in(place, PACKAGED_SCENARIOS)


def _is_library(place: FrameSummary) -> bool:
    is_known = any(_is_in(place, folder) for folder in LIBRARIES)
    return (is_known and not _is_in(place, PACKAGED_SCENARIOS) and not _is_ours(place)) or place.filename.startswith(
        "<frozen "
    )


def _is_in(place: FrameSummary, folder: Path) -> bool:
    return Path(place.filename).is_relative_to(folder)
