"""The three dialects of Logux, by the version that a greeting names."""

from __future__ import annotations

from peers.codec.logux_01 import Protocol1
from peers.codec.logux_5 import Protocol5
from peers.codec.logux_7 import Protocol7
from peers.codec.messages import Version

LoguxProtocol = Protocol1 | Protocol5 | Protocol7


def dialect_of(version: Version, node_id: str) -> LoguxProtocol:
    """The dialect for a greeting with `version`: a pair is 0.1, 5 and 6 are 5, larger numbers are 7.

    A number below 5 gets dialect 5 too, whose `why_not` refuses it.
    """
    if not isinstance(version, int):
        return Protocol1(node_id)
    return Protocol7(node_id) if version >= Protocol7.protocol else Protocol5(node_id)
