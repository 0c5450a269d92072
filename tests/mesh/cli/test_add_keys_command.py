"""`mesh add --key` and `--key-field`: events that are safe to repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import Node
from tests.support.commands import run


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node("till", home=tmp_path / "home", listen="127.0.0.1:0", open=True, mdns=False) as node:
        yield node


def texts(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each()]


def test_the_same_key_prints_the_line_of_the_first_event(node: Node) -> None:
    first = run(node.home, "add", '{"type": "sale"}', "--key", "sale-17")
    again = run(node.home, "add", '{"type":"sale"}', "--key", "sale-17")
    other = run(node.home, "add", '{"type": "other"}', "--key", "sale-17")

    assert (first.returncode, again.returncode, other.returncode) == (0, 0, 1)
    assert json.loads(first.stdout)["added"] == 1
    assert again.stdout == first.stdout
    assert b'event 1 is not added: the key "sale-17" is known for another event' in other.stderr
    assert texts(node) == ["sale"]


def test_lines_have_their_keys_in_a_field(node: Node) -> None:
    lines = [
        b'{"type": "a", "id": 1}',
        b'{"type": "b", "id": "2"}',
        b'{"type": "c"}',
        b'{"type": "a", "id": "1"}',
        b"[7]",
    ]

    first = run(node.home, "add", "-", "--key-field", "id", given=b"\n".join(lines))
    again = run(node.home, "add", "-", "--key-field", "id", given=b"\n".join(lines[:2]))

    assert [line[:19] for line in first.stderr.decode().splitlines()] == [
        f"line {number} is not added" for number in (3, 5, 4)
    ]
    assert "no text or whole number in the field 'id'" in first.stderr.decode()
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert texts(node) == ["a", "b"]


def test_many_long_keys_fit_into_their_requests(node: Node) -> None:
    lines = [json.dumps({"type": "a", "id": f"\x01\x02{number:0500d}"}) for number in range(2_000)]

    done = run(node.home, "add", "-", "--key-field", "id", given="\n".join(lines).encode())

    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, b"", 2_000)


@pytest.mark.parametrize("given", [["-"], ['{"type": "a"}', '{"type": "b"}'], ['{"type": "a"}', "--key-field", "id"]])
def test_a_key_is_for_one_event(node: Node, given: list[str]) -> None:
    done = run(node.home, "add", *given, "--key", "sale-17", given=b"")

    assert done.returncode == 2
    assert b"--key is for one event" in done.stderr
    assert texts(node) == []


def test_what_is_no_key_is_refused(node: Node) -> None:
    done = run(node.home, "add", '{"type": "a"}', "--key", "k" * 513)

    assert (done.returncode, texts(node)) == (1, [])
    assert b"event 1 is not added: a key has from 1 to 512 bytes" in done.stderr
