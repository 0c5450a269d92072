"""The option `auth`: it judges what no token of the home fits, within the limits of the door."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mesh.gateway.clients.guard import CANNOT_JUDGE, MAX_WRONG, Auth, Guard
from mesh.gateway.clients.tokens import Pass
from peers.clock import ManualClock
from peers.errors import SyncError
from tests.support.door_house import DIALECTS, House, house, types, wait_until

__all__ = ["house"]

SECRET = "eyJhbGciOiJIUzI1NiJ9.for-all-tills"

as_it_may_be = pytest.mark.parametrize("is_async", [False, True], ids=["plain", "coroutine"])
in_each_dialect = pytest.mark.parametrize("protocol", DIALECTS, ids=str)


def given(auth: Callable[[str, str], Any], is_async: bool) -> Auth:
    """The function itself, or a coroutine function that answers later."""
    if not is_async:
        return auth

    async def later(user: str, token: str) -> bool:
        await asyncio.sleep(0)
        answer: bool = auth(user, token)
        return answer

    return later


def knows_the_secret(user: str, token: str) -> bool:
    return token == SECRET


def broken(user: str, token: str) -> bool:
    if token != SECRET:
        raise KeyError("sub")
    return True


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, BaseException]]:
    """What the guard logged: the sentence, and what `auth` raised."""
    lines = [line for line in caplog.records if line.name == "mesh.gateway.clients.guard"]
    return [(line.getMessage(), line.exc_info[1]) for line in lines if line.exc_info and line.exc_info[1]]


@in_each_dialect
@as_it_may_be
def test_one_secret_lets_a_client_in_at_all_nodes(house: House, protocol: Any, is_async: bool) -> None:
    for name in ("kitchen", "attic"):
        house.start(name, auth=given(knows_the_secret, is_async))
        client = house.dial("carol:1", protocol, at=name)

        assert client.greet(SECRET)[0] == "connected"
        client.add(1, "milk")

        assert types(house.nodes[name]) == ["milk"]
        assert house.clients(name)[0]["user"] == "carol"


@in_each_dialect
@as_it_may_be
def test_who_has_no_right_token_is_refused(house: House, protocol: Any, is_async: bool) -> None:
    house.start(auth=given(knows_the_secret, is_async))

    assert house.dial("carol", protocol).greet("guess") == ["error", "wrong-credentials"]
    assert house.dial("ada", protocol).greet(None) == ["error", "wrong-credentials"]


def test_a_token_of_the_home_lets_in_without_asking(house: House) -> None:
    asked: list[tuple[str, str]] = []
    house.start(auth=lambda user, token: asked.append((user, token)) or False)

    house.enter("ada:1")
    house.dial("ada:1").greet("other")
    house.dial("guest").greet(None)

    assert asked == [("ada", "other"), ("guest", "")]


@pytest.mark.parametrize("node_id", ["server", "attic~a5ijjhcemq3x7wld", "no user"])
def test_ids_that_no_client_may_have_are_refused_without_asking(house: House, node_id: str) -> None:
    house.start(auth=lambda user, token: pytest.fail("it was asked"))

    assert house.dial(node_id).greet(SECRET) == ["error", "wrong-credentials"]


def test_credentials_that_are_no_text_are_refused_without_asking(house: House) -> None:
    house.start(auth=lambda user, token: pytest.fail("it was asked"))

    assert house.dial("carol", [0, 1]).greet({"secret": SECRET}) == ["error", "wrong-credentials"]


@as_it_may_be
def test_wrong_tokens_in_a_loop_are_refused_unread(house: House, is_async: bool) -> None:
    asked: list[str] = []
    house.start(auth=given(lambda user, token: asked.append(token) or token == SECRET, is_async))

    for n in range(MAX_WRONG):
        assert house.dial("carol").greet(f"guess {n}") == ["error", "wrong-credentials"]

    assert house.dial("carol").greet(SECRET) == ["error", "bruteforce"]
    assert house.dial("ada").greet(house.token("ada")) == ["error", "bruteforce"]
    assert len(asked) == MAX_WRONG


@as_it_may_be
def test_what_auth_raises_is_logged_once_and_refuses_until_it_answers(
    house: House, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    house.start(auth=given(broken, is_async))

    with caplog.at_level(logging.ERROR, "mesh.gateway"):
        for _ in range(3):
            assert house.dial("carol").greet("not one") == ["error", "store", CANNOT_JUDGE]
        said = logged(caplog)
        assert house.dial("carol").greet(SECRET)[0] == "connected"
        house.dial("carol").greet("not one")

    ((sentence, error),) = said
    assert ("`auth` failed for 'carol'" in sentence, type(error)) == (True, KeyError)
    assert len(logged(caplog)) == 2
    (row, *_) = house.nodes["kitchen"].status().get(5)["turned_away"]
    assert (row["name"], row["why"]) == ("carol", CANNOT_JUDGE)


def test_an_answer_that_is_no_bool_refuses(house: House, caplog: pytest.LogCaptureFixture) -> None:
    claims: Any = lambda user, token: {"sub": user}  # noqa: E731
    house.start(auth=claims)

    with caplog.at_level(logging.ERROR, "mesh.gateway"):
        assert house.dial("carol").greet(SECRET) == ["error", "store", CANNOT_JUDGE]

    assert "True or False" in str(logged(caplog)[0][1])


def test_tokens_that_make_auth_raise_count_as_wrong_ones(house: House) -> None:
    house.start(auth=broken)

    for n in range(MAX_WRONG):
        house.dial("carol").greet(f"guess {n}")

    assert house.dial("carol").greet(SECRET) == ["error", "bruteforce"]


def test_an_auth_that_never_answers_refuses_in_time(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mesh.gateway.clients.guard.AUTH_SECONDS", 0.2)

    async def stuck(user: str, token: str) -> bool:
        await asyncio.Event().wait()
        return True

    house.start(auth=stuck)

    with caplog.at_level(logging.ERROR, "mesh.gateway"):
        assert house.dial("carol").greet(SECRET) == ["error", "store", CANNOT_JUDGE]

    assert "did not answer in time" in logged(caplog)[0][0]
    house.enter("ada")


def test_an_auth_that_is_asked_when_its_client_leaves_is_cancelled(house: House) -> None:
    ends: list[str] = []

    async def stuck(user: str, token: str) -> bool:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(user)
        return True

    house.start(auth=stuck)
    client = house.dial("carol")
    client.send("connect", 5, "carol", 0, {"token": SECRET})
    wait_until(house.clients, "it is asked")

    client.close()

    wait_until(lambda: ends == ["carol"], "it is cancelled")


@as_it_may_be
def test_the_page_gets_the_status_for_what_auth_takes(house: House, is_async: bool) -> None:
    house.start(auth=given(broken, is_async))

    status, _, body = house.http("GET", "/status", {"Authorization": f"Bearer carol:{SECRET}"})
    refused, _, why = house.http("GET", "/status", {"Authorization": "Bearer carol:guess"})

    assert (status, json.loads(body)["mesh"]) == (200, "home")
    assert (refused, why.decode()) == (503, f"{CANNOT_JUDGE}\n")


@as_it_may_be
def test_the_page_is_refused_the_status_for_a_wrong_token(house: House, is_async: bool) -> None:
    house.start(auth=given(knows_the_secret, is_async))

    for _ in range(MAX_WRONG):
        status, _, _ = house.http("GET", "/status", {"Authorization": "Bearer carol:guess"})
        assert status == 401
    status, _, _ = house.http("GET", "/status", {"Authorization": f"Bearer carol:{SECRET}"})

    assert status == 429


class NoTokens:
    def verify(self, user: str, token: object, now_ms: int) -> Pass | None:
        return None

    def still_valid(self, held: Pass, now_ms: int) -> bool:
        return False


def test_of_many_that_are_asked_at_once_the_first_wrong_ones_count_for_the_others() -> None:
    async def story() -> list[object]:
        guard = Guard(NoTokens(), ManualClock(0), given(knows_the_secret, is_async=True))
        asked = [guard.judge("carol", token, "192.168.1.7:1") for token in [*["guess"] * (MAX_WRONG + 5), SECRET]]
        waited = [one for one in asked if isinstance(one, Awaitable)]
        return list(await asyncio.gather(*waited, return_exceptions=True))

    *wrong, right = asyncio.run(story())

    assert wrong[:MAX_WRONG] == [None] * MAX_WRONG
    assert [one.type for one in [*wrong[MAX_WRONG:], right] if isinstance(one, SyncError)] == ["bruteforce"] * 6


def test_a_session_that_auth_let_in_is_not_judged_by_the_tokens_later() -> None:
    guard = Guard(NoTokens(), ManualClock(0), knows_the_secret)

    held = guard.judge("carol:1", SECRET, "192.168.1.7:1")

    assert held == Pass("carol", "", None)
    assert guard.still_valid(Pass("carol", "", None))
    assert not guard.still_valid(Pass("ada", "abc", None))
