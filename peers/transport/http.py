"""HttpRequest and HttpAnswer: what a listening socket is asked before a WebSocket opens, and what it answers instead."""

from __future__ import annotations

import http
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


@dataclass(frozen=True)
class HttpRequest:
    """One request. Its body is not read."""

    method: str
    path: str
    """With the query, as it was sent: not decoded."""
    headers: Mapping[str, str]
    """By lower-case name; several of one name are joined by commas."""
    address: str
    """The address of the other end, for people: `192.168.1.7:44321`."""
    is_upgrade: bool
    """Whether it asks for a WebSocket."""


@dataclass(frozen=True)
class HttpAnswer:
    """The answer, after which the connection is closed. `Content-Length`, `Connection` and `Date` are added to the headers.

    Raises ValueError for a status that HTTP does not know or that is below 200, and for headers that are not printable ASCII.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __post_init__(self) -> None:
        if self.status < 200 or self.status not in set(http.HTTPStatus):
            raise ValueError(f"{self.status} is not a status that ends a request: take one of HTTP's own, from 200 on")
        for name, value in self.headers.items():
            if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
                raise ValueError(f"the header {name!r}: {value!r} is no line of HTTP: it takes printable ASCII")


def no_pages(request: HttpRequest) -> HttpAnswer | None:
    """An `on_request` that refuses browsers: a page of any site could open connections to the LAN of its reader."""
    if "origin" in request.headers:
        return HttpAnswer(403, body=b"This door is for programs: connections of pages in a browser are not taken.\n")
    return None
