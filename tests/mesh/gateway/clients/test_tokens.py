"""The tokens of a home: added, listed, checked and revoked, by any number of processes."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import mesh.gateway.clients.tokens
from mesh.errors import MeshError
from mesh.gateway.clients.tokens import EXPIRED_KEPT_MS, MAX_TOKENS, MAX_USER_TOKENS, TOKENS_LOCK_FILE, Pass, Tokens
from tests.support.root import ROOT

NOW = 1_700_000_000_000
DAY_SECONDS = 86_400.0
DAY_MS = 86_400_000
DEADLINE_SECONDS = 30.0


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path)


def content(home: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((home / "tokens.json").read_bytes())
    return read


def token_of(user: str, number: int = 0, **more: object) -> dict[str, object]:
    return {"user": user, "hash": sha256(f"{user}{number}".encode()).hexdigest(), "made_ms": NOW, **more}


def write(home: Path, *rows: dict[str, object], version: int = 1) -> None:
    (home / "tokens.json").write_text(json.dumps({"version": version, "tokens": rows}))


# add and verify


def test_a_token_is_valid_for_its_user_only(tokens: Tokens) -> None:
    token = tokens.add("alice", None, NOW)
    tokens.add("bob", None, NOW)

    assert tokens.verify("alice", token, NOW)
    assert not tokens.verify("bob", token, NOW)
    assert not tokens.verify("carol", token, NOW)
    assert not tokens.verify("alice", token + "x", NOW)


def test_every_token_of_a_user_works(tokens: Tokens) -> None:
    made = [tokens.add("alice", None, NOW) for _ in range(3)]

    assert len(set(made)) == 3
    assert all(tokens.verify("alice", token, NOW) for token in made)


@pytest.mark.parametrize("token", ["", "é", "\ud800", "x" * 1_000_000, None, 7, True, ["a"], {"a": 1}, b"bytes"])
def test_values_that_are_no_token_are_not_valid(tokens: Tokens, token: object) -> None:
    tokens.add("alice", None, NOW)

    assert tokens.verify("alice", token, NOW) is None


def test_without_a_file_no_token_is_valid(tokens: Tokens, tmp_path: Path) -> None:
    assert tokens.verify("alice", "token", NOW) is None
    assert tokens.list(NOW) == ()
    assert list(tmp_path.iterdir()) == []


def test_the_file_keeps_hashes_and_only_the_user_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        token = Tokens(tmp_path / "deep" / "home").add("alice", 60, NOW)
    finally:
        os.umask(before)
    path = tmp_path / "deep" / "home" / "tokens.json"

    hashed = sha256(token.encode()).hexdigest()
    assert content(path.parent) == {
        "version": 1,
        "tokens": [{"user": "alice", "hash": hashed, "made_ms": NOW, "expires_ms": NOW + 60_000}],
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(file.name for file in path.parent.iterdir()) == ["tokens.json", "tokens.lock"]


def test_a_file_left_by_a_killed_run_does_not_widen_the_mode(tokens: Tokens, tmp_path: Path) -> None:
    left = tmp_path / "tokens.json.new"
    left.write_text("half of a fi")
    left.chmod(0o666)

    tokens.add("alice", None, NOW)

    assert stat.S_IMODE((tmp_path / "tokens.json").stat().st_mode) == 0o600


def test_a_token_is_24_random_bytes(tmp_path: Path) -> None:
    token = Tokens(tmp_path, random_bytes=lambda count: bytes(range(count))).add("alice", None, NOW)

    assert token == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"


@pytest.mark.parametrize("user", ["", "server", "a b", "a:b", "kitchen~7f3q2x5a", "x" * 65, "é"])
def test_a_user_name_that_clients_cannot_have_gets_no_token(tokens: Tokens, tmp_path: Path, user: str) -> None:
    with pytest.raises(MeshError, match=r"^the user .* cannot be used: "):
        tokens.add(user, None, NOW)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 36_501 * DAY_SECONDS])
def test_the_lifetime_of_a_token_is_above_zero_and_limited(tokens: Tokens, seconds: float) -> None:
    with pytest.raises(MeshError, match="a token cannot last"):
        tokens.add("alice", seconds, NOW)


# expiry


def test_a_token_expires(tokens: Tokens) -> None:
    token = tokens.add("alice", DAY_SECONDS, NOW)

    assert tokens.verify("alice", token, NOW + DAY_MS - 1) == Pass(
        "alice", sha256(token.encode()).hexdigest(), NOW + DAY_MS
    )
    assert tokens.verify("alice", token, NOW + DAY_MS) is None


def test_a_pass_ends_with_its_token(tokens: Tokens) -> None:
    brief, lasting = tokens.add("alice", DAY_SECONDS, NOW), tokens.add("alice", None, NOW)
    first, second = tokens.verify("alice", brief, NOW), tokens.verify("alice", lasting, NOW)
    assert first is not None and second is not None

    assert tokens.still_valid(first, NOW + DAY_MS - 1)
    assert not tokens.still_valid(first, NOW + DAY_MS)
    assert tokens.still_valid(second, NOW + DAY_MS)


def test_a_token_made_while_the_clock_was_wrong_removes_no_other_one(tokens: Tokens) -> None:
    token = tokens.add("alice", DAY_SECONDS, NOW)

    tokens.add("bob", None, NOW + 365 * DAY_MS)

    assert [(row.user, row.state) for row in tokens.list(NOW + 365 * DAY_MS)] == [
        ("alice", "expired"),
        ("bob", "valid"),
    ]
    assert [(row.user, row.state) for row in tokens.list(NOW + 1)] == [("alice", "valid"), ("bob", "valid")]
    assert tokens.verify("alice", token, NOW + 1)


def test_an_expired_token_is_removed_long_after_it_was_found_expired(tokens: Tokens) -> None:
    tokens.add("alice", DAY_SECONDS, NOW)
    found = NOW + 365 * DAY_MS
    tokens.add("bob", None, found)

    tokens.add("bob", None, found + EXPIRED_KEPT_MS - 1)
    before = {row.user for row in tokens.list(found)}
    tokens.add("bob", None, found + EXPIRED_KEPT_MS)

    assert before == {"alice", "bob"}
    assert {row.user for row in tokens.list(found)} == {"bob"}


def test_a_token_is_valid_again_when_the_clock_is_right_again(tokens: Tokens, tmp_path: Path) -> None:
    tokens.add("alice", DAY_SECONDS, NOW)
    tokens.add("bob", None, NOW + 365 * DAY_MS)
    marked = ["expired_ms" in row for row in content(tmp_path)["tokens"]]

    tokens.add("bob", None, NOW + 1)

    assert marked == [True, False]
    assert not any("expired_ms" in row for row in content(tmp_path)["tokens"])


def test_tokens_are_listed_by_user_and_the_oldest_first(tokens: Tokens) -> None:
    tokens.add("bob", None, NOW)
    late = tokens.add("alice", DAY_SECONDS, NOW + 1)
    tokens.add("alice", None, NOW)

    rows = tokens.list(NOW)

    assert [(row.user, row.made_ms) for row in rows] == [("alice", NOW), ("alice", NOW + 1), ("bob", NOW)]
    assert rows[1].id == sha256(late.encode()).hexdigest()[:6]
    assert rows[1].expires_ms == NOW + 1 + DAY_MS


# revoke


def test_revoking_ends_all_tokens_of_a_user_and_their_passes(tokens: Tokens) -> None:
    made = [tokens.add("alice", None, NOW) for _ in range(2)]
    other = tokens.add("bob", None, NOW)
    held = tokens.verify("alice", made[0], NOW)
    assert held is not None

    assert tokens.revoke("alice") == 2

    assert not any(tokens.verify("alice", token, NOW) for token in made)
    assert not tokens.still_valid(held, NOW)
    assert tokens.verify("bob", other, NOW)


def test_a_new_token_does_not_revive_a_pass(tokens: Tokens) -> None:
    held = tokens.verify("alice", tokens.add("alice", None, NOW), NOW)
    assert held is not None

    tokens.revoke("alice")
    tokens.add("alice", None, NOW)

    assert not tokens.still_valid(held, NOW)


def test_revoking_a_user_without_tokens_is_an_error(tokens: Tokens, tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="alice has no token: `mesh token list` shows who has"):
        tokens.revoke("alice")
    assert list(tmp_path.iterdir()) == []

    tokens.add("bob", None, NOW)
    with pytest.raises(MeshError, match="alice has no token"):
        tokens.revoke("alice")


# several at once


def test_a_running_node_sees_what_another_process_changes(tmp_path: Path) -> None:
    node, command = Tokens(tmp_path), Tokens(tmp_path)
    assert not node.verify("alice", "x", NOW)

    token = command.add("alice", None, NOW)
    assert node.verify("alice", token, NOW)

    command.revoke("alice")
    assert not node.verify("alice", token, NOW)

    (tmp_path / "tokens.json").unlink()
    assert node.list(NOW) == ()


def test_each_of_many_changes_within_one_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    node, command = Tokens(tmp_path), Tokens(tmp_path)
    last = command.add("u0", None, NOW)

    for number in range(1, 10):  # same size each time, and the file system gives inodes and times out again
        assert node.verify(f"u{number - 1}", last, NOW)
        command.revoke(f"u{number - 1}")
        last = command.add(f"u{number}", None, NOW)
        assert not node.verify(f"u{number - 1}", last, NOW)


def test_a_changed_file_has_a_later_time_even_if_the_clock_went_back(tokens: Tokens, tmp_path: Path) -> None:
    tokens.add("alice", None, NOW)
    future = (tmp_path / "tokens.json").stat().st_mtime_ns + 10**18
    os.utime(tmp_path / "tokens.json", ns=(future, future))

    tokens.add("bob", None, NOW)

    assert (tmp_path / "tokens.json").stat().st_mtime_ns > future


ADDING = """
import sys
from pathlib import Path
from mesh.gateway.clients.tokens import Tokens
for number in range(10):
    Tokens(Path(sys.argv[1])).add(sys.argv[2], None, number)
