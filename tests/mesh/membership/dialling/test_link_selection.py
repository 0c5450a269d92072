"""Which of two nodes dials first, and which of several links between them stays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.membership.dialling.link_selection import (
    FEW_SESSIONS,
    MAX_GATHER_MS,
    SECOND_DIAL_SECONDS,
    Link,
    dial_delay_seconds,
    gather_ms,
    surplus_links,
)
from tests.support.two_ends import TwoEnds

OURS = Link("ours", "c-ours", True, "run1", 1.0)
THEIRS = Link("theirs", "c-theirs", False, "run1", 1.0)
STATIC = {
    "neither": (),
    "sighted": (),
    "one static address": ("x:1",),
    "two static addresses": ("x:1", "x:2"),
    "both ways": ("x:1",),
}
WAYS = st.sampled_from(tuple(STATIC))


def again(link: Link, *, boot: str = "run1") -> Link:
    """A later link that the same side dialled."""
    return Link(f"{link.key}-again", f"{link.connection_id}-again", link.dialled, boot, link.met_seconds + 1)


@pytest.mark.parametrize(
    ("own", "other", "seconds"), [("attic", "kitchen", 0.0), ("kitchen", "attic", SECOND_DIAL_SECONDS)]
)
def test_the_smaller_id_dials_first(own: str, other: str, seconds: float) -> None:
    assert dial_delay_seconds(own, other) == seconds


@pytest.mark.parametrize(
    ("sessions", "ms"),
    [(0, 0.0), (FEW_SESSIONS, 0.0), (FEW_SESSIONS + 1, 1.0), (FEW_SESSIONS + 91, 91.0), (10_000, MAX_GATHER_MS)],
)
def test_the_more_sessions_a_node_has_the_longer_it_gathers_events_to_relay(sessions: int, ms: float) -> None:
    assert gather_ms(sessions) == ms


BOTH = ("c-ours", "c-theirs", "c-ours-again", "c-theirs-again")
CASES = [
    ("a single connection stays", "a", [OURS], OURS, (), []),
    (
        "of two that crossed the smaller id closes the one that it did not dial",
        "a",
        [OURS, THEIRS],
        THEIRS,
        BOTH,
        ["theirs"],
    ),
    ("whichever of them greeted last", "a", [OURS, THEIRS], OURS, BOTH, ["theirs"]),
    ("and the larger id leaves both alone", "z", [OURS, THEIRS], THEIRS, BOTH, []),
    ("of two that we dialled the newer stays", "a", [OURS, again(OURS)], again(OURS), BOTH, ["ours"]),
    ("of two that they dialled the newer stays", "a", [THEIRS, again(THEIRS)], again(THEIRS), BOTH, ["theirs"]),
    ("the larger id does not choose there either", "z", [OURS, again(OURS)], again(OURS), BOTH, []),
    ("one that the other end does not hold any more goes", "a", [OURS, THEIRS], THEIRS, (), ["ours"]),
    ("but not at the larger id, whose own may just be new to them", "z", [OURS, THEIRS], THEIRS, (), []),
    ("one of an earlier run goes", "a", [OURS, again(OURS, boot="run2")], again(OURS, boot="run2"), BOTH, ["ours"]),
    ("at the larger id too", "z", [THEIRS, again(THEIRS, boot="run2")], again(THEIRS, boot="run2"), BOTH, ["theirs"]),
    ("of three exactly one stays", "a", [OURS, THEIRS, again(OURS)], THEIRS, BOTH, ["ours", "theirs"]),
]


@pytest.mark.parametrize(
    ("own", "links", "newest", "held", "closed"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_of_several_connections_one_stays(
    own: str, links: list[Link], newest: Link, held: tuple[str, ...], closed: list[str]
) -> None:
    assert surplus_links(own, "m", links, newest, held) == closed


@settings(max_examples=300, deadline=None, derandomize=True)
@given(a_way=WAYS, b_way=WAYS, data=st.data())
def test_one_connection_stays_in_whatever_order_dials_cross(a_way: str, b_way: str, data: st.DataObject) -> None:
    world = TwoEnds(STATIC[a_way], STATIC[b_way])
    for end, way in ((world.a, a_way), (world.b, b_way)):
        end.perform(end.membership.on_begin())
        if way in {"sighted", "both ways"}:
            end.sight(world.other(end))
            end.perform(end.membership.on_look(world.other(end).node_id, 0.0))

    while steps := world.steps():
        steps[data.draw(st.integers(0, len(steps) - 1))]()

    stays = world.open_wires()
    assert len(stays) == (0 if a_way == b_way == "neither" else 1)
    assert world.met("a") == world.met("b") == stays
