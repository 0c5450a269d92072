"""What JSON has not is refused, with its place in the event."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from peers.events.entry import encode_diff, encode_event, encode_events, encode_extra


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (Decimal("1.5"), 'event["lines"][1]["price"] is a Decimal: give a str, int or float'),
        ({"a"}, 'event["lines"][1]["price"] is a set: give a list'),
        (b"\xff", 'event["lines"][1]["price"] is a bytes: give a str'),
        (datetime(2026, 1, 1, tzinfo=UTC), 'event["lines"][1]["price"] is a datetime: give a str, or an int of ms'),
        (object(), 'event["lines"][1]["price"] is an object: give a dict, list, str, int, float, bool or None'),
        (
            float("nan"),
            'event["lines"][1]["price"] is nan, which is not a number of JSON: give another float, or None',
        ),
        ({7: 1}, 'event["lines"][1]["price"] has the key 7, an int: the keys of JSON are str'),
        ([1, {"x": {2}}], 'event["lines"][1]["price"][1]["x"] is a set: give a list'),
    ],
)
def test_a_value_that_json_has_not_is_a_type_error_that_names_its_place(value: Any, sentence: str) -> None:
    lines = [{"price": 1}, {"price": value}]

    for write in (encode_event, lambda event: encode_events([{"type": "plain"}, event]) or encode_event(event)):
        with pytest.raises(TypeError) as caught:
            write({"type": "sale", "lines": lines})
        assert str(caught.value) == sentence
        assert isinstance(caught.value, ValueError), "who catches that catches this"
    for write_meta in (encode_extra, encode_diff):
        with pytest.raises(TypeError) as caught:
            write_meta({"lines": lines})
        assert str(caught.value) == sentence.replace("event[", "meta[")
