"""Errors of the protocol and their sentences."""

from __future__ import annotations

from typing import Any

import pytest

from peers.errors import FATAL, SyncError, describe


@pytest.mark.parametrize(
    ("type_", "options", "sentence"),
    [
        ("wrong-format", "{", "Wrong message format in {"),
        ("unknown-message", "bad", "Unknown message `bad` type"),
        ("missed-auth", '["ping",1]', 'Start authentication before sending message ["ping",1]'),
        ("timeout", 5_000, "A timeout was reached (5000ms)"),
        ("wrong-protocol", {"supported": 5, "used": 4}, "Only 5 Logux protocols are supported, but you use 4"),
        (
            "wrong-protocol",
            {"supported": [1, 2], "used": [0, 1]},
            "Only 1.2 Logux protocols are supported, but you use 0.1",
        ),
        (
            "wrong-subprotocol",
            {"supported": "2.x", "used": "1.0"},
            "Only 2.x application subprotocols are supported, but you use 1.0",
        ),
        ("wrong-credentials", None, "Wrong credentials"),
        ("wrong-credentials", {"x": 1}, "Wrong credentials"),
        ("own", {"x": 1}, "own"),
    ],
)
def test_describes_an_error(type_: str, options: Any, sentence: str) -> None:
    assert describe(type_, options) == sentence


def test_says_who_sent_it() -> None:
    error = SyncError("timeout", 5_000, received=True, other_node_id="attic")

    assert str(error) == "attic sent timeout (A timeout was reached (5000ms))"


def test_says_so_when_it_is_not_known_who_sent_it() -> None:
    assert str(SyncError("own", received=True)) == "the other end sent own"


def test_names_the_other_end_when_it_was_found_here() -> None:
    assert str(SyncError("timeout", 5_000)) == "A timeout was reached (5000ms)"
    error = SyncError("unknown-message", "x", other_node_id="attic")
    assert str(error) == "attic: unknown-message (Unknown message `x` type)"


def test_keeps_its_type_and_options() -> None:
    error = SyncError("own", {"x": 1}, received=True, other_node_id="attic")

    assert (error.type, error.options, error.received, error.other_node_id) == ("own", {"x": 1}, True, "attic")
    assert error.description == "own"


def test_only_errors_that_a_new_attempt_would_meet_again_are_fatal() -> None:
    assert sorted(FATAL) == ["wrong-credentials", "wrong-protocol", "wrong-subprotocol"]
    assert SyncError("wrong-credentials").is_fatal
    assert not SyncError("timeout", 1).is_fatal


@pytest.mark.parametrize(
    "type_", ["wrong-format", "unknown-message", "missed-auth", "timeout", "wrong-protocol", "wrong-subprotocol", "own"]
)
@pytest.mark.parametrize("options", [None, "", 5, [], {}, {"used": None}, {"supported": [[1]]}, ["\x1b[2J"]], ids=repr)
def test_any_options_make_a_sentence(type_: str, options: Any) -> None:
    assert describe(type_, options).isprintable()


def test_a_sentence_is_short_and_has_no_control_characters() -> None:
    for received in (True, False):
        for other in (None, "attic"):
            error = SyncError("\x1b[2J" + "t" * 1_000, "x" * 1_000, received=received, other_node_id=other)
            assert len(str(error)) < 1_000
            assert str(error).isprintable()
    assert describe("wrong-format", "a\nb") == "Wrong message format in a\\nb"


def test_options_nested_too_deeply_make_a_sentence() -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]

    assert "too deep" in describe("wrong-format", nested)
    while nested:  # taken apart bit by bit, so that it is not freed in one deep recursion
        nested = nested[0]


def test_a_number_of_too_many_digits_makes_a_sentence() -> None:
    assert describe("timeout", 10**5_000).startswith("A timeout was reached (")
