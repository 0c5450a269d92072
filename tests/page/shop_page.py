"""A page of its own for a node, as an application would have it: bundled with esbuild, and served at an origin of its own."""

from __future__ import annotations

import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mesh.bench.npm_packages import installed_packages

HERE = Path(__file__).parent
MANIFEST = HERE.parent / "logux"
BUNDLE_SECONDS = 60.0


def put_page(folder: Path) -> None:
    """Put the bundled page into `folder`. Raises PackagesError if the packages cannot be installed."""
    for file in (HERE / "shop").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    bundle(folder)


def bundle(folder: Path) -> None:
    """Make `bundle.js` of the `shop.js` in this folder. Raises PackagesError if the packages cannot be installed."""
    packages = installed_packages(MANIFEST, "peermesh-tests") / "node_modules"
    (folder / "node_modules").symlink_to(packages, target_is_directory=True)
    command = [str(packages / ".bin" / "esbuild"), "shop.js", "--bundle", "--format=esm", "--outfile=bundle.js"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUNDLE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class ShopServer:
    """Serves the files of a folder until `close`."""

    def __init__(self, folder: Path) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
