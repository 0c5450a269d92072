"""The id in a `logux/undo`: on the wire it is that of the other end's log, in ours the text of the `created`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.codec.messages import Sync
from peers.codec.versions import LoguxProtocol
from peers.events.created import MAX_MS, Created, created_from_text, created_text
from peers.events.entry import MAX_EVENT_BYTES, Entry, encode_event
from peers.stores.undo import undo_event, undone_by
from tests.peers.codec.test_logux_properties import createds, protocols, texts
from tests.support.logux_ends import ends
from tests.support.logux_pair import every_dialect


def entry(body: bytes) -> Entry:
    return Entry((9, "anna", 0), 9, body)


def sent_over(ours: LoguxProtocol, theirs: LoguxProtocol, *entries: Entry) -> tuple[Entry, ...]:
    message = theirs.decode(ours.encode(Sync(1, entries)))
    assert isinstance(message, Sync) and message.refusals == ()
    return message.entries


def on_the_wire(ours: LoguxProtocol, body: bytes) -> Any:
    return json.loads(ours.encode(Sync(1, (entry(body),))))[2]


def taken(ours: LoguxProtocol, event: Any) -> bytes:
    """Our text of an event of the other end."""
    second: dict[Any, Any] = {0: [9, "anna", 0], 5: {"id": 9, "time": 9}, 7: {"id": "8", "time": 9}}
    number = ours.protocol if isinstance(ours.protocol, int) else ours.protocol[0]
    message = ours.decode(json.dumps(["sync", 1, event, second[number]], separators=(",", ":")).encode())
    assert isinstance(message, Sync)
    return message.entries[0].body


IDS = [
    ((0, 1), (64, "till~a2b", 0), [64, "till~a2b", 0]),
    ((0, 1), (64, "be rt", 3), [64, "be rt", 3]),
    (5, (64, "till~a2b", 0), "64 till~a2b 0"),
    (5, (64, "ada:x:1", 3), "64 ada:x:1 3"),
    (7, (64, "till~a2b", 0), "0- till~a2b"),
    (7, (64, "anna", 1), "0- anna!10"),
    (7, (64, "be rt", 0), "0- be rt"),
]


@pytest.mark.parametrize(("protocol", "created", "log_id"), IDS, ids=str)
def test_an_undo_names_its_event_as_the_other_end_knows_it(protocol: Any, created: Created, log_id: Any) -> None:
    _, ours = ends(protocol)
    body = encode_event(undo_event(created, "typed twice"))

    event = {"type": "logux/undo", "id": log_id, "reason": "typed twice"}
    assert on_the_wire(ours, body) == event
    assert taken(ours, event) == body


@given(protocols, createds, st.dictionaries(texts, texts, max_size=3))
def test_an_undo_is_received_as_it_was_sent(protocol: Any, created: Created, more: dict[str, str]) -> None:
    one, other = ends(protocol)
    body = encode_event({**more, **undo_event(created)})
    for ours, theirs in ((one, other), (other, one)):
        assert [each.body for each in sent_over(ours, theirs, entry(body))] == [body]
    assert undone_by(body) == created


@given(createds)
def test_the_text_of_an_id_is_read_as_it_was_written(created: Created) -> None:
    assert created_from_text(created_text(created)) == created


@given(st.text(st.sampled_from("0123456789 -:a\n٣"), max_size=12))
def test_only_the_one_text_of_an_id_is_read(text: str) -> None:
    try:
        created = created_from_text(text)
    except ValueError:
        return
    assert created_text(created) == text


@given(st.integers(-(10**6), 10**6), st.integers(10**7, 10**12), st.integers(10**7, 10**12), createds)
def test_a_time_fix_moves_what_an_undo_names_with_its_event(fix: int, ms: int, at: int, created: Created) -> None:
    fixing, server_end = ends((0, 1))
    fixing.time_fix = fix
    _, node_id, n = created
    sale = Entry((ms, node_id, n), ms, b'{"type":"sale"}')
    undo = Entry((at, "anna", 0), at, encode_event(undo_event(sale.created)))

    there = sent_over(fixing, server_end, sale, undo)
    named = [undone_by(each.body) for each in there]
    assert {each.created for each in there if each.event["type"] == "sale"} == {each for each in named if each}

    back = [fixing.fixed(each) for each in sent_over(server_end, fixing, *there)]
    assert sorted(back, key=lambda each: each.body) == sorted([sale, undo], key=lambda each: each.body)


@every_dialect
@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"logux/undo"}',
        b'{ "type":"logux/undo" ,"id":5}',
        b'{"type":"logux/undo","id":"no-id"}',
        b'{"type":"logux/undo","id":{"ms":5}}',
        b'{"type":"logux/undo","id":[]}',
        b'{ "type":"note","id":"0- anna","text":"logux/undo"}',
        b'{"type":"a","then":{"type":"logux/undo","id":"0- anna"}}',
    ],
)
def test_an_event_that_undoes_nothing_keeps_its_bytes(protocol: Any, body: bytes) -> None:
    one, other = ends(protocol)
    assert [each.body for each in sent_over(one, other, entry(body))] == [body]


@pytest.mark.parametrize("log_id", ["0-", "64 anna 0", " anna", "- ", "anna", "0-  "], ids=repr)
def test_an_id_that_protocol_7_does_not_know_stays_as_it_is(log_id: str) -> None:
    _, ours = ends(7)
    body = taken(ours, {"type": "logux/undo", "id": log_id})
    if log_id == "64 anna 0":  # a time to base 64, and a node with a space
        assert undone_by(body) == (from_base_64("64"), "anna 0", 0)
    elif log_id == "0-  ":
        assert undone_by(body) == (64, " ", 0)
    else:
        assert json.loads(body)["id"] == log_id and undone_by(body) is None


def from_base_64(digits: str) -> int:
    first, second = ("-0123456789".index(digit) for digit in digits)
    return 64 * first + second


def test_an_undo_that_is_too_large_in_our_form_is_refused_alone() -> None:
    _, ours = ends(7)
    short = {"type": "logux/undo", "id": "Ok9CVV0 anna", "text": ""}
    room = MAX_EVENT_BYTES - len(encode_event(short))
    full = {**short, "text": "x" * room}

    message = ours.decode(
        json.dumps(
            ["sync", 2, full, {"id": "8", "time": 9}, {"type": "a"}, {"id": "9", "time": 9}], separators=(",", ":")
        ).encode()
    )

    assert isinstance(message, Sync)
    assert [each.cause for each in message.refusals] == ["too-large"]
    assert [each.event["type"] for each in message.entries] == ["a"]


@every_dialect
def test_an_event_of_another_type_is_sent_as_its_bytes(protocol: Any) -> None:
    _, ours = ends(protocol)
    body = b'{ "type":"a" ,"id":"5 anna 0"}'
    assert body in ours.encode(Sync(1, (entry(body),)))


def test_ids_of_the_largest_numbers_are_translated() -> None:
    created = (MAX_MS, "till~a2b", MAX_MS)
    for protocol in ((0, 1), 5, 7):
        one, other = ends(protocol)
        body = encode_event(undo_event(created))
        assert undone_by(sent_over(one, other, entry(body))[0].body) == created
