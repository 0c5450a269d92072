"""npm packages, installed once into a cache folder, in the versions of a lock file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import platformdirs

MANIFEST = ("package.json", "package-lock.json")
NODE_MAJOR = 20
"""The oldest Node.js that the Logux packages run on."""
INSTALL_SECONDS = 90.0
"""How long npm may take; without an answer of the registry it ends earlier."""
VERSION_SECONDS = 20.0
REASON_LIMIT = 600
"""Characters of npm's own message in the reason: the last ones."""
_NPM_CI = (
    *("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--engine-strict=false"),
    *("--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-timeout=20000", "--loglevel=error"),
)


class PackagesError(Exception):
    """The packages cannot be installed; the text says why, in one sentence."""


def installed_packages(manifest: Path, name: str) -> Path:
    """The cache folder with `node_modules`; `npm ci` fills it if this lock file of the folder `manifest` is a new one.

    Several processes may call this at once: each installs into a folder of its own, and the first to finish renames its own.
    Raises PackagesError without Node.js, without npm, or if the registry cannot be reached.
    """
    _check_node()
    digest = hashlib.sha256(b"".join((manifest / file).read_bytes() for file in MANIFEST)).hexdigest()[:16]
    folder = _cache(name) / f"logux-{digest}"
    if not folder.is_dir():
        _install(manifest, folder)
    return folder


def scripts_beside(packages: Path, manifest: Path, folder: Path) -> Path:
    """Copy the scripts of `manifest` into `folder`, where they find the packages; returns `folder`."""
    for script in sorted(manifest.glob("*.mjs")):
        shutil.copy(script, folder)
    # A link, since ES modules ignore NODE_PATH.
    (folder / "node_modules").symlink_to(packages / "node_modules", target_is_directory=True)
    return folder


def _check_node() -> None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise PackagesError(f"{program} is not on the PATH; the Logux packages need Node {NODE_MAJOR} or newer")
    done = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False)
    version = done.stdout.strip()
    if not version.startswith("v") or int(version[1:].split(".")[0]) < NODE_MAJOR:
        raise PackagesError(f"node is {version or 'broken'}; the Logux packages need Node {NODE_MAJOR} or newer")


def _cache(name: str) -> Path:
    wanted = Path(platformdirs.user_cache_dir(name))
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    return wanted if os.access(wanted, os.W_OK) else Path(tempfile.gettempdir())


def _install(manifest: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="logux-installing-", dir=folder.parent) as parent:
        fresh = Path(parent) / "packages"
        fresh.mkdir()
        for name in MANIFEST:
            shutil.copy(manifest / name, fresh)
        try:
            done = subprocess.run(
                _NPM_CI, cwd=fresh, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise PackagesError(f"npm ci was not ready after {error.timeout:.0f} s") from error
        if done.returncode != 0:
            raise PackagesError(f"npm ci failed: {' '.join(done.stderr.split())[-REASON_LIMIT:]}")
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process has installed the same lock file
                raise
