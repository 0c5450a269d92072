"""`mesh token`, and the options of `mesh up` for the clients' door and an upstream server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import time_ns
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from mesh import Node
from mesh.cli.commands import app
from mesh.cli.node import up_options
from mesh.gateway.clients.tokens import Tokens
from tests.support.root import ROOT

DEADLINE_SECONDS = 30.0
DAY_MS = 86_400_000
LONG_AGO_MS = 1_000_000_000_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def mesh(home: Path, *args: str, **variables: str) -> Result:
    variables = {"MESH_UPSTREAM_TOKEN": "", **variables}
    return CliRunner().invoke(app, ["--home", str(home), *args], env=variables, prog_name="mesh")


def now_ms() -> int:
    return time_ns() // 1_000_000


# add


def test_prints_only_the_token(home: Path) -> None:
    done = mesh(home, "token", "add", "alice")

    token = done.stdout.removesuffix("\n")
    assert (done.exit_code, len(token)) == (0, 32)
    assert Tokens(home).verify("alice", token, now_ms())


def test_a_token_can_be_made_before_the_first_start(home: Path) -> None:
    first = mesh(home, "token", "add", "alice")
    with Node("kitchen", home=home, listen="127.0.0.1:0", open=True, mdns=False):
        second = mesh(home, "token", "add", "alice")

    assert first.stderr == f"note: no node has run in {home} yet; the token is for the first one that does\n"
    assert (second.exit_code, second.stderr) == (0, "")
    assert len(Tokens(home).list(now_ms())) == 2


@pytest.mark.parametrize(
    ("ttl", "ms"),
    [("90s", 90_000), ("15m", 900_000), ("12h", DAY_MS // 2), ("30d", 30 * DAY_MS), ("36500d", 36_500 * DAY_MS)],
)
def test_a_token_expires_after_its_ttl(home: Path, ttl: str, ms: int) -> None:
    mesh(home, "token", "add", "alice", "--ttl", ttl)

    (row,) = Tokens(home).list(now_ms())
    assert row.expires_ms == row.made_ms + ms


@pytest.mark.parametrize(
    "ttl", ["", "30", "d", "1.5h", "-1d", "5w", "1d12h", "٣d", "30D", " 1d", "1d\n", "9" * 13 + "s"]
)
def test_text_that_is_no_duration_is_a_usage_error(home: Path, ttl: str) -> None:
    done = mesh(home, "token", "add", "alice", f"--ttl={ttl}")

    assert done.exit_code == 2
    assert "is not a duration: write a whole number and s, m, h or d, as in 90s or 30d" in done.stderr
    assert not home.exists()


@pytest.mark.parametrize("ttl", ["0s", "0d", "36501d", "999999999999d"])
def test_a_duration_out_of_range_is_a_usage_error(home: Path, ttl: str) -> None:
    done = mesh(home, "token", "add", "alice", "--ttl", ttl)

    assert done.exit_code == 2
    assert f"{ttl} is out of range: take more than 0s, and at most 36500d" in done.stderr


@pytest.mark.parametrize("user", ["", "server", "a b", "alice:1", "kitchen~7f3q2x5a", "x" * 65])
@pytest.mark.parametrize("command", ["add", "revoke"])
def test_a_name_that_no_client_may_have_is_a_usage_error(home: Path, command: str, user: str) -> None:
    done = mesh(home, "token", command, user)

    assert done.exit_code == 2
    assert f"the user {user!r} cannot be used" in done.stderr
    assert not home.exists()


def test_a_token_that_cannot_be_printed_is_an_error(home: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)

    done = subprocess.run(
        [sys.executable, "-m", "mesh", "--home", str(home), "token", "add", "alice"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        timeout=DEADLINE_SECONDS,
        cwd=ROOT,
        check=False,
    )
    os.close(theirs)

    assert done.returncode == 1
    assert done.stderr == b"the new token of alice could not be printed, and it is not shown again: make another\n"


# list


def test_lists_tokens_without_their_text(home: Path) -> None:
    made = [Tokens(home).add("alice", None, now_ms()), Tokens(home).add("carol", 1, LONG_AGO_MS)]

    done = mesh(home, "token", "list")

    heading, *rows = [line.split() for line in done.stdout.splitlines()]
    assert heading == ["user", "token", "state", "made", "expires"]
    assert [(row[0], row[2]) for row in rows] == [("alice", "valid"), ("carol", "expired")]
    assert not any(token in done.stdout for token in made)


def rows_of(home: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((home / "tokens.json").read_bytes())["tokens"]
    return rows


def test_a_token_without_a_ttl_never_expires(home: Path) -> None:
    mesh(home, "token", "add", "alice")

    assert mesh(home, "token", "list").stdout.splitlines()[1].split()[-1] == "never"


def test_lists_as_json(home: Path) -> None:
    mesh(home, "token", "add", "alice", "--ttl", "1d")

    (row,) = json.loads(mesh(home, "token", "list", "--json").stdout)

    assert {key: row[key] for key in ("user", "state")} == {"user": "alice", "state": "valid"}
    assert row["expires_ms"] == row["made_ms"] + DAY_MS
    assert row["id"] == rows_of(home)[0]["hash"][:6]
    assert sorted(row) == ["expires_ms", "id", "made_ms", "state", "user"]


def test_says_that_there_is_no_token_and_makes_no_file(home: Path) -> None:
    assert mesh(home, "token", "list").stdout == "no user has a token yet\n"
    assert mesh(home, "token", "list", "--json").stdout == "[]\n"
    assert not home.exists()


# revoke


def test_revokes_all_tokens_of_a_user(home: Path) -> None:
    for user in ("alice", "alice", "bob"):
        mesh(home, "token", "add", user)

    assert mesh(home, "token", "revoke", "alice").stdout == "2 tokens of alice revoked\n"
    assert mesh(home, "token", "revoke", "bob").stdout == "1 token of bob revoked\n"
    assert mesh(home, "token", "list").stdout == "no user has a token yet\n"


def test_says_that_a_user_has_no_token_and_makes_no_file(home: Path) -> None:
    done = mesh(home, "token", "revoke", "alice")

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "alice has no token: `mesh token list` shows who has\n"
    assert not home.exists()


# add, list and revoke


@pytest.mark.parametrize("command", [["add", "alice"], ["list"], ["revoke", "alice"]])
def test_a_damaged_file_is_an_error_and_is_not_changed(home: Path, command: list[str]) -> None:
    home.mkdir()
    (home / "tokens.json").write_text("oops")

    done = mesh(home, "token", *command)

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{home / 'tokens.json'} is damaged (") and done.stderr.count("\n") == 1
    assert (home / "tokens.json").read_text() == "oops"


@pytest.mark.parametrize("command", ["add", "list", "revoke"])
def test_help_has_examples(home: Path, command: str) -> None:
    done = mesh(home, "token", command, "--help")

    assert done.exit_code == 0
    assert f"\n  mesh token {command}" in done.stdout


def test_without_a_command_it_shows_the_help_as_an_error(home: Path) -> None:
    done = mesh(home, "token")

    assert (done.exit_code, done.stdout) == (2, "")
    assert "\n  mesh token add alice --ttl 30d\n" in done.stderr


def test_loads_no_module_that_only_a_node_needs() -> None:
    heavy = {"asyncio", "cryptography", "ifaddr", "peers", "pykka", "rich.table", "sqlite3", "websockets", "zeroconf"}

    done = subprocess.run(
        [sys.executable, "-c", "import sys, mesh.cli.token, mesh.gateway.clients.tokens; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        cwd=ROOT,
        check=True,
    )

    assert heavy & set(done.stdout.split()) == set()


def test_the_other_commands_do_not_load_the_tokens() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, mesh.cli.commands; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        cwd=ROOT,
        check=True,
    )

    assert {"mesh.gateway.clients.tokens", "mesh.gateway.clients.access", "msgspec", "secrets"} & set(
        done.stdout.split()
    ) == set()


# options of `mesh up` for clients and upstream servers


@click.command()
@up_options.clients_options
@up_options.upstream_options
@click.pass_context
def passed_on(context: click.Context, /, **chosen: Any) -> None:
    """Print what `mesh up` passes to its Node."""
    click.echo(json.dumps(up_options.given_options(context, chosen), default=str))


def passed_options(*args: str, **variables: str) -> Any:
    done = CliRunner().invoke(passed_on, args, env={"MESH_UPSTREAM_TOKEN": "", **variables})
    assert (done.exit_code, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_only_given_options_are_passed_to_the_node() -> None:
    assert passed_options() == {}
    assert passed_options("--clients", "127.0.0.1:0") == {"clients": "127.0.0.1:0"}
    assert passed_options("--clients", ":0", "--clients-insecure") == {"clients": ":0", "clients_insecure": True}


def test_all_options_for_clients_are_passed_to_the_node(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.touch()
    key.touch()
    args = ["--clients", "0.0.0.0:31337", "--clients-cert", str(cert), "--clients-key", str(key)]
    origins = ["--clients-origin", "https://app.example", "--clients-origin", "null"]

    assert passed_options(*args, *origins, "--clients-host", "mesh.example", "--clients-host", "fd00::7") == {
        "clients": "0.0.0.0:31337",
        "clients_cert": str(cert),
        "clients_key": str(key),
        "clients_origins": ["https://app.example", "null"],
        "clients_hosts": ["mesh.example", "fd00::7"],
    }


UPSTREAM = ("--upstream", "wss://logux.example")


def test_the_upstream_token_may_come_from_the_environment() -> None:
    given = passed_options(*UPSTREAM, "--upstream-user", "a@b.example", MESH_UPSTREAM_TOKEN="secret")

    assert given == {"upstream": UPSTREAM[1], "upstream_user": "a@b.example", "upstream_token": "secret"}
    assert passed_options(*UPSTREAM, "--upstream-token", "-x", MESH_UPSTREAM_TOKEN="y")["upstream_token"] == "-x"


def test_the_token_in_the_environment_is_ignored_without_an_upstream_server() -> None:
    assert passed_options(MESH_UPSTREAM_TOKEN="secret") == {}


@pytest.mark.parametrize("url", ["ws://127.0.0.1:31337", "wss://logux.example", "wss://[::1]:1/path?a=b", "WSS://x"])
def test_an_upstream_url_is_a_web_socket_url(url: str) -> None:
    assert passed_options("--upstream", url) == {"upstream": url}


CLIENTS = ("--clients", "127.0.0.1:0")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--clients", "nowhere"], "the address for clients 'nowhere' is not an address"),
        (["--clients-origin", "https://x"], "--clients-origin is of no use alone: give --clients HOST:PORT too"),
        (["--clients-host", "x"], "--clients-host is of no use alone: give --clients HOST:PORT too"),
        (["--clients-key", "pyproject.toml"], "--clients-key is of no use alone: give --clients HOST:PORT too"),
        (["--metrics", "nowhere"], "the address for metrics 'nowhere' is not an address"),
        (["--metrics", "127.0.0.1:0", "--clients-origin", "*"], "give --clients HOST:PORT too"),
        (["--metrics", "127.0.0.1:0", "--clients-key", "pyproject.toml"], "give both --clients-cert and --clients-key"),
        ([*CLIENTS, "--clients-key", "pyproject.toml"], "give both --clients-cert and --clients-key, or none of them"),
        ([*CLIENTS, "--clients-cert", "pyproject.toml"], "give both --clients-cert and --clients-key, or none of them"),
        ([*CLIENTS, "--clients-cert", "no-such-file"], "'no-such-file' does not exist"),
        ([*CLIENTS, "--clients-origin", "*", "--clients-origin", "foo"], "the origin 'foo' cannot be used"),
        ([*CLIENTS, "--clients-host", "x:1"], "the host 'x:1' cannot be used"),
        (["--upstream", "https://x"], "the upstream server 'https://x' cannot be used: write ws://HOST:PORT or wss://"),
        (["--upstream", "logux.example:1"], "cannot be used: write ws://"),
        (["--upstream", "ws://"], "cannot be used: write ws://"),
        (["--upstream", "ws://x:port"], "cannot be used: write ws://"),
        (["--upstream", "ws://x:0"], "cannot be used: write ws://"),
        (["--upstream", "ws://[::1"], "cannot be used: write ws://"),
        (["--upstream", "ws://me:secret@x"], "cannot be used: write ws://"),
        (["--upstream", "ws://x/#part"], "cannot be used: write ws://"),
        (["--upstream-user", "x"], "--upstream-user is of no use alone: give --upstream URL too"),
        (["--upstream-token", "x"], "--upstream-token is of no use alone: give --upstream URL too"),
        ([*UPSTREAM, "--upstream-user", "a:b"], "the upstream user 'a:b' cannot be used"),
        ([*UPSTREAM, "--upstream-user", ""], "the upstream user '' cannot be used"),
        (
            [*UPSTREAM, "--upstream-token", "sec ret"],
            "the upstream token cannot be used: it is empty, too long, or has",
        ),
    ],
)
def test_options_that_cannot_be_used_are_a_usage_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], sentence: str
) -> None:
    monkeypatch.chdir(ROOT)

    done = mesh(home, "up", *args)

    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "sec ret" not in done.stderr
    assert not home.exists()


def test_the_help_of_up_shows_how_to_let_clients_in(home: Path) -> None:
    done = mesh(home, "up", "--help")

    assert "\n  mesh up --clients 127.0.0.1:31337\n" in done.stdout
    assert "MESH_UPSTREAM_TOKEN" in done.stdout
