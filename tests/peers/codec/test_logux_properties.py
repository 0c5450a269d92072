"""Logux dialects read what they write, and no frame crashes a role."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from peers.codec.logux_7 import DIGITS, Protocol7, from_digits, to_digits
from peers.codec.messages import Connect, Connected, Custom, Debug, Error, Headers, Options, Ping, Pong, Sync, Synced
from peers.errors import MAX_SHOWN, SyncError
from peers.events.created import MAX_MS, Created, created_key
from peers.events.entry import Entry
from tests.support.logux_ends import ends
from tests.support.logux_pair import PROTOCOLS, client, met_client, met_server, server

numbers = st.integers(0, MAX_MS)
protocols = st.sampled_from(list(PROTOCOLS.values()))
texts = st.text(max_size=20)
node_ids = st.one_of(
    st.sampled_from(["anna", "server", "bert", "a b", "a!10", "a!1-", "a!10!1-", "!10", "a!12!20-", "é~1"]),
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20),
)
json_values: Any = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-MAX_MS, MAX_MS), st.floats(allow_nan=False, allow_infinity=False), texts
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
createds = st.tuples(numbers, node_ids, st.one_of(st.just(0), numbers))
extras = st.dictionaries(st.sampled_from(["colour", "subprotocol", "user"]), st.one_of(numbers, texts), max_size=3)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    event = {**draw(st.dictionaries(texts, json_values, max_size=3)), "type": draw(texts)}
    extra = draw(extras)
    return Entry(
        draw(createds),
        draw(numbers),
        json.dumps(event).encode(),
        json.dumps(extra, separators=(",", ":"), ensure_ascii=False).encode() if extra else b"",
    )


@given(protocols, st.lists(entries(), max_size=5), numbers, numbers)
def test_events_are_received_as_they_were_sent(protocol: Any, sent: list[Entry], added: int, base: int) -> None:
    for ours, theirs in (ends(protocol, base=base), reversed(ends(protocol, base=base))):
        message = theirs.decode(ours.encode(Sync(added, tuple(sent))))

        assert isinstance(message, Sync)
        assert message.added == added
        assert message.refusals == ()
        if protocol == (0, 1):
            assert sorted((one.created, one.body) for one in message.entries) == sorted(
                (s.created, s.body) for s in sent
            )
            assert all(one.time == one.created[0] for one in message.entries)
        else:
            assert [one.created for one in message.entries] == [one.created for one in sent]
            assert [(one.time, one.body) for one in message.entries] == [(one.time, one.body) for one in sent]
            assert [one.meta | {"dot": 0} for one in message.entries] == [one.meta | {"dot": 0} for one in sent]


@given(protocols, entries(), st.integers(-(10**6), 10**6), st.integers(10**7, 10**12))
def test_a_time_fix_is_subtracted_on_the_way_out_and_added_on_the_way_in(
    protocol: Any, sent: Entry, fix: int, ms: int
) -> None:
    fixing, server_end = ends(protocol)
    fixing.time_fix = fix
    one = Entry((ms, *sent.created[1:]), ms, sent.body, sent.extra)

    there = server_end.decode(fixing.encode(Sync(1, (one,))))
    assert isinstance(there, Sync)
    back = fixing.decode(server_end.encode(Sync(1, there.entries)))
    assert isinstance(back, Sync)

    assert there.entries[0].time == ms - fix
    assert (there.entries[0].created == one.created) == (protocol != (0, 1) or fix == 0)
    assert fixing.fixed(back.entries[0]).created == one.created
    assert fixing.fixed(back.entries[0]).time == one.time


@given(protocols, st.one_of(st.none(), json_values), st.one_of(st.just(0), json_values), node_ids, numbers)
def test_greetings_are_received_as_they_were_sent(
    protocol: Any, token: Any, subprotocol: Any, node_id: str, number: int
) -> None:
    ours, theirs = ends(protocol)
    options = Options(token=token, subprotocol=subprotocol)

    connect = theirs.decode(ours.encode(Connect(ours.protocol, node_id, number, options)))
    connected = theirs.decode(ours.encode(Connected(ours.protocol, node_id, (number, number), options)))

    assert isinstance(connect, Connect)
    assert isinstance(connected, Connected)
    assert (connect.node_id, connect.synced) == (connected.node_id, connected.times[0]) == (node_id, number)
    assert connect.options == connected.options
    assert connect.options.token == token or not token
    assert connect.options.subprotocol == subprotocol or not subprotocol


@given(
    protocols,
    st.one_of(
        st.builds(Synced, numbers),
        st.builds(Ping, numbers),
        st.builds(Pong, numbers),
        st.builds(Error, texts, json_values),
        st.builds(Headers, st.dictionaries(texts, json_values, max_size=3)),
        st.builds(Debug, texts, texts),
        st.builds(Custom, st.just("wave"), st.lists(json_values, max_size=3).map(tuple)),
    ),
)
def test_other_messages_are_received_as_they_were_sent(protocol: Any, message: Any) -> None:
    ours, theirs = ends(protocol)

    assert theirs.decode(ours.encode(message)) == message


message_names = st.sampled_from(
    ["connect", "connected", "sync", "synced", "ping", "pong", "error", "headers", "debug", "duilian", "ready", "x", ""]
)
events: Any = st.one_of(json_values, st.fixed_dictionaries({"type": texts}))
seconds: Any = st.one_of(
    json_values,
    st.fixed_dictionaries({"id": json_values, "time": json_values}),
    st.lists(st.one_of(numbers, texts), max_size=4),
)
odd_messages = st.one_of(
    json_values,
    st.builds(lambda name, items: [name, *items], message_names, st.lists(json_values, max_size=4)),
    st.builds(
        lambda added, event, second: ["sync", added, event, second], st.one_of(numbers, json_values), events, seconds
    ),
    st.builds(
        lambda name, version, rest: [name, version, *rest],
        st.sampled_from(["connect", "connected"]),
        st.one_of(st.sampled_from([[0, 1], 5, 7]), json_values),
        st.lists(st.one_of(json_values, st.just("anna"), st.just([1, 2])), max_size=3),
    ),
)


@given(protocols, st.one_of(st.binary(max_size=50), odd_messages.map(lambda message: json.dumps(message).encode())))
def test_any_frame_is_a_message_or_a_wrong_format(protocol: Any, frame: bytes) -> None:
    _, ours = ends(protocol)

    try:
        message = ours.decode(frame)
    except SyncError as error:
        assert error.type == "wrong-format"
        assert len(error.options) <= MAX_SHOWN
    else:
        assert message is not None


@given(protocols, st.sampled_from(["server", "met server", "client", "met client"]), st.lists(odd_messages, max_size=3))
def test_no_message_crashes_a_role_or_leaves_it_half_open(protocol: Any, kind: str, messages: list[Any]) -> None:
    makers = {"server": server, "met server": met_server, "client": client, "met client": met_client}
    stranger = makers[kind]() if kind == "server" else makers[kind](protocol)

    for message in messages:
        if stranger.connected:
            stranger.say_raw(json.dumps(message).encode())

    assert stranger.connected or stranger.errors
    if stranger.connected and not stranger.role.authenticated:
        stranger.clock.advance(60_000)
        assert not stranger.connected
    stranger.role.destroy()
    assert stranger.clock.waiting == 0


@given(numbers)
def test_every_number_has_one_text_to_base_64(number: int) -> None:
    text = to_digits(number)

    assert from_digits(text) == number
    assert len(text) == 1 or text[0] != DIGITS[0]


@given(numbers, numbers)
def test_texts_of_one_length_sort_as_their_numbers(one: int, other: int) -> None:
    first, second = to_digits(one), to_digits(other)

    assert len(first) != len(second) or (first < second) == (one < other)


@given(st.text(max_size=12))
def test_any_other_text_is_no_number(text: str) -> None:
    try:
        number = from_digits(text)
    except ValueError:
        return

    assert to_digits(number) == text


@given(createds, createds, node_ids)
def test_each_id_of_protocol_7_is_one_created(one: Created, other: Created, self_id: str) -> None:
    ours, theirs = Protocol7(self_id), Protocol7("server")
    theirs.other_node_id = self_id

    assert theirs.read_id(ours.write_id(one)) == one
    assert (ours.write_id(one) == ours.write_id(other)) == (one == other)


@given(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20), numbers)
def test_an_id_of_a_javascript_peer_is_given_back_as_it_came(node_id: str, ms: int) -> None:
    ours = Protocol7("server")
    ours.other_node_id = "anna"
    wire_id = f"{to_digits(ms)} {node_id}"

    created = ours.read_id(wire_id)

    assert ours.write_id(created) == wire_id or node_id == "server"


@given(numbers, st.integers(0, 4_000))
def test_a_counter_sorts_behind_its_ms_as_text_too(ms: int, n: int) -> None:
    ours = Protocol7("server")

    texts_of = [ours.write_id((ms, "anna", count)) for count in (n, n + 1)]

    assert texts_of == sorted(texts_of)
    assert created_key((ms, "anna", n)) < created_key((ms, "anna", n + 1))
