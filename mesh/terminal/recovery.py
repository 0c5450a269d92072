"""How the commands that found a mesh show its recovery code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from mesh.terminal import output


def code_shower(as_json: bool) -> Callable[[str], None] | None:
    """What shows a recovery code to the user at a terminal; None where there is none: the code then goes into a file."""
    return None if as_json or sys.stdout is None or not sys.stdout.isatty() else _show


def _show(code: str) -> None:
    output.write(
        f"recovery code: {code}\n"
        "Write it down and put it away: it is shown only now. Anyone who has it can make and revoke admins of this mesh.\n"
    )
