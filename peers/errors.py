"""SyncError: the errors of the protocol by Logux's names, and those after which a new attempt is useless."""

from __future__ import annotations

from typing import Any

FATAL = frozenset({"wrong-protocol", "wrong-subprotocol", "wrong-credentials"})
"""Types of errors that a new attempt would meet again: Reconnect and the supervisor stop until something changes."""
MAX_SHOWN = 200
"""Characters of a text from the other end that a sentence shows."""
MAX_STORE_SHOWN = 1_000
"""The same of an error of a store: ours names its file."""


class SyncError(Exception):
    """An error of the protocol: found here and sent to the other end, or received from it.

    - `type`: one of Logux's names: `wrong-format`, `timeout` ...
    - `options`: the value that is sent with it, such as the ms of a timeout
    - `received`: whether the other end found it and sent it
    - `other_node_id`: the other end, if it is known
    - `description`: a sentence; the text of the exception also names the other end
    """

    def __init__(
        self,
        type: str,
        options: Any = None,
        *,
        received: bool = False,
        other_node_id: str | None = None,
    ) -> None:
        self.type = type
        self.options = options
        self.received = received
        self.other_node_id = other_node_id
        self.description = describe(type, options)
        super().__init__(self._sentence())

    @property
    def is_fatal(self) -> bool:
        """Whether a new attempt would fail in the same way; see FATAL."""
        return self.type in FATAL

    def _sentence(self) -> str:
        detail = "" if self.description == _shown(self.type) else f" ({self.description})"
        if self.received:
            return f"{self.other_node_id or 'the other end'} sent {_shown(self.type)}{detail}"
        if self.other_node_id:
            return f"{self.other_node_id}: {_shown(self.type)}{detail}"
        return self.description


def describe(type: str, options: Any = None) -> str:
    """A sentence for an error of `type`; of an unknown type its name. `options` may be any JSON value."""
    used = options.get("used") if isinstance(options, dict) else None
    supported = options.get("supported") if isinstance(options, dict) else None
    why = options.get("why") if isinstance(options, dict) else None
    match type:
        case "wrong-format":
            return f"Wrong message format in {_without_credentials(options)}"
        case "unknown-message":
            return f"Unknown message `{_shown(options)}` type"
        case "missed-auth":
            return f"Start authentication before sending message {_shown(options)}"
        case "timeout":
            return f"A timeout was reached ({_shown(options)}ms)"
        case "wrong-protocol" if why:
            return _shown(why)
        case "wrong-protocol":
            return f"Only {_versions(supported)} Logux protocols are supported, but you use {_versions(used)}"
        case "wrong-subprotocol":
            return f"Only {_shown(supported)} application subprotocols are supported, but you use {_shown(used)}"
        case "wrong-credentials":
            return "Wrong credentials"
        case "store":
            return _shown(options, MAX_STORE_SHOWN) if options else "its disk takes nothing now"
        case _:
            return _shown(type)


def _without_credentials(frame: Any) -> str:
    """A greeting that could not be read is not shown: it holds credentials, which must not get into a log."""
    is_greeting = isinstance(frame, str) and '"connect' in frame[:MAX_SHOWN]
    return "a greeting" if is_greeting else _shown(frame)


def _versions(value: Any) -> str:
    return ".".join(_shown(part) for part in value[:2]) if isinstance(value, list) else _shown(value)


def _shown(value: Any, limit: int = MAX_SHOWN) -> str:
    """A value from the other end as text for terminals and logs: short, without control characters."""
    try:
        text = str(value)
    except (RecursionError, ValueError):  # such as a number with too many digits
        text = "something too deep or too long to show"
    if len(text) > limit:
        text = text[:limit] + "..."
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
