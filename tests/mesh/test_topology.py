"""Who dials whom, and which of several connections with one node stays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from two_ends import TwoEnds

WAYS = ("sighted", "one static address", "two static addresses", "both ways")
STATIC = {
    "nobody": (),
    "sighted": (),
    "one static address": ("x:1",),
    "two static addresses": ("x:1", "x:2"),
    "both ways": ("x:1",),
}


@settings(max_examples=400, deadline=None)
@given(a_way=st.sampled_from(WAYS), b_way=st.sampled_from(("nobody", *WAYS)), data=st.data())
def test_however_dials_cross_one_connection_stays(a_way: str, b_way: str, data: st.DataObject) -> None:
    world = TwoEnds(STATIC[a_way], STATIC[b_way])
    ways = {world.a: a_way, world.b: b_way}
    for end, way in ways.items():
        end.perform(end.neighbourhood.on_begin())
        if way in {"sighted", "both ways"}:
            end.sight(world.other(end))
            end.perform(end.neighbourhood.on_look(world.other(end).node_id, 0.0))

    while steps := world.steps():
        steps[data.draw(st.integers(0, len(steps) - 1))]()

    stays = world.open_wires()
    assert len(stays) == 1
    assert world.met("a") == world.met("b") == stays
