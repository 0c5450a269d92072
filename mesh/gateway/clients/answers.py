"""Answers of the HTTP ports for clients, browsers and programs that watch a node."""

from __future__ import annotations

from mesh.gateway.clients.page import SECURITY_HEADERS
from peers.transport.http import HttpAnswer


def text_answer(status: int, sentence: str, **headers: str) -> HttpAnswer:
    """A sentence for people."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in sentence)
    return answer(status, "text/plain; charset=utf-8", f"{printable}\n".encode(), **headers)


def answer(status: int, content_type: str, body: bytes, **headers: str) -> HttpAnswer:
    """Any content; it is not kept by browsers."""
    return HttpAnswer(
        status, {**SECURITY_HEADERS, "Content-Type": content_type, "Cache-Control": "no-store", **headers}, body
    )
