"""The page that a node shows to browsers: its files, and the headers of every answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

__all__ = ["PAGE_FILES", "SECURITY_HEADERS", "PageFile"]


@dataclass(frozen=True)
class PageFile:
    """One file of the page."""

    content_type: str
    body: bytes


SECURITY_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
            "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)
"""Headers of every answer to a browser: files, status and errors.

`ws:` and `wss:` are named because some browsers do not treat a web socket of the same host as 'self'.
"""

_CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def _read_files() -> dict[str, PageFile]:
    found = sorted(files(__name__).iterdir(), key=lambda file: file.name)
    served = {
        f"/{file.name}": PageFile(content_type, file.read_bytes())
        for file in found
        for suffix, content_type in _CONTENT_TYPES.items()
        if file.name.endswith(suffix)
    }
    served["/"] = served.pop("/index.html")
    return served


PAGE_FILES: Mapping[str, PageFile] = MappingProxyType(_read_files())
"""The files by the path of the request, without its query; `/` is the page itself."""
