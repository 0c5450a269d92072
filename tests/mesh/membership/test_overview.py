"""The rows of the whole mesh, by what was heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.membership import overview
from mesh.membership.overview import KnownMesh, mesh_nodes
from mesh.membership.status_rows import MeshNodeStatus
from peers.budgets import Bucket
from peers.events.epoch import key_mark
from peers.events.signature import KeySigner
from peers.facts.summary import Measures, make_summary
from peers.roles.summaries import FRESH_MS, HeardSummary, LinkedNode

SIGNERS = {name: KeySigner.from_seed(name.encode() * 32) for name in "abcdefg"}
KEYS = {name: signer.public for name, signer in SIGNERS.items()}
IDS = {name: f"{name}~{key_mark(key)}" for name, key in KEYS.items()}
NOW_MS, ELAPSED_MS = 1_700_000_000_000, 100_000.0


def heard(name: str, links: str = "", *, ago_ms: float = 0.0) -> HeardSummary:
    lags = [(KEYS[other], 0) for other in links]
    return HeardSummary(
        make_summary(SIGNERS[name], IDS[name], NOW_MS, Measures("2"), lags), ELAPSED_MS - ago_ms, Bucket(1, 1)
    )


def rows(linked: str, *others: tuple[str, HeardSummary], members: str = "") -> dict[str, MeshNodeStatus]:
    found = mesh_nodes(
        KnownMesh(
            KEYS["a"],
            IDS["a"],
            Measures("1"),
            [LinkedNode(KEYS[name], IDS[name], 0) for name in linked],
            {KEYS[name]: one for name, one in others},
            {KEYS[name]: IDS[name] for name in members},
            NOW_MS,
            ELAPSED_MS,
        )
    )
    assert [row["state"] for row in found].index("this") == 0
    return {row["node_id"][0]: row for row in found}


def test_a_member_that_was_never_heard_of_is_gone_without_an_age() -> None:
    shown = rows("", members="abc")

    assert [(row["state"], row["seen_ms"]) for row in shown.values()] == [
        ("this", NOW_MS),
        ("gone", None),
        ("gone", None),
    ]


def test_who_is_reached_through_others_is_seen_also_without_a_summary() -> None:
    shown = rows("b", ("b", heard("b", "ac")), members="abc")

    assert {name: row["state"] for name, row in shown.items()} == {"a": "this", "b": "linked", "c": "seen"}
    assert shown["c"]["seen_ms"] is None


def test_what_an_old_summary_says_of_links_does_not_count() -> None:
    shown = rows("b", ("b", heard("b", "ac", ago_ms=FRESH_MS + 1)), ("c", heard("c", "ab")))

    assert (shown["c"]["state"], shown["c"]["island"]) == ("gone", 1)


def test_those_that_are_gone_are_together_if_one_of_them_says_so() -> None:
    old = FRESH_MS + 1
    shown = rows(
        "b",
        ("b", heard("b", "a")),
        ("c", heard("c", "bd", ago_ms=old)),
        ("d", heard("d", "", ago_ms=old)),
        ("e", heard("e", "d", ago_ms=old)),
        ("f", heard("f", "", ago_ms=old)),
    )

    assert {name: row["island"] for name, row in shown.items()} == {"a": 0, "b": 0, "c": 1, "d": 1, "e": 1, "f": 2}
    assert shown["c"]["seen_ms"] == NOW_MS - old


def test_with_very_many_nodes_fewer_links_of_each_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "MAX_LINKS_SHOWN", 8)

    shown = rows("b", ("b", heard("b", "acdefg")), members="abcd")

    assert (len(shown["b"]["links"]), shown["b"]["more_links"], shown["d"]["state"]) == (2, 4, "seen")


NODES = st.dictionaries(st.sampled_from("bcdefg"), st.tuples(st.text("abcdefg", max_size=4), st.booleans()), max_size=6)


@given(st.sets(st.sampled_from("bcdefg")), NODES)
def test_each_linked_node_is_on_our_island_and_no_island_is_left_out(
    linked: set[str], nodes: dict[str, tuple[str, bool]]
) -> None:
    others = [
        (name, heard(name, "".join(sorted(set(links) - {name})), ago_ms=0 if is_fresh else 2 * FRESH_MS))
        for name, (links, is_fresh) in nodes.items()
    ]

    shown = rows("".join(sorted(linked)), *others)

    assert all(shown[name]["island"] == 0 and shown[name]["state"] == "linked" for name in linked)
    assert all((row["state"] == "gone") == (row["island"] > 0) for row in shown.values())
    assert {row["island"] for row in shown.values()} == set(range(1 + max(row["island"] for row in shown.values())))
