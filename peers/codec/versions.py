"""The three dialects of Logux, by the version that a greeting names."""

from __future__ import annotations

from peers.codec.logux_01 import Protocol1
from peers.codec.logux_5 import Protocol5
from peers.codec.logux_7 import Protocol7
from peers.codec.messages import Version

LoguxProtocol = Protocol1 | Protocol5 | Protocol7


def dialect_of(version: Version, node_id: str) -> LoguxProtocol:
    """The dialect for a greeting with `version`: a pair speaks 0.1, 5 and 6 speak 5, larger ones 7.

    A number below 5 gets the dialect 5, which refuses it in its own words.
    """
    if not isinstance(version, int):
        return Protocol1(node_id)
    return Protocol7(node_id) if version >= Protocol7.protocol else Protocol5(node_id)
