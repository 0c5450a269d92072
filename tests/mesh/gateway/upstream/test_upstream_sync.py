"""The role of a node at a Logux server, which is a script here; tests/logux has the real ones."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner

from mesh.cli import up_options
from mesh.gateway.upstream.role import CAME_FROM, FINISH_MS, MAX_TOLD, UPSTREAM_SAVE_MS
from mesh.gateway.upstream.send_queue import ANSWER_MS
from peers.later import Later
from tests.support.upstream_script import HERE, KITCHEN, NOW_MS, URL, Script


def test_an_event_is_sent_under_an_id_of_ours_that_ends_with_its_own() -> None:
    script = Script()

    script.add("milk", created=(NOW_MS + 3, "ada:1", 7), reasons=["x"])

    (sync,) = script.syncs
    assert sync[:3] == ["sync", 1, {"type": "milk"}]
    assert (sync[3]["id"][0], sync[3]["id"][2], sync[3]["time"]) == (3, 7, 3)
    assert re.fullmatch(f"{HERE}:[0-9a-f]{{8}}:ada:1", sync[3]["id"][1])
    assert sync[3].keys() == {"id", "time"}


def test_an_event_is_sent_again_under_another_id() -> None:
    script = Script()
    script.add("milk")

    script.local.left.disconnect("error")
    script.local.left.connect()
    script.greet()

    assert script.sent == ["milk", "milk"]
    assert script.syncs[0][3]["id"][1] != script.syncs[1][3]["id"][1]


def test_the_next_event_is_sent_once_the_server_has_carried_out_the_one_before() -> None:
    script = Script()
    script.add("milk", "bread", "eggs")
    assert script.sent == ["milk"]

    script.answer()
    script.answer(kind="undo", reason="denied", action={"type": "bread"})

    assert script.sent == ["milk", "bread", "eggs"]
    assert script.role.synced == 2
    assert script.refused == [f"server:abc refused the event bread of {KITCHEN}: denied"]


def test_without_an_answer_the_next_event_is_sent_after_a_time() -> None:
    script = Script(timeout=None, ping=None)
    script.add("milk", "bread")

    script.clock.advance(ANSWER_MS)

    assert script.sent == ["milk", "bread"]
    assert script.refused == ["server:abc does not say whether it has carried out an event: it is sent the next one"]


def test_events_in_the_send_queue_are_not_confirmed_before_they_are_sent() -> None:
    script = Script()
    script.add("milk", "bread")

    script.say("synced", 1)

    assert script.sent == ["milk"]
    assert script.role.synced == 1


def test_a_plain_server_is_sent_all_events_at_once_and_unchanged() -> None:
    script = Script("server")

    script.add("milk", "bread")

    assert script.sent == ["milk", "bread"]
    assert script.syncs[0][3]["id"] == [0, KITCHEN, 0]


def test_events_from_a_server_that_carries_events_out_are_marked_and_not_sent_back() -> None:
    script = Script()
    script.bring({"type": "milk"})
    assert script.store.each()[0].meta[CAME_FROM] == URL

    script.start()
    script.add("bread")

    assert script.sent == ["bread"]


def test_events_from_another_server_are_sent() -> None:
    script = Script()
    script.bring({"type": "milk"})

    script.start(url="ws://other.example")

    assert script.sent == ["milk"]


def test_the_bytes_of_an_event_are_kept() -> None:
    script = Script()

    script.local.right.send(b'["sync", 1, {"type": "a",  "n": 1e3}, {"id": 5, "time": 5}]')

    assert script.store.each()[0].body == b'{"type": "a",  "n": 1e3}'


@pytest.mark.parametrize("node_id", ["server", "server:abc"])
def test_events_of_nodes_and_control_events_are_dropped(node_id: str) -> None:
    script = Script(node_id)

    script.bring({"type": "forged"}, "study~aaaaaaaa")
    script.bring({"type": "back"}, "10:study~aaaaaaaa:0123abcd:ada:1")
    script.bring({"type": "logux/processed", "id": "1 2 3"}, node_id)
    script.say("sync", 9, {"type": "x"}, {"id": [4, "study~b", 0], "time": 4}, {"type": "milk"}, {"id": 5, "time": 5})

    assert script.types == ["milk"]
    assert ["synced", 9] in script.heard


def test_a_plain_server_that_gives_an_undo_back_has_refused_nothing() -> None:
    script = Script("server")

    script.bring({"type": "logux/undo", "id": "1 study~aaaaaaaa 0"}, "study~aaaaaaaa")

    assert (script.types, script.refused) == ([], [])


def test_control_events_are_not_sent_to_a_server_that_has_its_own() -> None:
    script = Script()

    script.add("logux/undo", "milk")

    assert script.sent == ["milk"]


def test_channels_are_subscribed_anew_in_each_connection() -> None:
    script = Script(channels=["a", "b"])
    assert [message[2] for message in script.syncs] == [
        {"type": "logux/subscribe", "channel": "a"},
        {"type": "logux/subscribe", "channel": "b"},
    ]
    assert [(message[1], message[3]) for message in script.syncs] == [(0, {"id": [0, n], "time": 0}) for n in (1, 2)]

    script.heard.clear()
    script.local.left.disconnect("error")
    script.local.left.connect()
    script.greet()

    assert [message[2]["channel"] for message in script.syncs] == ["a", "b"]
    assert script.types == []


def test_a_server_without_channels_gets_no_subscription() -> None:
    assert Script("server", channels=["a"]).syncs == []


def test_a_refused_channel_is_reported() -> None:
    script = Script(channels=["a", "b"])

    script.answer(0, "undo", reason="denied", action={"type": "logux/subscribe"})
    script.answer(1)

    assert script.refused == ["server:abc refused the channel a: denied"]


def test_sentences_about_refusals_are_limited() -> None:
    script = Script()

    for number in range(MAX_TOLD + 10):
        for _ in range(2):
            script.bring({"type": "logux/undo", "id": "x", "reason": f"r{number}"}, "server:abc")

    assert len(script.refused) == MAX_TOLD


@pytest.mark.parametrize("event", [{}, {"id": 5}, {"id": None, "reason": {"a": 1}, "action": []}, {"id": " "}])
def test_odd_control_events_cause_no_error(event: dict[str, Any]) -> None:
    script = Script()

    script.bring({"type": "logux/undo", **event}, "server:abc")

    assert script.errors == []
    assert len(script.refused) == 1


def test_a_server_with_users_needs_the_user_option() -> None:
    script = Script(as_node=KITCHEN)

    assert script.errors == ["wrong-credentials"]
    assert script.refused == ["server:abc takes events only from a user: give --upstream-user"]


def test_another_node_of_the_mesh_at_the_same_server_is_reported() -> None:
    script = Script()

    for sender in ("study~a:1:attic~a", f"{KITCHEN}:1:{KITCHEN}", f"study~a:1:{KITCHEN}"):
        script.bring({"type": "milk"}, f"10:{sender}")

    assert script.refused == [
        "study~a sends the events of this mesh to server:abc too, where they are carried out twice: "
        "start only one node with --upstream"
    ]
    assert script.types == []


def test_a_refusal_before_the_greeting_names_no_server() -> None:
    script = Script()
    errors: list[str] = []
    script.role.catch(lambda error: errors.append(str(error)))

    script.local.left.disconnect("error")
    script.local.left.connect()
    script.say("error", "wrong-credentials")

    assert errors == ["the other end sent wrong-credentials (Wrong credentials)"]


# Where to resume


def restarted(script: Script, node_id: str) -> list[Any]:
    """The node stops, and starts again with its saved cursors; its greetings to a server with that node id."""
    script.role.destroy()
    synced, other_synced = script.log.cursors(f"upstream:{URL}").get()
    script.node_id = node_id
    script.start(synced=synced, other_synced=other_synced)
    if not script.role.authenticated:
        script.greet()
    return [message[3] for message in script.heard if message[0] == "connect"]


def grown(node_id: str) -> Script:
    """Both ends have sent events."""
    script = Script(node_id)
    script.bring({"type": "theirs"}, added=5)
    script.add("ours")
    script.answer(kind="processed") if script.role.is_strict else script.say("synced", script.syncs[-1][1])
    assert (script.role.synced, script.role.other_synced) == (2, 5)
    return script


@pytest.mark.parametrize("node_id", ["server", "server:abc"])
def test_a_session_with_the_same_server_resumes_after_a_restart(node_id: str) -> None:
    script = grown(node_id)

    assert restarted(script, node_id) == [5]
    assert script.syncs == []


def test_another_server_that_carries_events_out_is_asked_for_all_and_sent_nothing_again() -> None:
    script = grown("server:abc")

    assert restarted(script, "server:def") == [5, 0]
    assert script.syncs == []
    assert script.role.synced == 2


def test_nothing_is_sent_again_to_a_server_whose_numbers_restart_before_the_log_knows_whose_cursors_they_are() -> None:
    script = grown("server:abc")
    script.role.destroy()
    synced, other_synced = script.log.cursors(f"upstream:{URL}").get()
    read, owner = script.log.cursors, Later[Any]()
    script.log.cursors = lambda _: owner  # type: ignore[method-assign]
    script.start(synced=synced, other_synced=other_synced)

    script.bring({"type": "theirs too"}, added=1)
    script.log.cursors = read  # type: ignore[method-assign]
    read(f"upstream:{URL} of").then(owner.follow)

    assert script.role.synced == synced
    assert script.syncs == []


def test_everything_is_exchanged_with_another_plain_server() -> None:
    script = grown("server")

    assert restarted(script, "another") == [5, 0]
    assert script.sent == ["theirs", "ours"]


def test_the_log_keeps_whose_cursors_they_are() -> None:
    script = grown("server:abc")
    restarted(script, "server:def")

    assert restarted(script, "server:def") == [0]
    assert restarted(script, "server:abc") == [0]


def test_cursors_are_saved_soon() -> None:
    script = Script()
    script.add("milk")
    script.answer()

    script.clock.advance(UPSTREAM_SAVE_MS)

    assert script.log.cursors(f"upstream:{URL}").get()[0] == 1


# The end


def test_finish_ends_once_the_server_has_confirmed_everything() -> None:
    script = Script()
    script.add("milk", "bread")
    ends: list[str] = []

    script.role.finish(lambda: ends.append("end"))
    assert ends == []
    script.answer()

    assert ends == ["end"]
    assert script.sent == ["milk"]
    assert script.role.synced == 1


def test_finish_ends_after_a_time_if_the_server_is_silent() -> None:
    script = Script()
    script.add("milk")
    ends: list[str] = []
    script.role.finish(lambda: ends.append("end"))

    script.clock.advance(FINISH_MS)
    script.clock.advance(FINISH_MS)

    assert ends == ["end"]


@pytest.mark.parametrize("node_id", ["server", "server:abc"])
def test_finish_ends_at_once_if_everything_is_confirmed(node_id: str) -> None:
    script = Script(node_id)
    ends: list[str] = []

    script.role.finish(lambda: ends.append("end"))

    assert ends == ["end"]


# The options of up


def given(*args: str) -> Any:
    import click

    @click.command()
    @up_options.upstream_options
    @click.pass_context
    def passed_on(context: click.Context, /, **chosen: Any) -> None:
        click.echo(json.dumps(up_options.given_options(context, chosen)))

    done = CliRunner().invoke(passed_on, args, env={"MESH_UPSTREAM_TOKEN": ""})
    return json.loads(done.stdout) if done.exit_code == 0 else done.stderr.splitlines()[-1]


def test_the_command_line_passes_channels_and_subprotocol_on() -> None:
    upstream = ("--upstream", "ws://x")

    assert given(
        *upstream, "--upstream-channel", "a b", "--upstream-channel", "c/1", "--upstream-subprotocol", "2"
    ) == {
        "upstream": "ws://x",
        "upstream_channels": ["a b", "c/1"],
        "upstream_subprotocol": 2,
    }
    assert given(*upstream, "--upstream-subprotocol", "1.0.0")["upstream_subprotocol"] == "1.0.0"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--upstream-channel", "a"], "--upstream-channel is of no use alone: give --upstream URL too"),
        (["--upstream-subprotocol", "1"], "--upstream-subprotocol is of no use alone: give --upstream URL too"),
        (["--upstream", "ws://x", "--upstream-channel", ""], "the channel '' cannot be used: it is empty"),
        (["--upstream", "ws://x", "--upstream-channel", "a\x1b"], "cannot be printed"),
        (["--upstream", "ws://x", "--upstream-subprotocol", "one"], "'one' is no version: write a whole number"),
    ],
)
def test_the_command_line_refuses_options_that_have_no_effect(args: list[str], words: str) -> None:
    assert words in given(*args)
