"""Clients of the original packages dial our ServerSync."""

from __future__ import annotations

import json
from typing import Any

import pytest
from js_peer import StartJs
from our_end import KINDS, ODD_EVENTS, PROTOCOLS, Judge, OurEnd, Row, same, theirs
from websockets.sync.client import connect

from peers.errors import SyncError
from peers.events.created import created_text
from peers.roles.server import ServerSync
from peers.stores.undo import undo_event, undone_by

each = pytest.mark.parametrize("kind", KINDS)
large = pytest.mark.parametrize(
    "kind", ["logux01", *(pytest.param(kind, marks=pytest.mark.long) for kind in KINDS[1:])]
)
"""Of more events that the small tests have of each kind; a log of core in memory is slow with many."""
in_one_frame = pytest.mark.parametrize("kind", ["logux01", pytest.param("core10", marks=pytest.mark.long)])
"""Protocol 7 sends its backlog in batches."""


@each
def test_agrees_with_a_client_on_events_of_before_and_after(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", fix_time=False)
    with OurEnd() as ours:
        ours.add_many(20, "ours before")
        client.add_many(20, "theirs before")

        client.connect(ours.listen())
        ours.wait_length(40)
        ours.add_many(20, "ours after")
        client.add_many(20, "theirs after")
        ours.wait_length(80)
        client.wait(length=80, state="synchronized", sent=20)

        assert same(ours.rows(kind), theirs(client.log()))
        assert ours.length == 80
        ours.wait_state("synchronized")
        assert client.other() == {
            "node": "ours",
            "protocol": [0, 1] if kind == "logux01" else PROTOCOLS[kind],
            "subprotocol": "0.0.0" if kind == "logux01" else 0,
        }
        assert not ours.errors


@each
def test_a_client_whose_clock_differs_takes_our_time(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", fix_time=True, clock_shift=5_000)
    with OurEnd() as ours:
        client.connect(ours.listen())
        ours.wait_state("synchronized")
        ours.add({"type": "ours"})
        client.wait(length=1)
        client.add({"type": "theirs"})
        ours.wait_length(2)

        fix = client.ask("timeFix")
        moved = [moved_by(kind, row, fix) for row in theirs(client.log())]

        assert 4_900 < fix < 5_100
        assert sorted(ours.rows(kind)) == sorted(moved)


def moved_by(kind: str, row: Row, fix: float) -> Row:
    """What a client makes of its row for us: in 0.1 another `created`, of which we leave out the half; later another time."""
    ms, node_id, n = row.created if kind == "logux01" else (0, "", 0)
    created = (int(ms - fix), node_id, n) if kind == "logux01" else row.created
    return Row(created, int(row.time - fix), row.event)


@each
def test_a_client_is_told_that_its_credentials_are_wrong(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", credentials="guess")
    judge = Judge(False)
    with OurEnd() as ours:
        ours.add({"type": "secret"})
        client.connect(ours.listen(auth=judge))
        error = client.wait_event("error", type="wrong-credentials", received=True)
        client.wait_event("disconnect")
        ours.until(lambda: ours.role.is_destroyed)

        assert judge.shown == [("guess", "client")]
        assert error["options"] is None
        assert [(told.type, told.options) for told in ours.told] == [("wrong-credentials", None)]
        assert len(client.log()) == 0
        assert len(ours.roles) == 1  # it does not try again


@each
def test_a_client_turns_us_away_for_wrong_credentials(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", accepts="secret")
    with OurEnd() as ours:
        client.connect(ours.listen(credentials="guess"))
        client.wait_event("clientError", type="wrong-credentials", received=False)
        ours.until(lambda: bool(ours.errors) and ours.role.is_destroyed)

        assert [(error.type, error.options, error.received) for error in ours.errors] == [
            ("wrong-credentials", None, True)
        ]


@each
def test_a_client_is_told_that_its_subprotocol_is_wrong(start_js: StartJs, kind: str) -> None:
    used, wanted = ("1.0.0", "2.x") if kind == "logux01" else (1, 2)
    client = start_js(kind, "client", node_id="client", subprotocol=used)

    def judge(role: ServerSync) -> None:
        raise SyncError("wrong-subprotocol", {"supported": wanted, "used": role.other_subprotocol})

    with OurEnd() as ours:
        ours.on_greeting = judge
        client.connect(ours.listen())
        error = client.wait_event("error", type="wrong-subprotocol", received=True)
        ours.until(lambda: ours.role.is_destroyed)

        assert error["options"] == {"supported": wanted, "used": used}
        assert [told.type for told in ours.told] == ["wrong-subprotocol"]


@each
def test_a_client_turns_us_away_for_a_wrong_subprotocol(start_js: StartJs, kind: str) -> None:
    used, wanted = ("1.0.0", "2.x") if kind == "logux01" else (1, 2)
    client = start_js(kind, "client", node_id="client", accepts_subprotocol=wanted)
    with OurEnd() as ours:
        client.connect(ours.listen(subprotocol=used))
        client.wait_event("clientError", type="wrong-subprotocol", received=False)
        ours.until(lambda: bool(ours.errors) and ours.role.is_destroyed)

        (error,) = ours.errors
        assert (error.type, error.options) == ("wrong-subprotocol", {"supported": wanted, "used": used})
        assert error.received


def test_one_door_takes_all_three_protocols_at_once(start_js: StartJs) -> None:
    clients = [start_js(kind, "client", node_id=kind, fix_time=False) for kind in KINDS]
    with OurEnd() as ours:
        url = ours.listen()
        for client in clients:
            client.connect(url)
            client.add_many(20, client.kind)
        ours.add_many(20, "ours")
        for client in clients:
            client.wait(length=80)
        ours.wait_length(80)

        for kind, client in zip(KINDS, clients, strict=True):
            assert same(ours.rows(kind), theirs(client.log()))
        assert ours.length == 80
        assert not ours.errors


@each
@pytest.mark.parametrize("credentials", (5, {"a": [1, None]}), ids=str)
def test_takes_credentials_of_any_json_type(start_js: StartJs, kind: str, credentials: Any) -> None:
    client = start_js(kind, "client", node_id="client", credentials=credentials, accepts=credentials)
    judge = Judge(True)
    with OurEnd() as ours:
        client.connect(ours.listen(credentials=credentials, auth=judge.later))
        client.wait(state="synchronized")

        assert judge.shown == [(credentials, "client")]


@each
def test_never_sends_back_what_came(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", fix_time=False, min_delay=20)
    with OurEnd() as ours:
        client.add_many(30, "theirs")
        client.connect(ours.listen())
        ours.add_many(30, "ours")
        ours.wait_length(60)
        client.wait(length=60, state="synchronized")
        for round_number in range(3):
            links = len(ours.roles)
            ours.call(ours.role.hang_up, "error")
            ours.wait_links(links + 1)
            client.add({"type": "theirs", "n": 100 + round_number})
            ours.wait_length(61 + round_number)
        ours.add({"type": "end"})
        client.wait(length=64)

        assert same(ours.rows(kind), theirs(client.log()))
        assert ours.length == 64
        assert not [event for event in sent_events(ours) if event["type"] == "theirs"]
        assert len(sent_events(ours)) == 31


def sent_events(ours: OurEnd) -> list[dict[str, Any]]:
    return [event for message in ours.sent("sync") for event in message[2::2]]


def heard_events(ours: OurEnd) -> list[dict[str, Any]]:
    return [event for message in ours.heard("sync") for event in message[2::2]]


@each
def test_takes_no_notice_of_what_a_client_sends_back(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", fix_time=False, min_delay=20)
    with OurEnd() as ours:
        ours.add_many(500)
        client.connect(ours.listen())
        client.wait(length=500, state="synchronized")
        assert max(entry.created[2] for entry in ours.entries()) > 50  # many in one ms
        ours.call(ours.role.hang_up, "error")
        ours.until(lambda: len(heard_events(ours)) >= 500)

        assert same(ours.rows(kind), theirs(client.log()))
        assert ours.length == 500
        assert not ours.refused


@large
def test_carries_their_large_backlog(start_js: StartJs, kind: str) -> None:
    count = 10_000 if kind == "logux01" else 3_000  # core needs seconds for more of them
    client = start_js(kind, "client", node_id="client", fix_time=False)
    with OurEnd() as ours:
        client.add_many(count)
        client.connect(ours.listen())
        ours.wait_length(count, timeout=30)

        assert same(ours.rows(kind), theirs(client.log()))
        assert not ours.errors


@in_one_frame
def test_takes_fifty_thousand_events_in_one_frame(kind: str) -> None:
    with OurEnd() as ours, connect(ours.listen(), compression=None, max_size=None) as client:
        greet(client, kind)
        client.send(backlog(kind, 50_000))
        ours.wait_length(50_000, timeout=60)
        ours.until(lambda: ["synced", 50_000] in ours.sent("synced"))

        assert [entry.event["n"] for entry in ours.entries()] == list(range(50_000))


@in_one_frame
def test_seventy_thousand_events_in_one_frame_are_an_error(kind: str) -> None:
    with OurEnd() as ours, connect(ours.listen(), compression=None, max_size=None) as client:
        greet(client, kind)
        client.send(backlog(kind, 70_000))
        ours.until(lambda: bool(ours.told))

        assert ours.told[0].type == "wrong-format"
        assert ours.length == 0
        ours.until(lambda: ours.role.is_destroyed)


def greet(client: Any, kind: str) -> None:
    protocol = [0, 1] if kind == "logux01" else PROTOCOLS[kind]
    client.send(json.dumps(["connect", protocol, "client", 0]))
    assert json.loads(client.recv())[0] == "connected"


def backlog(kind: str, count: int) -> str:
    """A whole log as one `sync`; 0.1 begins with the newest."""
    order = reversed(range(count)) if kind == "logux01" else range(count)
    items: list[Any] = ["sync", count]
    for n in order:
        items += [{"type": "e", "n": n}, second_of(kind, n)]
    return json.dumps(items, separators=(",", ":"))


def second_of(kind: str, n: int) -> Any:
    if kind == "logux01":
        return [1_700_000_000_000 + n, "client", 0]
    return {"id": n - 100_000, "time": n - 100_000, "reasons": ["t"]}


@each
def test_odd_events_do_no_harm(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", fix_time=False, min_delay=20)
    with OurEnd() as ours:
        for event in ODD_EVENTS:
            ours.add(event)
        ours.add({"type": "listlike", "length": 3})
        client.connect(ours.listen())
        ours.add({"type": "meta"}, {"length": 5, "odd": None, "__proto__": 1})
        ours.add({"type": "last"}, {"id": "x", "reasons": ["a"], "subprotocol": "9", "keep_last": "k", "time_fix": {}})
        taken = len(ODD_EVENTS) + (3 if kind == "logux01" else 1)
        client.wait(length=taken)
        ours.until(lambda: ours.role.state == "synchronized")
        for event in ODD_EVENTS:
            client.add(event)
        client.add({"type": "listlike", "length": 3})
        ours.wait_length(2 * len(ODD_EVENTS) + 4)
        ours.call(ours.role.hang_up, "error")
        ours.until(lambda: len(ours.roles) == 2 and ours.role.state == "synchronized")
        client.add({"type": "end"})
        ours.wait_length(2 * len(ODD_EVENTS) + 5)

        refused = [] if kind == "logux01" else ["listlike", "meta"]
        ours_only = [row for row in ours.rows(kind) if row.event["type"] in refused and "ours" in str(row.created)]
        assert [row.event for row in theirs(client.log())] == [
            row.event for row in ours.rows(kind) if row not in ours_only
        ]
        assert not ours.errors


@each
def test_an_undo_names_its_event_at_each_end_as_the_log_there_does(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", fix_time=False)
    with OurEnd() as ours:
        client.connect(ours.listen())
        client.add({"type": "logux/undo", "id": in_log(kind, client.add({"type": "theirs"})), "reason": "by them"})
        ours.wait_length(2)
        ours.add(undo_event(ours.entries()[0].created, "by us"))
        meta = ours.add({"type": "ours"})
        ours.add(undo_event(meta["created"], "by us"))
        client.wait(length=5)

        created = {entry.event["type"]: entry.created for entry in ours.entries()}
        undone = [(entry.event["reason"], undone_by(entry.body)) for entry in ours.entries() if "reason" in entry.event]
        assert undone == [("by them", created["theirs"]), ("by us", created["theirs"]), ("by us", created["ours"])]
        known = {row.event["type"]: in_log(kind, row.created) for row in client.log()}
        ids = [row.event["id"] for row in client.log() if row.event["type"] == "logux/undo"]
        assert ids == [known["theirs"], known["theirs"], known["ours"]]
        assert not ours.errors


def in_log(kind: str, created: Any) -> Any:
    """The id of an event as its log there has it."""
    return {"logux01": list, "core10": created_text, "core12": str}[kind](created)


@each
def test_a_client_gets_everything_after_our_log_was_lost(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", fix_time=False, min_delay=20)
    with OurEnd() as lost:
        url = lost.listen()
        lost.add_many(20, "lost")
        client.connect(url)
        client.wait(length=20, received=20)

    with OurEnd() as ours:
        ours.add_many(5, "new")
        ours.listen(int(url.rpartition(":")[2]))
        client.wait(length=25)
        ours.add({"type": "newest"})
        client.wait(length=26)

        assert "newest" in client.types()
        assert not ours.errors
