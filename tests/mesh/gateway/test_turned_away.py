"""A connection that is refused at the clients' port is a line with the reason, and a row in `status`."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from mesh.gateway.turned_away import MAX_REFUSED_ROWS, TurnedAway
from mesh.terminal.tables import show_status
from peers.clock import ManualClock
from tests.support.door_house import DIALECTS, SECONDS, House, house, now_ms, wait_until

__all__ = ["house"]

EVIL = "https://evil.example"
DOOR = "the clients' door"


def rows(house: House) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.nodes["kitchen"].status().get(SECONDS)["turned_away"]
    return found


def refusals(house: House) -> list[str]:
    return [line for line in house.said() if line.startswith("refused at")]


@pytest.mark.parametrize("protocol", DIALECTS, ids=["0.1", "5", "7"])
@pytest.mark.parametrize("token", ["guess", None])
def test_a_wrong_token_is_one_line_and_one_row_however_often_it_comes(house: House, protocol: Any, token: Any) -> None:
    node = house.start()

    for _ in range(3):
        house.dial("ada:1:a", protocol).greet(token)
    wait_until(lambda: rows(house) and rows(house)[0]["count"] == 3, "all three are counted")

    (row,) = rows(house)
    assert (row["at"], row["address"], row["name"]) == (DOOR, "127.0.0.1", "ada:1:a")
    assert "no token that holds" in row["why"]
    assert abs(row["last"] - now_ms()) < 60_000
    (line,) = refusals(house)
    assert line.startswith(f"refused at {DOOR}: ada:1:a from 127.0.0.1:")
    assert row["why"] in line
    shown = show_status(node.status().get(SECONDS))
    assert "turned away at" in shown and row["why"] in shown


def test_a_page_of_another_site_is_a_line_and_a_row_that_name_the_option_to_allow_it(house: House) -> None:
    node = house.start()

    with pytest.raises(InvalidStatus), connect(node.clients_url.replace("http", "ws"), origin=EVIL, proxy=None):
        pass

    (row,) = rows(house)
    assert (row["name"], row["count"]) == (None, 1)
    assert f'clients_origins="{EVIL}"' in row["why"]
    assert refusals(house) == [
        f"refused at {DOOR}: a client from {refusals(house)[0].split(' from ')[1].split(': ')[0]}: {row['why']}"
    ]


def test_too_many_wrong_tokens_are_reported_as_that(house: House) -> None:
    house.start()

    for _ in range(11):
        house.dial("ada").greet("guess")

    wait_until(lambda: len(rows(house)) == 2, "both reasons are there")
    assert "too many wrong tokens" in rows(house)[0]["why"]


def test_a_protocol_version_that_is_refused_is_a_row_too(house: House) -> None:
    house.start()

    house.dial("ada", 4).greet("guess")

    wait_until(lambda: rows(house), "it is there")
    assert "Only 5 Logux protocols" in rows(house)[0]["why"]


def test_a_wrong_token_over_http_is_a_row_too(house: House) -> None:
    house.start()

    assert house.http("GET", "/status", {"Authorization": "Bearer ada:guess"})[0] == 401

    assert [(row["name"], row["count"]) for row in rows(house)] == [("ada", 1)]


def test_a_client_that_was_accepted_is_no_row(house: House) -> None:
    house.start()
    ada = house.enter("ada")
    ada.wire.send("no JSON")
    ada.end()

    wait_until(lambda: house.clients() == [], "the session ended")
    assert rows(house) == []


def test_rows_and_the_length_of_lines_are_limited() -> None:
    clock, lines = ManualClock(1_000_000), list[str]()
    turned_away = TurnedAway(clock)
    turned_away.tell = lines.append

    for n in range(200):
        turned_away.note(DOOR, f"10.0.0.{n}:5000", "x" * 10_000, "a reason")
    assert len(turned_away.rows()) == MAX_REFUSED_ROWS
    assert turned_away.rows()[0]["address"] == "10.0.0.199"
    assert all(len(line) < 400 for line in lines)
