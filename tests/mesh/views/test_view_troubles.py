"""What goes wrong with a view: in its `apply`, on its disk, in its file."""

from __future__ import annotations

import json
from asyncio import CancelledError
from typing import Any

import pytest

from mesh.errors import MeshError
from mesh.views.disks import AGAIN_MS
from mesh.views.keeper import FLUSH_MS
from peers.stores.store import StoreError
from tests.support.view_house import ViewHouse, count, follow, state_of

NO_JSON: list[tuple[Any, str]] = [
    ({1, 2}, r"TypeError: state\['a'\] is a set, which JSON has not"),
    (b"x", r"TypeError: state\['a'\] is a bytes"),
    ((1, {2}), r"TypeError: state\['a'\]\[1\] is a set"),
    ({"b": [0, {"c": 1j}]}, r"TypeError: state\['a'\]\['b'\]\[1\]\['c'\] is a complex"),
    ({1: 2}, r"TypeError: state\['a'\] has the key 1: keys of JSON are text"),
    (float("nan"), r"ValueError: state\['a'\] is nan, which is no number of JSON"),
    (["\ud800"], r"ValueError: state\['a'\]\[0\] is no text: it has half of a surrogate pair"),
    ("x" * 1_048_575, r"ValueError: state\['a'\] has 1048577 bytes, and at most 1048576 fit"),
]


@pytest.mark.parametrize(("value", "why"), NO_JSON)
def test_a_value_that_json_has_not_stops_the_view_with_its_path(house: ViewHouse, value: Any, why: str) -> None:
    view = house.view(apply=lambda state, event, meta: state.update(a=value))

    with pytest.raises(MeshError, match=why):
        house.wait(view.after(house.sell()))
    assert house.row()["error"]["key"] == "a"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("key", [5, None, "\ud800", "x" * 1_025, "a\0b", Mute()])
def test_a_key_that_is_no_short_text_stops_the_view(house: ViewHouse, key: Any) -> None:
    view = house.view(apply=lambda state, event, meta: state.update({key: 1}))

    with pytest.raises(MeshError, match="has stopped at the event"):
        house.wait(view.after(house.sell()))
    assert state_of(view) == {}
    json.dumps(house.row(), ensure_ascii=False).encode()


@pytest.mark.parametrize("error", [CancelledError(), SystemExit(3), ValueError("\ud800" * 5_000), Mute()])
def test_an_error_of_any_kind_stops_a_view_and_is_said_in_a_short_text(house: ViewHouse, error: BaseException) -> None:
    def apply(state: Any, event: Any, meta: Any) -> None:
        raise error

    view, other = house.view(apply=apply), house.view("other")

    with pytest.raises(MeshError, match=f"raised {type(error).__name__}"):
        house.wait(view.after(house.sell()))
    assert house.settle(other)["apple"] == -1
    assert len(json.dumps(house.row(), ensure_ascii=False).encode()) < 20_000


def test_an_error_in_apply_stops_that_view_alone(house: ViewHouse) -> None:
    stock, other = house.view(), house.view("other", lambda state, event, meta: state.update(n=state.get("n", 0) + 1))
    house.sell("apple", 5)
    house.settle(stock)

    bad = house.add({"type": "sold", "item": "apple"})
    house.sell("apple", 7)

    with pytest.raises(
        MeshError, match=r"'stock' has stopped at the event .* of which its `apply` raised KeyError: 'change'"
    ):
        house.settle(stock)
    assert house.settle(other)["n"] == 3
    error = house.row()["error"]
    assert (error["created"], error["type"], error["key"]) == (list(bad["created"]), "sold", "apple")
    assert error["why"] == "KeyError: 'change'"
    assert 'state[event["item"]]' in error["traceback"]
    assert (stock["apple"], stock.error) == (5, f"the view {stock.error.partition(' ')[2].partition(' ')[2]}")
    assert house.row("other")["error"] is None


