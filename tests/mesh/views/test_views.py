"""What an application sees of a view."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from mesh.errors import MeshError
from mesh.views import layers
from mesh.views.keeper import CLEANED_FLUSH_MS, FOLD_BACKLOG, FOLD_EVERY_MS
from mesh.views.undo import FOLDED_EVENTS, SEGMENT_EVENTS
from tests.support.view_house import ViewHouse, follow, state_of

SALE = {"type": "sold", "item": "apple", "change": -1}


def test_my_own_write_is_in_it(house: ViewHouse) -> None:
    stock = house.view()
    meta = house.sell("apple", 5)

    assert house.wait(stock.after(meta))["apple"] == 5
    assert house.wait(stock.after(meta["added"])) is stock
    house.add({"type": "shop/sold", "item": "apple", "change": 2})
    assert house.wait(stock.after())["apple"] == 7  # all that the log has


def test_events_that_keep_coming_are_folded_together_unless_somebody_waits(house: ViewHouse) -> None:
    view = house.view()
    house.pass_seconds(1)
    house.sell("apple", 1)
    house.pass_seconds(0.01)
    assert view["apple"] == 1

    house.sell("apple", 1)
    house.pass_seconds(0.01)
    assert view["apple"] == 1
    assert house.wait(view.after(house.sell("apple", 1)))["apple"] == 3
    house.sell("apple", 1)
    house.pass_seconds(FOLD_EVERY_MS / 1_000)
    assert view["apple"] == 4
    house.wait(house.log.add_batch([({**SALE, "change": 1}, None)] * FOLD_BACKLOG))
    house.pass_seconds(0.01)
    assert view["apple"] == 4 + FOLD_BACKLOG


def test_a_slow_apply_has_short_turns_too(house: ViewHouse) -> None:
    turns: list[int] = []

    def apply(state: Any, event: Any, meta: Any) -> None:
        turns.append(house.loop.turns)
        house.loop._now += 0.002  # it takes 2 ms

    view = house.view(apply=apply)
    for events in 1, 30:
        house.wait(house.log.add_batch([(SALE, None)] * events))
        house.settle(view)

    assert len(turns) == 31
    assert max(Counter(turns).values()) == 2  # turns of 4 ms


def test_an_apply_that_becomes_slow_has_short_turns_soon(house: ViewHouse) -> None:
    turns: list[int] = []

    def apply(state: Any, event: Any, meta: Any) -> None:
        turns.append(house.loop.turns)
        house.loop._now += 0.000_1 if len(turns) <= 10 else 0.002

    view = house.view(apply=apply)
    for _ in range(10):
        house.sell()
        house.settle(view)
    house.wait(house.log.add_batch([(SALE, None)] * 30))
    house.settle(view)

    *_, most_but_one, most = sorted(Counter(turns).values())
    assert most_but_one == 2 and most <= 5  # one turn has what took 0.5 ms before


def test_what_the_log_has_is_in_a_view_that_is_opened(house: ViewHouse) -> None:
    for _ in range(3):
        house.sell()

    assert house.view()["apple"] == -3


def test_a_late_event_takes_back_what_comes_after_it(house: ViewHouse) -> None:
    view = house.view(apply=follow)
    for n in range(1, 6):
        house.add({"type": "n", "n": n}, time=n * 10)
    house.settle(view)

    house.wait(view.after(house.add({"type": "n", "n": 9}, time=35)))

    assert view["last"] == [9, 4, 5]
    assert state_of(view) == house.expected(follow)


@pytest.mark.parametrize("events", [SEGMENT_EVENTS + 200, 2 * FOLDED_EVENTS + 2_000])
def test_an_event_may_be_later_than_memory_reaches_back(house: ViewHouse, events: int) -> None:
    view = house.view()
    house.wait(house.log.add_batch([({**SALE, "item": f"i{n % 50}"}, {"time": 1_000 + n}) for n in range(events)]))
    house.settle(view)
    house.pass_seconds(1)

    for time in (1_000 + events // 2, 1_001):
        house.wait(view.after(house.sell("i1", 100, time=time)))
        house.pass_seconds(1)

    assert state_of(view) == house.expected()
    assert house.row()["folded_without"] == 0


def test_after_a_restart_nothing_is_folded_again(house: ViewHouse) -> None:
    first = house.view()
    house.wait(house.log.add_batch([(SALE, None)] * 100))
    house.settle(first)
    folds: list[Any] = []

    house.restart()
    view = house.view(apply=lambda state, event, meta: folds.append(event))

    assert (view["apple"], folds) == (-100, [])


def test_after_a_crash_the_rest_is_folded_again(house: ViewHouse) -> None:
    view = house.view()
    house.sell()
    house.settle(view)
    house.pass_seconds(1)
    house.wait(house.log.add_batch([(SALE, None)] * 10))

    house.crash()

    assert house.view()["apple"] == -11


def test_only_events_of_its_types_are_folded(house: ViewHouse) -> None:
    view = house.view(types=["sold"])
    house.add({"type": "greeting"})
    house.sell()

    assert state_of(house.settle(view)) == {"apple": -1}
    assert house.row()["events"] == 1


def test_a_state_is_read_in_pages(house: ViewHouse) -> None:
    view = house.view()
    for item in ("pear", "apple/red", "apple/green", "apple", "fig"):
        house.sell(item)
    house.settle(view)

    assert [key for key, _ in view.items(prefix="apple")] == ["apple", "apple/green", "apple/red"]
    assert view.items(prefix="apple", limit=1, after="apple") == [("apple/green", -1)]
    assert [key for key, _ in view.items(after="apple/red", limit=1)] == ["fig"]
    assert (len(view), "fig" in view, "plum" in view, view.get("plum", 7)) == (5, True, False, 7)
    with pytest.raises(KeyError):
        view["plum"]


def test_pages_are_the_same_before_and_after_a_flush(house: ViewHouse) -> None:
    view = house.view()
    for item in ("b", "d", "\U0010ffff", "\ud7ff"):
        house.sell(item)
    house.settle(view)
    before = view.items(), view.items(prefix="\ud7ff"), view.items(prefix="\U0010ffff")

    house.pass_seconds(1)
    house.sell("c")
    house.wait(house.log.undo(house.sell("a")))
    house.settle(view)

    assert before[1:] == ([("\ud7ff", -1)], [("\U0010ffff", -1)])
    assert [key for key, _ in view.items()] == ["b", "c", "d", "\ud7ff", "\U0010ffff"]
    assert before[0] == [pair for pair in view.items() if pair[0] != "c"]


def test_items_are_all_unless_a_limit_is_given(house: ViewHouse) -> None:
    view = house.view(apply=lambda state, event, meta: state.update({f"{n:04}": n for n in range(1_500)}))
    house.sell()
    house.settle(view)

    assert [value for _, value in view.items()] == list(range(1_500))
    assert len(view.items(limit=1_200)) == 1_200
    with pytest.raises(TypeError, match="'View' object is not iterable"):
        dict(view)  # type: ignore[call-overload]


def test_the_empty_key_is_one_like_any(house: ViewHouse) -> None:
    def apply(state: Any, event: Any, meta: Any) -> None:
        state[event["item"]] = list(state)

    view = house.view(apply=apply)
    for item in "b", "", "a":
        house.sell(item)
    expected = [("", ["b"]), ("a", ["", "b"]), ("b", [])]

    assert house.settle(view).items() == view.items(prefix="") == expected
    assert view.items(after="") == expected[1:]
    house.restart()
    assert house.view(apply=apply).items() == expected


def test_what_a_reader_gets_is_a_copy(house: ViewHouse) -> None:
    view = house.view(apply=lambda state, event, meta: state.setdefault("all", []).append(event["item"]))
    house.sell()
    house.settle(view)

    view["all"].append("mine")

    assert view["all"] == ["apple"]


def test_values_stay_what_they_are_in_folds_rewinds_and_the_file(house: ViewHouse) -> None:
    values = [1, True, 1.0, "1", None, 0, False, 0.0, -0.0, "", "\ud7ff", "x" * 100, 2**63, 2**64, 1e300, [1], {"a": 1}]
    values.append("last")

    def apply(state: Any, event: Any, meta: Any) -> None:
        state["trail"] = (state.get("trail", "") + repr(state.get("now")))[-400:]
        state["now"] = event["value"]

    view = house.view(apply=apply)
    for n, value in enumerate(values):
        house.add({"type": "n", "value": value}, time=1_000 + 10 * n)
        if n % 4 == 0:
            house.pass_seconds(3)
        assert repr(house.settle(view)["now"]) == repr(value)
    for n in 2, 9:
        house.add({"type": "n", "value": n}, time=1_005 + 10 * n)
        assert repr(state_of(house.settle(view))) == repr(dict(sorted(house.expected(apply).items())))

    digest = view.digest()
    house.restart()
    view = house.view(apply=apply)
    assert (repr(state_of(view)), view.digest()) == (repr(dict(sorted(house.expected(apply).items()))), digest)
    assert house.row()["bytes"] == sum(len(key) + len(msgspec.json.encode(view[key])) for key in ("now", "trail"))


def test_a_tuple_is_kept_as_a_list(house: ViewHouse) -> None:
    def apply(state: Any, event: Any, meta: Any) -> None:
        state["trail"] = state.get("trail", "") + repr(state.get("now"))
        state["now"] = {"created": meta["created"], "more": [(event["item"], ())]}

    def listing(state: Any, event: Any, meta: Any) -> None:
        apply(state, event, {**meta, "created": list(meta["created"])})
        state["now"]["more"] = [[event["item"], []]]

    view = house.view(apply=apply)
    metas = [house.sell(item) for item in ("apple", "pear")]
    house.sell("plum", time=1)
    digest = house.settle(view).digest()

    assert view["now"] == {"created": list(metas[1]["created"]), "more": [["pear", []]]}
    assert "(" not in view["trail"]
    house.restart()
    assert house.view(apply=apply).digest() == house.row()["digest"] == digest
    assert house.settle(house.view("listing", apply=listing)).digest() == digest


def test_a_change_inside_of_a_value_counts(house: ViewHouse) -> None:
    def apply(state: Any, event: Any, meta: Any) -> None:
        shelf = state.setdefault("shelf", {"items": {}, "order": []})
        shelf["items"][event["item"]] = {"n": event["change"]}
        state["shelf"]["order"].append(event["item"])

    view = house.view(apply=apply)
    house.sell("apple")
    house.sell("pear", 2)

    assert house.settle(view)["shelf"] == {"items": {"apple": {"n": -1}, "pear": {"n": 2}}, "order": ["apple", "pear"]}


def test_a_state_is_a_whole_map_for_apply(house: ViewHouse) -> None:
    seen: list[Any] = []

    def apply(state: Any, event: Any, meta: Any) -> None:
        state[event["item"]] = event["change"]
        if event["change"] == 0:
            del state[event["item"]]
        seen.append((sorted(state), len(state), event["item"] in state, dict(state.items())))

    view = house.view(apply=apply)
    for item, change in ("b", 1), ("a", 2), ("b", 0):
        house.sell(item, change)
    house.settle(view)

    assert seen == [(["b"], 1, True, {"b": 1}), (["a", "b"], 2, True, {"a": 2, "b": 1}), (["a"], 1, False, {"a": 2})]
    assert state_of(view) == {"a": 2}


def test_nodes_that_folded_the_same_events_have_one_digest() -> None:
    digests = []
    for times in (range(20), reversed(range(20))):
        house = ViewHouse()
        view = house.view(apply=follow)
        for time in times:
            house.add({"type": "n", "n": time}, time=time, created=[time, "user", 0])
        house.settle(view)
        digests.append(view.digest())
        house.pass_seconds(1)
        assert view.digest() == digests[-1]
        house.restart()
        assert house.view(apply=follow).digest() == digests[-1]
        house.close()

    assert digests[0] == digests[1] != "0" * 64


def test_a_listener_hears_which_keys_have_other_values(house: ViewHouse) -> None:
    view = house.view()
    heard: list[list[str]] = []
    stop = view.on("change", heard.append)

    house.sell("apple", 1)
    house.settle(view)
    house.sell("pear", 1, time=5)
    house.settle(view)
    stop()
    house.sell("fig")
    house.settle(view)

    assert heard == [["apple"], ["pear"]]
    with pytest.raises(ValueError, match="there is no event 'event' here: take one of change"):
        view.on("event", print)
    with pytest.raises(TypeError, match="a listener must be a plain function"):
        view.on("change", asyncio.sleep)


def test_an_event_that_is_undone_is_taken_back(house: ViewHouse) -> None:
    view = house.view()
    first, _ = house.sell("apple", 1), house.sell("apple", 10)
    house.settle(view)

    house.wait(house.log.undo(first))

    assert house.settle(view)["apple"] == 10


def test_an_event_that_was_undone_before_it_came_is_not_folded(house: ViewHouse) -> None:
    view = house.view(types=["sold"])
    house.wait(house.log.undo((5, "user", 0)))
    house.add(SALE, created=[5, "user", 0])

    assert state_of(house.settle(view)) == {}


def test_what_was_undone_while_no_view_was_open_is_taken_back(house: ViewHouse) -> None:
    view = house.view(types=["sold"])
    meta = house.sell()
    house.settle(view)
    house.restart()
    house.wait(house.log.undo(meta))

    house.restart()

    assert state_of(house.view(types=["sold"])) == {}


def test_cleaned_events_stay_folded_also_when_a_late_one_comes(house: ViewHouse) -> None:
    view = house.view(apply=follow)
    for n in range(1, 6):
        house.add({"type": "n", "n": n}, time=n * 10)
    house.settle(view)
    house.wait(house.log.clean(reasons="log"))
    house.pass_seconds(1)
    house.restart()
    view = house.view(apply=follow)

    house.wait(view.after(house.add({"type": "n", "n": 9}, time=15)))

    assert state_of(view) == house.expected(follow)
    assert house.row()["folded_without"] == 0


def test_what_is_cleaned_is_kept_for_late_events_at_once_unless_much_is_cleaned(house: ViewHouse) -> None:
    view = house.view(apply=follow)
    for n in 1, 2:
        house.add({"type": "n", "n": n}, time=n * 10)
    house.settle(view)
    house.pass_seconds(CLEANED_FLUSH_MS / 1_000)
    house.add({"type": "n", "n": 3}, time=30)

    house.wait(house.log.clean(reasons="log"))
    house.pass_seconds(0.02)
    house.crash()
    view = house.view(apply=follow)
    house.wait(view.after(house.add({"type": "n", "n": 9}, time=15)))

    assert state_of(view) == house.expected(follow)
    assert house.row()["folded_without"] == 0


def test_a_newcomer_folds_what_is_there_and_says_what_was_cleaned(house: ViewHouse) -> None:
    for _ in range(3):
        house.sell()
    house.wait(house.log.clean(reasons="log"))
    house.sell()

    assert house.view()["apple"] == -1
    assert house.row()["folded_without"] == 3


def test_a_new_version_folds_anew_while_the_old_state_answers(house: ViewHouse) -> None:
    first = house.view(version=1)
    house.wait(house.log.add_batch([(SALE, None)] * 50))
    house.settle(first)
    house.restart()

    def twice(state: Any, event: Any, meta: Any) -> None:
        state[event["item"]] = state.get(event["item"], 0) + 2 * event["change"]

    view = house.view(apply=twice, version=2)
    assert (view["apple"], house.row()["rebuild"]["of"], house.row()["digest"]) == (-50, 50, None)
    house.settle(view)

    assert (view["apple"], house.row()["rebuild"], house.row()["version"]) == (-100, None, 2)
    assert house.row()["digest"] == view.digest()
    house.restart()
    assert house.view(apply=twice, version=2)["apple"] == -100


def test_a_listener_hears_what_a_new_version_has_changed(house: ViewHouse) -> None:
    def fill(first: int, value: object) -> Any:
        return lambda state, event, meta: state.update({f"{n:05}": value for n in range(first, first + 2_500)})

    house.sell()
    house.view(apply=fill(0, 1))
    house.restart()
    view, heard = house.view(apply=fill(2_000, 1), version=2), list[str]()
    view.on("change", heard.extend)
    house.settle(view)

    assert heard == [f"{n:05}" for n in (*range(2_000), *range(2_500, 4_500))]


def test_a_listener_hears_all_of_a_new_version_also_while_another_view_is_opened(
    house: ViewHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(keys: int) -> Any:
        return lambda state, event, meta: state.update({f"{n:05}": keys for n in range(keys)})

    def hear(keys: list[str]) -> None:
        if not heard:
            house.views.view("other", fill(1))
        heard.extend(keys)
        house.loop._now += 0.1  # the disk does all that it is asked to

    monkeypatch.setattr(layers, "PAGE_KEYS", 20)
    house.sell()
    house.view(apply=fill(1_500))
    house.restart()
    view, heard = house.view(apply=fill(5), version=2), list[str]()
    view.on("change", hear)
    house.settle(view)

    assert len(heard) == 1_500


def test_items_are_those_of_one_state_also_if_another_one_takes_its_place_meanwhile(
    house: ViewHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(keys: int) -> Any:
        return lambda state, event, meta: state.update({f"{n:05}": keys for n in range(keys)})

    def switch(*arguments: Any) -> Any:
        found = read(*arguments)
        if found and house.row()["rebuild"]:
            house.settle(view)
            house.pass_seconds(1)  # the old state is cleared
        return found

    house.sell()
    house.view(apply=fill(1_500))
    house.restart()
    view, read = house.view(apply=fill(5), version=2), house.view_store.page
    monkeypatch.setattr(house.view_store, "page", switch)

    assert [value for _, value in view.items()] == [5] * 5


def test_other_types_fold_anew(house: ViewHouse) -> None:
    house.view(types=["sold"])
    house.sell()
    house.add({"type": "received", "item": "apple", "change": 9})
    house.restart()

    view = house.view(types=["received", "sold"])

    assert house.settle(view)["apple"] == 8
    house.restart()
    assert house.view(types=["sold", "received"])["apple"] == 8


def test_an_older_program_does_not_touch_the_state_of_a_newer_one(house: ViewHouse) -> None:
    house.view(version=3)
    house.sell()
    house.restart()

    with pytest.raises(
        MeshError, match=r"the view 'stock' was folded by version 3 .* give it version 4 or another name"
    ):
        house.view(version=2)

    assert house.view("other")["apple"] == -1
    assert house.view(version=3)["apple"] == -1


def test_a_rebuild_that_is_killed_goes_on(house: ViewHouse) -> None:
    first = house.view(version=1)
    house.wait(house.log.add_batch([(SALE, None)] * 3_000))
    house.settle(first)
    house.restart()
    for _ in range(4):
        view = house.view(version=2)
        house.pass_seconds(0.02)
        assert view["apple"] == -3_000
        house.crash()

    assert house.settle(house.view(version=2))["apple"] == -3_000


def test_another_log_in_the_home_is_folded_anew(house: ViewHouse) -> None:
    house.view()
    house.sell("apple")
    house.end()
    house.store.__init__()  # type: ignore[misc]
    house.begin()
    house.sell("pear")
    house.sell("pear")

    view = house.settle(house.view())

    assert state_of(view) == {"pear": -2}


def test_apply_gets_a_meta_that_is_the_same_on_every_node(house: ViewHouse) -> None:
    metas: list[Any] = []
    view = house.view(apply=lambda state, event, meta: metas.append(meta))
    meta = house.add(SALE, reasons=["a"], till=4)
    house.wait(house.log.add_reason("b", created=meta["created"]))
    house.settle(view)

    assert metas == [
        {"created": meta["created"], "time": meta["time"], "origin": "home", "reasons": ["a"], "till": 4},
    ]


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("", {}, "the name of a view is a text"),
        ("a\nb", {}, "the name of a view is a text"),
        ("a", {"version": 0}, "the version of a view is a whole number from 1 on"),
        ("a", {"version": True}, "the version of a view is a whole number from 1 on"),
        ("a", {"types": "sold"}, "`types` is a list of types"),
        ("a", {"apply": 5}, "`apply` is a function"),
    ],
)
def test_a_view_that_cannot_be_is_refused(house: ViewHouse, name: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises((ValueError, TypeError), match=why):
        house.view(name, **options)


def test_a_view_is_opened_once_and_a_further_call_gives_the_same_one(house: ViewHouse) -> None:
    class Shop:
        def apply(self, state: Any, event: Any, meta: Any) -> None:
            state["n"] = state.get("n", 0) + 1

    shop = Shop()
    given_up = house.views.view(
        "stock", shop.apply, types=["sold", "lost"]
    )  # as wait_for does: its caller does not wait
    view = house.view(apply=shop.apply, types=("lost", "sold", "lost"))

    assert view is given_up.result() is house.view(apply=shop.apply, types=["lost", "sold"])
    house.sell()
    assert (house.settle(view)["n"], len(house.views.status())) == (1, 1)


@pytest.mark.parametrize(
    ("options", "others"),
    [
        ({"apply": follow}, "`apply`"),
        ({"types": ["sold"]}, "`types`"),
        ({"apply": follow, "version": 2}, "`apply` and `version`"),
    ],
)
def test_a_view_that_is_open_is_no_other_one(house: ViewHouse, options: dict[str, Any], others: str) -> None:
    house.view()
    with pytest.raises(
        ValueError, match=f"the view 'stock' is open already, with other {others}: keep what `view` ret"
    ):
        house.view(**options)


@pytest.mark.parametrize("event", [{}, {"added": 5}, "5", True])
def test_a_view_waits_only_for_what_has_an_added(house: ViewHouse, event: Any) -> None:
    with pytest.raises(ValueError, match="take a meta that `add` returned"):
        house.wait(house.view().after(event))


def test_a_view_does_not_wait_for_an_event_after_the_end_of_the_log(house: ViewHouse) -> None:
    view = house.view()
    meta = house.sell()

    assert house.wait(view.after(meta["added"])) is view
    for event in meta["added"] + 1, {**meta, "added": 99}:
        with pytest.raises(ValueError, match=r"this log ends at 1, so the `added` \d+ is of another log"):
            house.wait(view.after(event))


def test_a_view_of_a_node_that_ended_says_so(house: ViewHouse) -> None:
    view = house.view()
    house.sell()
    house.settle(view)
    house.restart()
    view = house.view()
    house.view_store.is_unreadable = True
    waiting = view.after(house.sell())
    house.restart()

    with pytest.raises(MeshError, match="the view 'stock': this node is not running"):
        view["apple"]
    with pytest.raises(MeshError, match="has ended: this node is not running"):
        waiting.result()
    with pytest.raises(MeshError, match="this view has ended: its node is not running"):
        house.wait(view.after(1))
