"""Pages of events over HTTP: the whole log in both directions, searches, one event, and never more than a session gets."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from mesh.gateway.clients.event_pages import MAX_LOOKED
from mesh.gateway.clients.event_search import MAX_EVENTS
from mesh.gateway.clients.role import ClientGatewaySync
from mesh.node import Node
from tests.support.door_house import House, house

__all__ = ["house"]

Query = dict[str, Any]


def ask(house: House, user: str = "ada", **query: Any) -> tuple[int, Any]:
    """The status of an answer, and what it has as JSON or as text."""
    path = f"/events?{urlencode(query, doseq=True)}"
    status, _, body = house.http("GET", path, {"Authorization": f"Bearer {user}:{house.token(user)}"})
    return status, json.loads(body) if status == 200 else body.decode()


def page(house: House, user: str = "ada", **query: Any) -> list[str]:
    """The types of one answer."""
    status, answer = ask(house, user, **query)
    assert status == 200, answer
    return [one["event"]["type"] for one in answer["events"]]


def walk(house: House, user: str = "ada", way: str = "before", **query: Any) -> list[str]:
    """The types of all answers, each of which goes on after the one before."""
    found: list[str] = []
    while True:
        status, answer = ask(house, user, **query)
        assert status == 200, answer
        found += [one["event"]["type"] for one in answer["events"]]
        if answer["next"] is None:
            return found
        query[way] = answer["next"]


def fill(node: Node, number: int, **extra: Any) -> list[str]:
    """Add events of the types `0`, `1` and so on, one ms after the other; the types, the newest first."""
    for start in range(0, number, 500):
        some = range(start, min(number, start + 500))
        node.log.add_batch([({"type": str(n), **extra}, {"time": 1_000_000 + n}) for n in some]).get(10)
    return [str(n) for n in reversed(range(number))]


def test_every_event_can_be_read_from_the_newest_to_the_oldest(house: House) -> None:
    types = fill(house.start(), 2 * MAX_EVENTS + 7)

    assert walk(house) == types


def test_an_event_is_read_with_who_wrote_and_signed_it_and_why_it_is_kept(house: House) -> None:
    node = house.start()
    meta = node.log.add({"type": "milk", "n": 2}, {"reasons": ["cart"]}).get(5)

    _, answer = ask(house)

    assert answer["events"] == [
        {
            "event": {"type": "milk", "n": 2},
            "meta": {
                "created": list(meta["created"]),
                "time": meta["time"],
                "added": 1,
                "origin": node.node_id,
                "vouched": "",
                "reasons": ["cart"],
                "keep_last": None,
                "undone": False,
            },
        }
    ]


def test_a_walk_goes_on_after_an_event_that_the_reader_knows_in_both_directions(house: House) -> None:
    node = house.start()
    types = fill(node, 9)
    middle = next(meta for event, meta in node.log.each() if event["type"] == "4")
    place = f"{middle['time']} {middle['created'][0]} {middle['created'][1]} {middle['created'][2]}"

    assert page(house, before=place) == types[5:]
    assert page(house, after=place) == types[:4][::-1]
    assert walk(house, way="after", after=place, limit=3) == types[:4][::-1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"type": "shop/sold"}, ["shop/sold"]),
        ({"type": ["shop/sold", "note"]}, ["note", "shop/sold"]),
        ({"type": "shop/*"}, ["shop/sold", "shop/opened"]),
        ({"text": "KÄSE"}, ["shop/sold"]),
        ({"text": 'say "cheese"'}, ["note"]),
        ({"text": "sold"}, ["shop/sold"]),
        ({"node": "KITCHEN"}, ["note", "shop/sold", "shop/opened"]),
        ({"node": "attic"}, []),
        ({"since": 2_000}, ["note", "shop/sold"]),
        ({"until": 2_000}, ["shop/opened"]),
        ({"since": 2_000, "until": 3_000, "type": "note"}, []),
    ],
)
def test_events_are_searched_by_type_writer_time_and_text(house: House, query: Query, found: list[str]) -> None:
    node = house.start()
    node.log.add({"type": "shop/opened"}, {"time": 1_000}).get(5)
    node.log.add({"type": "shop/sold", "what": "Käse", "n": 3}, {"time": 2_000}).get(5)
    node.log.add({"type": "note", "text": 'say "cheese"'}, {"time": 3_000}).get(5)

    assert page(house, **query) == found


def test_a_search_that_finds_little_looks_at_a_part_of_the_log_at_a_time(house: House) -> None:
    node = house.start()
    node.log.add({"type": "needle"}, {"time": 1}).get(5)
    fill(node, MAX_LOOKED + 100)

    for query in ({"type": "needle"}, {"type": "need*"}, {"text": "needle"}):
        _, first = ask(house, **query)
        assert (first["events"], type(first["next"])) == ([], str), query
        assert walk(house, **query) == ["needle"], query


def test_an_answer_ends_when_it_is_large(house: House) -> None:
    types = fill(house.start(), 12, text="x" * 200_000)

    assert len(page(house)) == 6
    assert walk(house) == types


def test_one_event_is_read_by_its_id(house: House) -> None:
    node = house.start()
    fill(node, 3)
    created = node.log.add({"type": "milk"}).get(5)["created"]

    assert page(house, id=f"{created[0]} {created[1]} {created[2]}") == ["milk"]
    assert page(house, id=f"{created[0]} {created[1]} {created[2] + 1}") == []


def test_one_event_comes_with_when_and_through_whom_it_came(house: House) -> None:
    node = house.start()
    meta = node.log.add({"type": "milk"}).get(5)

    _, answer = ask(house, id="{} {} {}".format(*meta["created"]))

    came = answer["events"][0]["meta"]["came"]
    assert came["via"] == ""
    assert abs(came["ms"] - meta["time"]) < 60_000


def test_an_event_that_is_undone_is_marked(house: House) -> None:
    node = house.start()
    meta = node.log.add({"type": "milk"}).get(5)
    node.log.undo(meta).get(5)

    _, answer = ask(house)

    marks = [(one["event"]["type"], one["meta"]["undone"]) for one in answer["events"]]
    assert marks == [("logux/undo", False), ("milk", True)]


def test_what_out_filter_refuses_is_in_no_answer_and_no_search_finds_it(house: House) -> None:
    node = house.start(out_filter=lambda event, _, user: event.get("to") in (None, user))
    meta = node.log.add({"type": "letter", "to": "bob"}).get(5)
    node.log.add({"type": "milk"}).get(5)

    assert page(house) == ["milk"]
    assert page(house, type="letter") == page(house, text="bob") == []
    assert page(house, id="{} {} {}".format(*meta["created"])) == []
    assert page(house, "bob") == ["milk", "letter"]


def test_an_answer_does_not_say_where_an_event_is_that_the_user_may_not_read(house: House) -> None:
    node = house.start(out_filter=lambda event, _, user: False)
    fill(node, MAX_LOOKED + 1)

    _, answer = ask(house)

    assert answer == {"events": [], "next": "2", "looked_at_ms": None}


def test_a_search_compares_what_out_map_made_of_an_event(house: House) -> None:
    def hide(event: dict[str, Any], meta: Any, user: str) -> Any:
        return {"type": event["type"].upper()}, meta

    house.start(out_map=hide).log.add({"type": "sold", "price": 17}).get(5)

    assert page(house) == page(house, type="SOLD") == ["SOLD"]
    assert page(house, type="sold") == page(house, text="price") == page(house, text="17") == []


def test_hooks_may_be_coroutines(house: House) -> None:
    async def keep(event: dict[str, Any], meta: Any, user: str) -> bool:
        return bool(event["type"] != "2")

    fill(house.start(out_filter=keep), 4)

    assert walk(house, limit=1) == ["3", "1", "0"]


def test_with_channels_a_user_reads_what_this_user_wrote_and_its_undos(house: House) -> None:
    node = house.start(channels={"stock": lambda user, params: []})
    ada = house.enter("ada")
    ada.add(2, "mine", "mine too")
    node.log.add({"type": "stock"}, {"channels": ["stock"]}).get(5)
    node.log.add({"type": "of the node"}).get(5)
    mine = next(meta for event, meta in node.log.each() if event["type"] == "mine")
    node.log.undo(mine).get(5)

    assert sorted(page(house)) == ["logux/undo", "mine", "mine too"]
    assert page(house, "bob") == []


def test_with_a_role_of_its_own_a_node_gives_no_pages(house: House) -> None:
    class Strict(ClientGatewaySync):
        """It may send less."""

    house.start(clients_role=Strict).log.add({"type": "milk"}).get(5)

    status, sentence = ask(house)

    assert (status, "over the web socket alone" in sentence) == (403, True)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"since": "yesterday"}, "`since` must be a whole number"),
        ({"before": "x"}, "`before` must be a whole number"),
        ({"before": "5 milk"}, "is no id"),
        ({"id": "milk"}, "is no id"),
        ({"colour": "red"}, "the query has no 'colour'"),
        ({"type": [str(n) for n in range(11)]}, "11 types are asked for"),
        ({"text": "x" * 201}, "`text` has 201 characters"),
        ({"type": "x" * 5_000}, "at most 4000 are read"),
        ({"limit": "-1"}, "`limit` must be a whole number"),
    ],
)
def test_a_query_that_cannot_be_read_is_answered_with_a_sentence(house: House, query: Query, sentence: str) -> None:
    house.start()

    status, said = ask(house, **query)

    assert (status, sentence in said) == (400, True), said


def test_a_walk_cannot_go_on_after_an_event_that_was_cleaned(house: House) -> None:
    node = house.start()
    fill(node, 3)
    node.log.clean(reasons="log").get(5)

    status, sentence = ask(house, before="2")

    assert (status, "begin again" in sentence) == (410, True)


def test_events_are_sent_to_users_with_a_token_alone(house: House) -> None:
    house.start().log.add({"type": "milk"}).get(5)

    for authorization in (None, "Bearer ada:guess", "Basic YTpi"):
        status, _, body = house.http("GET", "/events", {"Authorization": authorization} if authorization else {})
        assert (status, b"milk" in body) == (401, False)
