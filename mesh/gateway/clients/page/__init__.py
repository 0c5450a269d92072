"""The page that a node shows to browsers: its files, and the headers of every answer."""

from __future__ import annotations

import re
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

_IMPORT = re.compile(r'^import \{[^}]*\} from "/(\w+\.js)";\n', re.MULTILINE)


def _read_files() -> dict[str, PageFile]:
    folder = files(__name__)
    texts = {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith((".js", ".css"))}
    styles = sorted((name for name in texts if name.endswith(".css")), key=lambda name: (name != "page.css", name))
    return {
        "/": PageFile("text/html; charset=utf-8", folder.joinpath("index.html").read_bytes()),
        "/favicon.svg": PageFile("image/svg+xml", folder.joinpath("favicon.svg").read_bytes()),
        "/page.css": PageFile("text/css; charset=utf-8", "\n".join(texts[name] for name in styles).encode()),
        "/page.js": PageFile("text/javascript; charset=utf-8", _joined("page.js", texts, set()).encode()),
    }


def _joined(name: str, texts: Mapping[str, str], taken: set[str]) -> str:
    """A script after those that it imports, each once, as one script. So no two may have a name at the top that is the same.

    A browser opens a connection for each file, and the door takes few of one address at once.
    """
    if name in taken:
        return ""
    taken.add(name)
    before = "".join(_joined(other, texts, taken) for other in _IMPORT.findall(texts[name]))
    return before + _IMPORT.sub("", texts[name]).replace("\nexport ", "\n") + "\n"


PAGE_FILES: Mapping[str, PageFile] = MappingProxyType(_read_files())
"""The files by the path of the request, without its query; `/` is the page itself."""
