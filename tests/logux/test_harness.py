"""The harness itself: original packages against each other, before anything of ours talks to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from js_peer import JsEntry, JsError, JsPeer, StartJs
from npm_packages import HERE, PackagesError, installed_packages, scripts_beside

KINDS = ("logux01", "core10", "core12")


def meet(
    start_js: StartJs, kind: str, client: Mapping[str, object], server: Mapping[str, object]
) -> tuple[JsPeer, JsPeer]:
    listener = start_js(kind, "server", node_id="server", **server)
    dialler = start_js(kind, "client", node_id="client", fix_time=False, **client)
    dialler.connect(listener.listen())
    return dialler, listener


def identities(rows: list[JsEntry]) -> list[object]:
    return [(row.created, row.time, row.event) for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_client_and_server_of_one_package_exchange_events_and_agree(start_js: StartJs, kind: str) -> None:
    client, server = meet(start_js, kind, {}, {})
    client.wait(state="synchronized")

    client.add_many(10, "ours")
    server.add_many(10, "theirs")
    client.wait(state="synchronized", length=20, sent=10)
    server.wait(state="synchronized", length=20)

    assert identities(client.log()) == identities(server.log())
    assert client.types().count("ours") == client.types().count("theirs") == 10
    assert client.other() == server.other() | {"node": "server"}  # type: ignore[operator]


@pytest.mark.parametrize("kind", KINDS)
def test_events_added_together_arrive_too(start_js: StartJs, kind: str) -> None:
    client, server = meet(start_js, kind, {}, {})
    client.wait(state="synchronized")

    client.add_many(10, "x", together=True)
    server.wait(length=10)

    syncs = [message for message in client.sent() if message[0] == "sync"]
    assert len(syncs) == (1 if kind == "core12" else 10)


@pytest.mark.parametrize("kind", KINDS)
def test_shows_credentials_and_subprotocols_to_each_other(start_js: StartJs, kind: str) -> None:
    subprotocol = "1.0.0" if kind == "logux01" else 1
    ours = {"credentials": "c", "accepts": "s", "subprotocol": subprotocol}
    theirs = {"credentials": "s", "accepts": "c", "subprotocol": subprotocol, "accepts_subprotocol": subprotocol}

    client, _server = meet(start_js, kind, ours, theirs)
    client.wait(state="synchronized")

    assert client.other() == {"node": "server", "protocol": client.sent()[0][1], "subprotocol": subprotocol}


@pytest.mark.parametrize("kind", KINDS)
def test_is_refused_with_wrong_credentials(start_js: StartJs, kind: str) -> None:
    client, _server = meet(start_js, kind, {"credentials": "guess"}, {"accepts": "secret"})

    client.wait_event("error", type="wrong-credentials", received=True)
    client.wait(state="disconnected")


@pytest.mark.parametrize("kind", KINDS)
def test_is_refused_with_a_wrong_subprotocol(start_js: StartJs, kind: str) -> None:
    client, server = meet(start_js, kind, {"subprotocol": 1}, {"accepts_subprotocol": 2})

    error = client.wait_event("error", type="wrong-subprotocol")
    server.wait_event("clientError", type="wrong-subprotocol")

    assert error["options"] == {"supported": 2, "used": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_restarted_client_goes_on_where_it_was(start_js: StartJs, kind: str) -> None:
    client, server = meet(start_js, kind, {}, {})
    client.add_many(3, "before")
    client.wait(sent=3)
    saved = client.save()
    client.quit()

    again = start_js(kind, "client", node_id="client", fix_time=False, saved=saved)
    again.add({"type": "after"})
    again.connect(server.url)
    server.wait(length=4)

    assert identities(again.log()) == identities(server.log())
    (sync,) = [message for message in again.sent() if message[0] == "sync"]
    assert sync[1:3] == [4, {"type": "after"}]


@pytest.mark.parametrize("kind", KINDS)
def test_dials_again_when_the_server_hangs_up(start_js: StartJs, kind: str) -> None:
    client, server = meet(start_js, kind, {"min_delay": 10}, {})
    server.wait(connections=1, state="synchronized")

    server.disconnect()
    client.wait_event("disconnect")
    client.wait(connections=1)
    client.add({"type": "after"})
    server.wait(length=1)

    assert server.types() == ["after"]


def test_a_real_server_processes_what_a_real_client_syncs(start_js: StartJs) -> None:
    server = start_js("server14", users={"10": "secret"})
    client = start_js("client23", user_id="10", credentials="secret")

    client.connect(server.listen())
    created = client.add({"type": "milk"}, how="sync")  # fails unless it is processed

    assert (created, {"type": "milk"}) in [(row.created, row.event) for row in server.log()]
    server.wait_event("processed", type="milk")


def test_a_real_server_passes_actions_on_to_subscribers(start_js: StartJs) -> None:
    server = start_js("server14", users={"10": "a", "20": "b"})
    left = start_js("client23", user_id="10", credentials="a", cross_tab=True)
    right = start_js("client23", user_id="20", credentials="b")
    for client in (left, right):
        client.connect(server.listen() if not server.url else server.url)
        client.subscribe("all")

    left.add({"type": "milk"}, how="sync")
    server.add({"type": "bread"})

    right.wait_event("add", type="milk")
    right.wait_event("add", type="bread")
    left.wait_event("add", type="bread")


def test_a_real_server_refuses_a_wrong_token(start_js: StartJs) -> None:
    server = start_js("server14", users={"10": "secret"})
    client = start_js("client23", user_id="10", credentials="guess")

    client.connect(server.listen())

    client.wait_event("error", type="wrong-credentials")


def test_shows_what_a_crashed_process_said(start_js: StartJs) -> None:
    client, server = meet(start_js, "core10", {}, {})
    client.wait(state="synchronized")

    server.send(["no such message"])  # a client of core 10 calls what is not there
    words = client.wait_crash()

    assert "TypeError" in words
    with pytest.raises(JsError, match=r"core10 client 'client'(.|\n)*exit code 1(.|\n)*TypeError"):
        client.state()


def test_a_crash_that_was_not_waited_for_is_an_error(logux_packages: Path) -> None:
    with pytest.raises(JsError, match="crashed"), JsPeer.start(logux_packages, "logux01", "client") as client:
        client.process.terminate()
        client.process.wait(5)
        assert client.crashed


def test_refuses_a_command_that_fails_and_lives_on(start_js: StartJs) -> None:
    client = start_js("core12", "client")

    with pytest.raises(JsError, match='Expected "type"'):
        client.add({"no": "type"})

    assert client.state() == "disconnected"


def test_says_what_was_there_instead_of_what_was_waited_for(start_js: StartJs) -> None:
    client = start_js("core12", "client")

    with pytest.raises(JsError, match=r'wanted {"length":1}, have {"state":"disconnected","length":0'):
        client.wait(length=1, timeout=0.05)


def test_two_sessions_share_one_installation(logux_packages: Path, tmp_path: Path) -> None:
    packages = (logux_packages.parent / "node_modules").resolve().parent

    scripts_beside(packages, tmp_path)

    assert (tmp_path / "node_modules").resolve() == packages / "node_modules"


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((HERE / "package-lock.json").read_text())

    found = {package.get("resolved", "https://registry.npmjs.org/") for package in lock["packages"].values()}

    assert all(url.startswith("https://registry.npmjs.org/") for url in found)


def test_says_which_program_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(PackagesError, match="node is not on the PATH"):
        installed_packages()


def test_says_that_the_registry_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("logux: npm is not on the PATH")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")

    with pytest.raises(PackagesError, match=r"npm ci failed: .*127"):
        installed_packages()

    assert not list((tmp_path / "peermesh-tests").iterdir())
