"""The Logux packages that the tests talk to, and our scripts beside them."""

from __future__ import annotations

from pathlib import Path

from mesh.bench import npm_packages
from mesh.bench.npm_packages import MANIFEST, PackagesError

__all__ = ["HERE", "MANIFEST", "PackagesError", "installed_packages", "scripts_beside"]

HERE = Path(__file__).parent


def installed_packages() -> Path:
    """See mesh.bench.npm_packages."""
    return npm_packages.installed_packages(HERE, "peermesh-tests")


def scripts_beside(packages: Path, folder: Path) -> Path:
    """Copy our scripts into `folder`, where they find the packages; answers `folder`."""
    return npm_packages.scripts_beside(packages, HERE, folder)