def test_of_an_event_that_fails_nothing_is_in_the_view(house: ViewHouse) -> None:
    is_mended = False

    def apply(state: Any, event: Any, meta: Any) -> None:
        state["apple"] = state.get("apple", 0) + event["change"]
        state["new"] = event["change"]
        state["worst"] = event["change"] if event["change"] > 0 or is_mended else {1}

    view = house.view(apply=apply)
    house.wait(house.log.add_batch([({"type": "sold", "change": change}, None) for change in (1, 2, -4)]))
    with pytest.raises(MeshError, match="has stopped at the event"):
        house.settle(view)
    assert state_of(view) == {"apple": 3, "new": 2, "worst": 2}

    is_mended = True
    house.wait(view.retry())
    house.pass_seconds(3)
    house.crash()

    assert state_of(house.view(apply=apply)) == {"apple": -1, "new": -4, "worst": -4}


def test_a_view_that_stopped_goes_on_after_retry(house: ViewHouse) -> None:
    is_mended = False

    def apply(state: Any, event: Any, meta: Any) -> None:
        if event["change"] == 0 and not is_mended:
            raise ValueError("no change")
        count(state, event, meta)

    view = house.view(apply=apply)
    for change in 1, 0, 2:
        house.sell("apple", change)
    with pytest.raises(MeshError, match="ValueError: no change"):
        house.settle(view)
    with pytest.raises(MeshError, match="ValueError: no change"):
        house.wait(view.retry())

    is_mended = True
    house.wait(view.retry())

    assert (house.settle(view)["apple"], view.error, house.row()["error"]) == (3, "", None)