"""


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    adding = [
        subprocess.Popen([sys.executable, "-c", ADDING, str(tmp_path), user], cwd=ROOT) for user in ("alice", "bob")
    ]

    codes = [process.wait(DEADLINE_SECONDS) for process in adding]

    assert codes == [0, 0]
    assert [(row.user, row.made_ms) for row in Tokens(tmp_path).list(NOW)] == [
        (user, number) for user in ("alice", "bob") for number in range(10)
    ]


def test_the_wait_for_another_process_with_the_lock_is_limited(
    tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh.gateway.clients.tokens, "LOCK_POLLS", 2)
    tokens.add("alice", None, NOW)

    with (tmp_path / TOKENS_LOCK_FILE).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MeshError, match=r"another process has been changing .*tokens\.json"):
            Tokens(tmp_path).add("bob", None, NOW)

    assert [row.user for row in tokens.list(NOW)] == ["alice"]


# damage and limits


DAMAGED = {
    "no JSON": b"{",
    "empty": b"",
    "no UTF-8": b'{"version": 1, "tokens": [{"user": "\xff"}]}',
    "a list": b"[]",
    "no version": b'{"tokens": []}',
    "version 0": b'{"version": 0, "tokens": []}',
    "no tokens": b'{"version": 1}',
    "deep": b'{"version": ' + b"[" * 100_000,
    "short hash": json.dumps({"version": 1, "tokens": [{**token_of("a"), "hash": "ab"}]}).encode(),
    "hash with a line": json.dumps({"version": 1, "tokens": [{**token_of("a"), "hash": "a" * 64 + "\n"}]}).encode(),
    "unknown field": json.dumps({"version": 1, "tokens": [token_of("a", admin=True)]}).encode(),
    "not a user": json.dumps({"version": 1, "tokens": [token_of("a~b")]}).encode(),
    "reserved": json.dumps({"version": 1, "tokens": [token_of("server")]}).encode(),
    "fraction": json.dumps({"version": 1, "tokens": [token_of("a", expires_ms=1.5)]}).encode(),
    "huge": b" " * (8 * 1024 * 1024 + 1),
}

USES: list[Callable[[Tokens], object]] = [
    lambda tokens: tokens.add("alice", None, NOW),
    lambda tokens: tokens.list(NOW),
    lambda tokens: tokens.revoke("a"),
    lambda tokens: tokens.verify("a", "token", NOW),
    lambda tokens: tokens.still_valid(Pass("a", "0" * 64, None), NOW),
]


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_with_a_damaged_file_no_token_is_valid_and_the_file_stays(
    tokens: Tokens, tmp_path: Path, damage: bytes
) -> None:
    (tmp_path / "tokens.json").write_bytes(damage)

    for use in USES:
        with pytest.raises(MeshError, match=r"tokens\.json is damaged \(.*\), so no client is let in: put it back"):
            use(tokens)

    assert (tmp_path / "tokens.json").read_bytes() == damage


def test_a_file_of_a_newer_release_is_left_unchanged(tokens: Tokens, tmp_path: Path) -> None:
    write(tmp_path, {"something": "new"}, version=2)
    before = (tmp_path / "tokens.json").read_bytes()

    for use in USES:
        with pytest.raises(MeshError, match="was written by a newer release of peermesh"):
            use(tokens)

    assert (tmp_path / "tokens.json").read_bytes() == before


def test_a_running_node_recovers_when_its_file_is_repaired(tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.add("alice", None, NOW)
    good = (tmp_path / "tokens.json").read_bytes()

    (tmp_path / "tokens.json").write_bytes(b"oops")
    with pytest.raises(MeshError):
        tokens.verify("alice", token, NOW)
    (tmp_path / "tokens.json").write_bytes(good)

    assert tokens.verify("alice", token, NOW)


def test_a_file_that_cannot_be_read_is_an_error_with_a_sentence(tokens: Tokens, tmp_path: Path) -> None:
    (tmp_path / "tokens.json").mkdir()

    for use in USES:
        with pytest.raises(MeshError, match=r"tokens\.json cannot be used: "):
            use(tokens)


def test_a_home_that_is_a_file_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")

    for use in USES:
        with pytest.raises(MeshError, match="cannot be used: "):
            use(Tokens(tmp_path / "home"))


def test_a_file_at_the_limit_takes_no_more_tokens(tokens: Tokens, tmp_path: Path) -> None:
    write(tmp_path, *(token_of(f"u{number}") for number in range(MAX_TOKENS)))

    with pytest.raises(MeshError, match=f"{MAX_TOKENS} tokens exist already: revoke"):
        tokens.add("alice", None, NOW)


def test_expired_tokens_do_not_count_for_the_limit(tokens: Tokens, tmp_path: Path) -> None:
    write(tmp_path, *(token_of(f"u{number}", expires_ms=NOW) for number in range(MAX_TOKENS)))

    tokens.add("alice", None, NOW)

    assert [row.user for row in tokens.list(NOW) if row.state == "valid"] == ["alice"]


def test_the_number_of_kept_expired_tokens_is_limited(tokens: Tokens, tmp_path: Path) -> None:
    lasting = (token_of(f"v{number}") for number in range(MAX_TOKENS - 2))
    write(tmp_path, *(token_of(f"u{number}", expires_ms=NOW) for number in range(MAX_TOKENS)), *lasting)
    tokens.add("alice", 1.0, NOW)

    tokens.add("bob", None, NOW + 1_000)

    states = [row.state for row in tokens.list(NOW + 1_000)]
    assert (states.count("expired"), states.count("valid")) == (MAX_TOKENS, MAX_TOKENS - 1)


def test_the_number_of_tokens_of_one_user_is_limited(tokens: Tokens, tmp_path: Path) -> None:
    write(tmp_path, *(token_of("alice", number) for number in range(MAX_USER_TOKENS)))

    tokens.add("bob", None, NOW)
    with pytest.raises(MeshError, match=f"alice has {MAX_USER_TOKENS} tokens already: revoke them with"):
        tokens.add("alice", None, NOW)
