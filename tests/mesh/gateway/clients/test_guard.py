"""Guard and ClientAccess: whether a client is accepted, and whether its session may go on."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import MeshError
from mesh.gateway.clients.guard import CHECK_MS, MAX_WRONG, WINDOW_SECONDS, ClientAccess, Guard
from mesh.gateway.clients.tokens import Pass
from peers.clock import ManualClock
from peers.errors import SyncError

ADDRESS = "192.168.1.7:4000"


class Kept:
    """Tokens in memory: each user's token is the user's name, until it is revoked."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()
        self.is_damaged = False

    def verify(self, user: str, token: Any, now_ms: int) -> Pass | None:
        self._check()
        return Pass(user, "hash", None) if token == user and user not in self.revoked else None

    def still_valid(self, held: Pass, now_ms: int) -> bool:
        self._check()
        return held.user not in self.revoked

    def _check(self) -> None:
        if self.is_damaged:
            raise MeshError("tokens.json is damaged")


class Session:
    """The access of one session, with its clock and its tokens."""

    def __init__(self) -> None:
        self.clock = ManualClock(0)
        self.tokens = Kept()
        self.ends = 0
        self.access = ClientAccess(Guard(self.tokens, self.clock), self.clock.call_later, on_revoked=self._on_revoked)

    def _on_revoked(self) -> None:
        self.ends += 1


def test_the_right_token_admits_its_user() -> None:
    session = Session()

    assert session.access.user == ""
    assert session.access.admit("ada:phone", "ada", ADDRESS)
    assert session.access.user == "ada"


@pytest.mark.parametrize(
    ("node_id", "token"), [("ada", "bob"), ("ada", None), ("ada~abc", "ada"), ("server", "server")]
)
def test_wrong_tokens_and_node_ids_that_clients_cannot_have_are_refused(node_id: str, token: Any) -> None:
    session = Session()

    assert not session.access.admit(node_id, token, ADDRESS)
    assert session.access.user == ""


def test_after_too_many_wrong_tokens_an_address_gets_bruteforce_for_a_time() -> None:
    session = Session()
    for _ in range(MAX_WRONG):
        session.access.admit("ada", "wrong", ADDRESS)

    with pytest.raises(SyncError) as caught:
        session.access.admit("ada", "ada", ADDRESS)
    session.clock.advance(WINDOW_SECONDS * 1000)

    assert caught.value.type == "bruteforce"
    assert session.access.admit("ada", "ada", ADDRESS)


def test_a_revoked_token_is_noticed_at_the_next_check_and_once() -> None:
    session = Session()
    session.access.admit("ada", "ada", ADDRESS)
    session.access.watch()
    session.clock.advance(10 * CHECK_MS)

    session.tokens.revoked.add("ada")
    before = session.ends
    session.clock.advance(CHECK_MS)
    session.clock.advance(10 * CHECK_MS)

    assert (before, session.ends) == (0, 1)
    assert session.clock.waiting == 0


def test_while_the_tokens_cannot_be_read_a_session_goes_on_and_no_client_is_admitted() -> None:
    session = Session()
    session.access.admit("ada", "ada", ADDRESS)
    session.access.watch()

    session.tokens.is_damaged = True
    session.clock.advance(CHECK_MS)

    assert session.ends == 0
    with pytest.raises(MeshError, match="damaged"):
        session.access.admit("bob", "bob", ADDRESS)


def test_the_end_of_a_session_ends_its_checks() -> None:
    session = Session()
    session.access.admit("ada", "ada", ADDRESS)
    session.access.watch()

    session.access.end()

    assert session.clock.waiting == 0
