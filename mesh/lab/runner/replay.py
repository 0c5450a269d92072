"""Replay: what to type to play the story of a script again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mesh.errors import MeshError


def replay_of_script() -> str:
    """How the running script can be called again from any folder, without the options of a story; "" if it cannot.

    Arguments of its own, which it took out of `sys.argv`, are among them, and options of Python.
    """
    program, called = sys.argv[0], sys.orig_argv[1:]
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and "-m" in called:
        place = called.index("-m")
        return _join([*called[:place], "-m", called[place + 1]], called[place + 2 :])
    if not program or not Path(program).is_file():
        return ""  # `python -c`, or typed in
    if _is_in_gallery(program):
        return shlex.join(["python", program])
    place = called.index(program) if program in called else 0
    return _join([*called[:place], str(Path(program).resolve())], called[place + 1 :] if program in called else [])


def _join(start: Sequence[str], arguments: Sequence[str]) -> str:
    return shlex.join([sys.executable, *start, *_own(arguments)])


def _own(arguments: Sequence[str]) -> list[str]:
    """Those that are not left for the story."""
    own = list(reversed(arguments))
    for left in reversed(sys.argv[1:]):
        if left in own:
            own.remove(left)
    return own[::-1]


def _is_in_gallery(program: str) -> bool:
    """Whether it is a story of the gallery, called by its path from the folder that the gallery is in."""
    from mesh.lab.runner.folder import folder  # which imports stories, and they us

    try:
        gallery = folder()
    except MeshError:
        return False
    return not Path(program).is_absolute() and Path(program).resolve().parent == gallery == Path(gallery.name).resolve()
