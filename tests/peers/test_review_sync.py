"""Faults found by review in the sessions with Logux clients and servers: each of these fails until it is mended."""

from __future__ import annotations

import json

from logux_pair import logux, meet_again


def test_confirms_nothing_that_was_not_sent_when_the_link_breaks_between_two_messages() -> None:
    pair = logux((0, 1))
    pair.connect()
    broke: list[bool] = []

    def on_message(frame: bytes) -> None:
        if json.loads(frame)[0] == "synced" and not broke:
            broke.append(True)
            pair.local.left.disconnect("cut")

    pair.local.left.on("message", on_message)
    try:
        pair.left.log.add_batch([({"type": "a"}, None), ({"type": "b"}, None)])
    except RuntimeError:
        pass

    assert [event["type"] for event in pair.right.log.store and [e.event for e in pair.right.log.store.each()]] == ["a"]
    assert pair.left.synced == 1