def test_a_retry_is_answered_once_the_event_that_failed_is_folded(
    house: ViewHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.views.keeper.FOLD_EVENTS", 1)
    monkeypatch.setattr("mesh.views.keeper.EVENTS_BETWEEN_LOOKS", 1)
    bad = {0, 3}

    def apply(state: Any, event: Any, meta: Any) -> None:
        state["n"] = 1 // (event["n"] not in bad) * event["n"]

    view = house.view(apply=apply)
    house.wait(house.log.add_batch([({"type": "sold", "n": n}, None) for n in range(4)]))
    with pytest.raises(MeshError, match="ZeroDivisionError"):
        house.settle(view)

    bad.remove(0)
    house.wait(view.retry())
    with pytest.raises(MeshError, match="ZeroDivisionError"):
        house.settle(view)

    assert state_of(view) == {"n": 2}


def test_a_program_that_is_mended_goes_on_where_the_view_stopped(house: ViewHouse) -> None:
    view = house.view(apply=lambda state, event, meta: count(state, {"change": 1 // event["change"], **event}, meta))
    for change in 1, 0, 2:
        house.sell("apple", change)
    with pytest.raises(MeshError, match="ZeroDivisionError"):
        house.settle(view)
    house.pass_seconds(1)
    house.restart()

    assert house.settle(house.view())["apple"] == 3


def test_an_error_while_a_view_is_folded_first_leaves_no_state_to_read(house: ViewHouse) -> None:
    house.add({"type": "sold"})
    view = house.view()

    with pytest.raises(MeshError, match=r"^the view 'stock' has stopped at the event"):
        view["apple"]


def test_an_error_in_a_rewind_leaves_the_state_from_before_it(house: ViewHouse) -> None:
    view = house.view()
    house.sell("apple", 5)
    house.settle(view)

    house.add({"type": "sold"}, time=5)

    with pytest.raises(MeshError, match="KeyError: 'item'"):
        house.settle(view)
    assert state_of(view) == {"apple": 5}


def test_apply_may_be_a_coroutine_function_that_never_waits(house: ViewHouse) -> None:
    async def apply(state: Any, event: Any, meta: Any) -> None:
        count(state, event, meta)

    view = house.view(apply=apply)
    house.sell()

    assert house.settle(view)["apple"] == -1


def test_a_coroutine_that_waits_stops_the_view(house: ViewHouse) -> None:
    async def apply(state: Any, event: Any, meta: Any) -> None:
        await house.loop.create_future()

    view = house.view(apply=apply)
    house.sell()

    with pytest.raises(MeshError, match="RuntimeError: `apply` waits for something"):
        house.settle(view)


def test_an_apply_that_returns_something_stops_the_view(house: ViewHouse) -> None:
    view = house.view(apply=lambda state, event, meta: {"apple": 1})
    house.sell()

    with pytest.raises(MeshError, match=r"TypeError: `apply` returned \{'apple': 1\}"):
        house.settle(view)


def test_a_listener_that_fails_stops_nothing(house: ViewHouse) -> None:
    view = house.view()
    view.on("change", lambda keys: 1 // 0)
    house.sell()

    assert house.settle(view)["apple"] == -1


def test_a_full_disk_is_said_and_the_view_goes_on_by_itself(house: ViewHouse) -> None:
    view = house.view()
    house.view_disk.is_full = True
    house.sell()
    house.settle(view)
    house.pass_seconds(FLUSH_MS / 1_000)

    assert view["apple"] == -1
    assert "disk is full" in house.row()["store_error"]
    house.sell()

    house.view_disk.is_full = False
    house.pass_seconds(2 * AGAIN_MS / 1_000)
    assert house.row()["store_error"] is None
    house.crash()
    assert house.settle(house.view())["apple"] == -2


def test_a_node_ends_on_a_full_disk_too(house: ViewHouse) -> None:
    view = house.view()
    house.view_disk.is_full = True
    house.sell()
    house.settle(view)
    house.restart()

    assert house.view()["apple"] == -1


def test_a_failing_log_disk_delays_a_view(house: ViewHouse) -> None:
    house.wait(house.log.add_batch([({"type": "sold", "item": "apple", "change": 1}, None)] * 5))
    house.restart()
    house.disk.failing = 1
    view = house.view()

    assert house.settle(view)["apple"] == 5


def careless(state: Any, event: Any, meta: Any) -> None:
    try:
        count(state, event, meta)
    except StoreError:
        state[event["item"]] = 0


def inside(state: Any, event: Any, meta: Any) -> None:
    state["keys"] = sorted({*state, event["item"]})


@pytest.mark.parametrize("apply", [count, careless, inside])
def test_a_disk_that_cannot_be_read_in_apply_delays_a_view(house: ViewHouse, apply: Any) -> None:
    house.view(apply=apply)
    for item in "apple", "pear":
        house.sell(item)
    house.pass_seconds(1)
    house.restart()
    view = house.view(apply=apply)
    house.view_store.is_unreadable = True
    done = view.after(house.sell("apple", -2))
    house.pass_seconds(3 * AGAIN_MS / 1_000)
    assert (done.is_done, view.error, "cannot be read" in house.row()["store_error"]) == (False, "", True)

    house.view_store.is_unreadable = False
    house.wait(done)
    assert state_of(view) == house.expected(apply)
    assert house.row()["store_error"] is None


def test_a_disk_that_cannot_be_read_after_a_rewind_delays_what_readers_see(house: ViewHouse) -> None:
    def newest(state: Any, event: Any, meta: Any) -> None:
        state["newest"] = [*state.get("newest", []), event["change"]][-2:]

    house.settle(house.view(apply=newest))
    for change in 1, 2, 3:
        house.sell("apple", change, time=10 * change)
    house.pass_seconds(FLUSH_MS / 1_000)
    house.restart()
    view = house.view(apply=newest)
    house.view_store.is_unreadable = True
    done = view.after(house.sell("apple", 4, time=25))
    house.pass_seconds(3 * AGAIN_MS / 1_000)
    assert (done.is_done, view.error) == (False, "")

    house.view_store.is_unreadable = False
    house.wait(done)
    assert state_of(view) == {"newest": [4, 3]}


def test_a_late_event_on_a_full_disk_waits_for_what_is_on_its_way_to_it(house: ViewHouse) -> None:
    house.view(apply=follow)
    for n in 1, 2, 3:
        house.add({"type": "n", "n": n}, time=n * 10)
    house.restart()
    view = house.view(apply=follow)
    house.view_disk.is_full = True
    for n in 4, 5:
        house.add({"type": "n", "n": n}, time=n * 10)
    house.settle(view)
    house.pass_seconds(1)

    house.add({"type": "n", "n": 6}, time=15)
    house.pass_seconds(5)
    assert view["last"] == [3, 4, 5]

    house.view_disk.is_full = False
    assert state_of(house.settle(view)) == house.expected(follow)
