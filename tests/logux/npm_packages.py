"""The Logux packages that the tests talk to, and our scripts beside them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mesh.bench import npm_packages
from mesh.bench.npm_packages import MANIFEST, PackagesError

__all__ = ["HERE", "MANIFEST", "PackagesError", "bundled", "installed_packages", "scripts_beside"]

HERE = Path(__file__).parent
BUNDLE_SECONDS = 60
_REQUIRE = 'import { createRequire as ofBundle } from "node:module"; const require = ofBundle(import.meta.url);'
"""Packages of the older kind call it in a bundle, which has none of its own."""
_WITH_FILES = "@logux/server"
"""Reads files beside its modules, so it stays where it is."""


def installed_packages() -> Path:
    """See mesh.bench.npm_packages."""
    return npm_packages.installed_packages(HERE, "peermesh-tests")


def scripts_beside(packages: Path, folder: Path) -> Path:
    """Copy our scripts into `folder`, where they find the packages; answers `folder`."""
    return npm_packages.scripts_beside(packages, HERE, folder)


def bundled(folder: Path, names: set[str]) -> Path:
    """Make one file of each of these scripts and its packages, which Node loads in half of the time. Answers their folder."""
    made = folder / "bundled"
    kind = ("--bundle", "--splitting", "--platform=node", "--format=esm", "--out-extension:.js=.mjs")
    options = (f"--outdir={made}", f"--banner:js={_REQUIRE}", f"--external:{_WITH_FILES}")
    command = ["node_modules/.bin/esbuild", *sorted(names), *kind, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUNDLE_SECONDS, check=False)
    if done.returncode != 0:
        raise PackagesError(f"esbuild made no bundle: {done.stderr}")
    return made
