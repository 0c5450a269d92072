"""Replay: what to type to play the scenario of a script again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mesh.errors import MeshError
from mesh.lab.runner.folder import folder


def replay_of_script() -> str:
    """How the running script can be called again from any folder, without the options of a scenario; "" if it cannot.

    The call keeps the options of Python and the arguments that the script itself took out of `sys.argv`.
    """
    program, called = sys.argv[0], sys.orig_argv[1:]
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and "-m" in called:
        place = called.index("-m")
        return _call([*called[:place], "-m", called[place + 1]], called[place + 2 :])
    if not program or not Path(program).is_file():
        return ""  # `python -c`, or an interactive session
    if _is_in_library(program):
        return shlex.join(["python", program])
    place = called.index(program) if program in called else 0
    return _call([*called[:place], str(Path(program).resolve())], called[place + 1 :] if program in called else [])


def _call(start: Sequence[str], arguments: Sequence[str]) -> str:
    """The call with those arguments that are not left for the scenario."""
    own = list(reversed(arguments))
    for left in reversed(sys.argv[1:]):
        if left in own:
            own.remove(left)
    return shlex.join([sys.executable, *start, *reversed(own)])


def _is_in_library(program: str) -> bool:
    """Whether it is called by its path from the folder that the folder of the scenarios is in."""
    try:
        library = folder()
    except MeshError:
        return False
    return not Path(program).is_absolute() and Path(program).resolve().parent == library == Path(library.name).resolve()
