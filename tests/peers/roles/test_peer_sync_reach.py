"""Whether the other end can dial us: the messages `reach` and `reached`, and the release in the greeting."""

from __future__ import annotations

from typing import Any

import pytest

from peers.codec.run_messages import Reached
from tests.support.pair import Pair


def pair_of(left: str = "0.6", right: str = "0.6") -> Pair:
    return Pair(left={"release": left}, right={"release": right}).connect()


def test_each_end_knows_the_release_of_the_other() -> None:
    pair = pair_of("0.6.1", "0.7")

    assert pair.right.other_hello.release == "0.6.1"
    assert pair.left.other_hello.release == "0.7"


def test_the_other_end_is_asked_to_dial_and_its_answer_comes_back() -> None:
    pair = pair_of()
    asked: list[int] = []
    pair.right.on("reach", asked.append)

    answer = pair.left.ask_reach(4000)
    pair.right.answer_reach(Reached("refused"))

    assert asked == [4000]
    assert pair.left_sent[-1] == ["reach", 4000]
    assert pair.right_sent[-1] == ["reached", "refused", True]
    assert answer.result() == Reached("refused")


def test_an_end_of_an_earlier_release_is_not_asked() -> None:
    pair = pair_of(right="")
    before = list(pair.left_sent)

    assert pair.left.ask_reach(4000).result() is None
    assert pair.left_sent == before


def test_one_port_is_asked_about_on_one_link() -> None:
    pair = pair_of()
    asked: list[int] = []
    pair.right.on("reach", asked.append)
    for port in (4000, 22, 4000):
        pair.left.ask_reach(port)
        if asked[-1:] == [port]:
            pair.right.answer_reach(Reached())

    assert asked == [4000, 4000]
    assert pair.right_sent[-2] == ["reached", "one port can be asked about on one link", False]


def test_the_question_fails_without_a_link_and_when_it_ends() -> None:
    pair = pair_of()
    asked = pair.left.ask_reach(4000)

    pair.cut()

    assert isinstance(asked.exception, ConnectionError)
    assert isinstance(pair.left.ask_reach(4000).exception, ConnectionError)


@pytest.mark.parametrize("items", [[0], [65_536], ["22"], [None], []])
def test_what_is_no_port_ends_the_link(items: list[Any]) -> None:
    pair = pair_of()
    pair.catch()

    pair.say("left", "reach", *items)

    assert not pair.right.connected


def test_an_answer_without_a_question_is_ignored() -> None:
    pair = pair_of()

    pair.right.answer_reach(Reached("refused"))

    assert pair.left.connected
