"""Which events have one of some types, however their JSON text is spelled."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.stores.event_types import SHORT_BODY, EventTypes

NAMES = st.sampled_from(["shop/sold", "shop", "type", "", "é", 'a"b', "a\\b", "\n", "x" * 40])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """A JSON string, some of whose characters are escaped without need."""
    escaped = draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text)))
    plain = [json.dumps(char, ensure_ascii=False)[1:-1] for char in text]
    units = [
        f"\\u{ord(char):04x}" if is_escaped else unit
        for char, unit, is_escaped in zip(text, plain, escaped, strict=True)
    ]
    return f'"{"".join(units)}"'


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """An event: its `type` stands anywhere, perhaps twice, and deeper ones beside it."""
    others = draw(st.dictionaries(NAMES.filter(lambda name: name != "type"), VALUES, max_size=3))
    members = [f"{draw(spelled(name))}:{json.dumps(value, ensure_ascii=False)}" for name, value in others.items()]
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(members)))
        members.insert(place, f"{draw(spelled('type'))}: {draw(spelled(draw(NAMES)))}")
    if draw(st.booleans()):
        members.insert(0, f'"long":"{"-" * SHORT_BODY}"')
    return ("{" + ", ".join(members) + "}").encode()


@given(st.sets(NAMES, max_size=4), bodies())
def test_an_event_fits_by_its_own_type_in_any_spelling(names: set[str], body: bytes) -> None:
    assert EventTypes(names).fit(body) == (json.loads(body)["type"] in names)


def test_what_is_no_event_is_an_error() -> None:
    for body in (b"", b"[]", b'{"kind":"a"}', b'{"type":1}', b"\0"):
        with pytest.raises(ValueError):
            EventTypes(["a"]).fit(body)
