"""The entry point of the command `mesh`: every error becomes a sentence and an exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

from mesh.terminal import output


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    output.hold_streams()
    code = _run()
    try:
        output.flush()
    except output.OutputClosed:
        pass  # as after `mesh log | head -1`
    except output.OutputError as error:
        output.complain(str(error))
        code = code or 1
    sys.exit(code)


def _run() -> int:
    try:
        # Imported here, so that Ctrl-C while libraries load prints no traceback either.
        from mesh.cli.commands import app

        app(prog_name="mesh")
    except KeyboardInterrupt:
        return output.INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:  # a bug: a sentence instead of a traceback
        if sys.flags.dev_mode:
            raise
        output.complain(
            f"mesh itself failed ({type(error).__name__}: {error}): `python -X dev -m mesh` shows where; please report it"
        )
        return 1
    return 0


if __name__ == "__main__":
    main()
