"""The command `mesh`: from the shell's arguments to an exit code, with a sentence for everything that goes wrong."""

from __future__ import annotations

import sys
from typing import NoReturn

from mesh.output import complain

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line."""
    try:
        # Imported here: Ctrl-C while libraries load is as quiet as at any other time.
        from mesh.commands import app

        app(prog_name="mesh")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # whatever nobody thought of: people get a sentence
        if sys.flags.dev_mode:
            raise
        complain(
            f"mesh itself failed ({type(error).__name__}: {error}): `python -X dev -m mesh` shows where; please report it"
        )
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
