"""The command `mesh`: from the shell's arguments to an exit code, with a sentence for everything that goes wrong."""

from __future__ import annotations

import sys
from typing import NoReturn

from mesh.terminal import output


def main() -> NoReturn:
    """Run the command line."""
    output.hold_streams()
    code = _run()
    try:
        output.flush()
    except output.OutputClosed:
        pass  # the reader has seen enough
    except output.OutputError as error:
        output.complain(str(error))
        code = code or 1
    sys.exit(code)


def _run() -> int:
    try:
        # Imported here: Ctrl-C while libraries load is as quiet as at any other time.
        from mesh.cli.commands import app

        app(prog_name="mesh")
    except KeyboardInterrupt:
        return output.INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:  # whatever nobody thought of: people get a sentence
        if sys.flags.dev_mode:
            raise
        output.complain(
            f"mesh itself failed ({type(error).__name__}: {error}): `python -X dev -m mesh` shows where; please report it"
        )
        return 1
    return 0


if __name__ == "__main__":
    main()
