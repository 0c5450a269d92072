"""The command `mesh`: from the shell's arguments to an exit code, with a sentence for everything that goes wrong."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; never returns."""
    try:
        # Imported here: Ctrl-C while libraries load is as quiet as at any other time.
        from mesh.commands import app
    except KeyboardInterrupt:
        sys.exit(130)
    app(prog_name="mesh")


if __name__ == "__main__":
    main()
