"""Who may use the clients' port."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.gateway.clients.access import (
    check_host,
    check_origin,
    check_user,
    judge_origin,
    may_write,
    user_of,
)
from mesh.gateway.clients.guard import MAX_WRONG, WINDOW_SECONDS, WrongAttempts
from peers.transport.address import address_key

PORT = 31337
OWN = ("localhost", "127.0.0.1", "::1", "192.168.1.7", "fd00::7", "Kitchen.local", "mesh.example")
WINDOW_MS = WINDOW_SECONDS * 1000


def judge(
    origin: str | None,
    host: str | None = "kitchen.local:31337",
    *,
    allowed: Sequence[str] = (),
    own: Sequence[str] = OWN,
    port: int = PORT,
    is_tls: bool = False,
) -> str | None:
    return judge_origin(origin, host, port=port, allowed_origins=allowed, own_hosts=own, is_tls=is_tls)


# Host


@pytest.mark.parametrize(
    "host",
    [
        "localhost:31337",
        "localhost",
        "LOCALHOST:31337",
        "localhost.:31337",
        "127.0.0.1:31337",
        "192.168.1.7",
        "[::1]:31337",
        "[0:0:0:0:0:0:0:1]:31337",
        "[FD00::7]",
        "[::ffff:127.0.0.1]:31337",
        "kitchen.local:31337",
        "mesh.example",
    ],
)
def test_a_program_that_uses_a_name_of_this_node_may_connect(host: str) -> None:
    assert judge(None, host) is None


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("evil.example:31337", "evil.example"),
        ("mesh.example.evil.example", "mesh.example.evil.example"),
        ("10.0.0.1:31337", "10.0.0.1"),
        ("[fd00::8]:31337", "fd00::8"),
        ("0.0.0.0:31337", "0.0.0.0"),
        ("127.1:31337", "127.1"),
    ],
)
def test_a_name_that_is_not_ours_is_refused_with_the_option_that_adds_it(host: str, name: str) -> None:
    said = judge(None, host)

    assert said == (
        f"{host!r} is not a name of this node: use one of its addresses, or start it with --clients-host {name}"
    )


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ":31337",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:x",
        "localhost:٣",
        "localhost,evil",
        "a b",
        "localhost/",
        "user@localhost",
        "http://localhost",
        "::1",
        "[localhost]",
        "[::1",
        ".",
        "localhost\n",
        "ſocalhost",
        "x" * 1000,
    ],
)
def test_a_host_that_cannot_be_read_is_refused(host: str | None) -> None:
    said = judge(None, host)

    assert said is not None and said.startswith("the request names no host that can be read (")
    assert len(said) < 300


def test_a_host_with_another_port_is_refused() -> None:
    assert judge(None, "localhost:80") == (
        "'localhost:80' names port 80, but clients come in by port 31337: use that one"
    )


def test_a_link_local_address_of_ours_is_known_without_its_interface() -> None:
    assert judge(None, "[fe80::1]:31337", own=["fe80::1%eth0"]) is None


# Origin


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://kitchen.local:31337", "kitchen.local:31337"),
        ("http://KITCHEN.local:31337", "192.168.1.7:31337"),
        ("http://192.168.1.7:31337", "kitchen.local:31337"),
        ("http://[::1]:31337", "[::1]:31337"),
        ("https://kitchen.local:31337", "kitchen.local:31337"),
        ("https://mesh.example", "mesh.example"),
        ("http://mesh.example", "mesh.example"),
    ],
)
def test_a_page_that_this_port_or_a_proxy_in_front_of_it_served_may_connect(origin: str, host: str) -> None:
    assert judge(origin, host) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://evil.example:31337",
        "http://kitchen.local.evil.example:31337",
        "http://kitchen.local",
        "http://kitchen.local:8080",
        "https://mesh.example",
        "ftp://kitchen.local:31337",
        "chrome-extension://kitchen.local",
        "null",
    ],
)
def test_a_page_of_another_site_is_refused_with_the_option_that_allows_it(origin: str) -> None:
    said = judge(origin)

    assert said is not None
    assert said.startswith(f"pages of {origin!r} may not come in: start the node with --clients-origin {origin}, if ")


def test_the_default_port_need_not_be_in_the_origin() -> None:
    assert judge("http://localhost", "localhost", port=80) is None
    assert judge("https://localhost", "localhost:443", port=443, is_tls=True) is None
    assert judge("http://localhost", "localhost", port=443, is_tls=True) is not None


def test_with_tls_a_page_over_plain_http_is_refused() -> None:
    assert judge("https://kitchen.local:31337", is_tls=True) is None
    assert judge("http://kitchen.local:31337", is_tls=True) is not None


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example", "https://app.example"),
        ("https://APP.example", "https://app.example:443"),
        ("https://app.example:443", "HTTPS://app.example"),
        ("http://app.example:3000", "http://app.example:3000"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("https://anything.example", "*"),
        ("null", "null"),
    ],
)
def test_a_listed_page_may_connect(origin: str, allowed: str) -> None:
    assert judge(origin, allowed=["https://other.example", allowed]) is None


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://app.example", "https://app.example"),
        ("https://app.example:8443", "https://app.example"),
        ("https://sub.app.example", "https://app.example"),
        ("https://app.example.evil", "https://app.example"),
        ("null", "*"),
        ("null", "https://app.example"),
        ("https://app.example/", "https://app.example/"),
    ],
)
def test_listed_origins_must_match_exactly(origin: str, allowed: str) -> None:
    assert judge(origin, allowed=[allowed]) is not None


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "*",
        "NULL",
        "kitchen.local",
        "//kitchen.local",
        "http:/kitchen.local",
        "http://",
        "http://kitchen.local:31337/",
        "http://kitchen.local:31337/page",
        "http://user@kitchen.local:31337",
        "http://kitchen.local:31337 http://evil.example",
        "http://kitchen.local:31337, http://evil.example",
        "http://kitchen.local:99999",
        "http://kitchen.local:31337\r\n",
        "http://[::1",
        "1http://kitchen.local",
        "http://x" + "x" * 10_000,
    ],
)
def test_text_that_is_no_origin_is_refused_even_if_any_origin_is_allowed(origin: str) -> None:
    said = judge(origin, allowed=["*"])

    assert said is not None and "is not an origin: browsers send scheme://host" in said
    assert len(said) < 300


def test_the_host_is_checked_even_if_any_origin_is_allowed() -> None:
    assert judge("http://evil.example", "evil.example:31337", allowed=["*"]) is not None


PIECES = st.lists(
    st.sampled_from(
        ["http", "https", "://", ":", "[", "]", "::1", "localhost", "mesh.example", "31337", "%", ".", "null", "*", "/"]
    )
    | st.text(max_size=4),
    max_size=6,
).map("".join)


@given(origin=st.none() | PIECES, host=st.none() | PIECES, allowed=st.lists(PIECES, max_size=3), is_tls=st.booleans())
@example(origin="http://[" + ":" * 5000, host="localhost", allowed=["http://["], is_tls=False)
@example(origin="\ud800://\udfff", host="localhost", allowed=["\ud800"], is_tls=True)
def test_any_headers_get_an_answer(origin: str | None, host: str | None, allowed: list[str], is_tls: bool) -> None:
    said = judge(origin, host, allowed=allowed, is_tls=is_tls)

    assert said is None or (said and said.isprintable() and len(said) < 400)


@given(origin=st.none() | PIECES, host=PIECES, own=st.lists(PIECES, max_size=4), port=st.integers(1, 65535))
def test_a_host_that_is_not_ours_is_never_accepted(origin: str | None, host: str, own: list[str], port: int) -> None:
    assert judge(origin, "rebound.evil." + host, own=own, port=port, allowed=["*"]) is not None


@given(origin=PIECES)
def test_origins_that_can_be_listed_are_accepted(origin: str) -> None:
    try:
        check_origin(origin)
    except MeshError as error:
        assert str(error).isprintable()
        return

    assert origin == "*" or judge(origin, allowed=[origin]) is None


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "https://app.example", "http://app.example:3000", "http://[::1]:80", "capacitor://localhost"],
)
def test_an_origin_that_can_be_listed_is_kept_unchanged(origin: str) -> None:
    assert check_origin(origin) == origin


@pytest.mark.parametrize(
    ("origin", "hint"),
    [
        ("foo", "no path, and no / at the end"),
        ("http://x/path", "no path, and no / at the end"),
        ("http://x/", "no path, and no / at the end"),
        ("https://*.example", "no path, and no / at the end"),
        ("wss://app.example", "it is that of a page, http:// or https://"),
        ("", "no path, and no / at the end"),
    ],
)
def test_an_origin_that_cannot_be_listed_is_an_error_with_a_sentence(origin: str, hint: str) -> None:
    with pytest.raises(MeshError) as told:
        check_origin(origin, "the origin")

    assert str(told.value) == (
        f"the origin {origin!r} cannot be used: write scheme://host or scheme://host:port as in "
        f"https://app.example ({hint}), or * for any"
    )


@pytest.mark.parametrize("host", ["mesh.example", "kitchen", "192.168.1.7", "fd00::7", "[fd00::7]", "fe80::1%eth0"])
def test_a_host_of_ours_is_a_name_or_an_address(host: str) -> None:
    assert check_host(host) == host


@pytest.mark.parametrize(
    "host", ["", ".", "kitchen:80", "[::1]:80", "http://x", "a b", "*", "bücher.example", "x" * 300]
)
def test_text_that_is_no_host_is_an_error_with_a_sentence(host: str) -> None:
    with pytest.raises(MeshError, match=r"the host .* cannot be used: write a name or an address, without a port"):
        check_host(host)


# wrong attempts


def test_an_address_is_refused_after_too_many_wrong_attempts() -> None:
    attempts = WrongAttempts()

    for number in range(MAX_WRONG):
        assert not attempts.is_refused("10.0.0.1:4000", number)
        attempts.count("10.0.0.1:4000", number)

    assert attempts.is_refused("10.0.0.1:4001", MAX_WRONG)
    assert not attempts.is_refused("10.0.0.2:4000", MAX_WRONG)


def test_an_address_is_accepted_again_when_its_wrong_attempts_are_old() -> None:
    attempts = WrongAttempts(max_wrong=2, window_seconds=60)
    attempts.count("10.0.0.1:1", 0.0)
    attempts.count("10.0.0.1:1", 30_000.0)

    assert attempts.is_refused("10.0.0.1:1", 59_999.0)
    assert not attempts.is_refused("10.0.0.1:1", 60_000.0)

    attempts.count("10.0.0.1:1", 60_000.0)
    assert attempts.is_refused("10.0.0.1:1", 89_999.0)
    assert not attempts.is_refused("10.0.0.1:1", 90_000.0)


def test_rare_wrong_attempts_are_never_refused() -> None:
    attempts = WrongAttempts()

    for number in range(100):
        attempts.count("10.0.0.1:1", number * WINDOW_MS / MAX_WRONG)
        assert not attempts.is_refused("10.0.0.1:1", (number + 1) * WINDOW_MS / MAX_WRONG)


def test_loopback_addresses_are_counted_too() -> None:
    attempts = WrongAttempts(max_wrong=1)

    attempts.count("127.0.0.1:1", 0)

    assert attempts.is_refused("127.0.0.1:2", 1)


def test_at_the_limit_the_address_with_the_oldest_attempt_is_forgotten() -> None:
    attempts = WrongAttempts(max_wrong=1, max_addresses=3)
    for last in (1, 2, 3, 1, 4):
        attempts.count(f"10.0.0.{last}:1", last)

    assert len(attempts) == 3
    assert [last for last in (1, 2, 3, 4) if attempts.is_refused(f"10.0.0.{last}:1", 5)] == [1, 3, 4]


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("10.0.0.1:4000", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("[2001:db8:1:2:3:4:5:6]:4000", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("[2001:db8:1:3::9]:1", "2001:db8:1:3::/64"),
        ("[fe80::1%eth0]:1", "fe80::1"),
        ("[fd00:1::7]:1", "fd00:1::7"),
        ("[::ffff:10.0.0.1]:1", "10.0.0.1"),
        ("unknown", "unknown"),
        ("kitchen.local:1", "unknown"),
        ("", "unknown"),
    ],
)
def test_attempts_are_counted_by_ipv4_address_or_ipv6_network(address: str, key: str) -> None:
    assert address_key(address) == key


@given(st.text(max_size=60))
def test_any_text_has_an_address_key(address: str) -> None:
    assert address_key(address)


# users


@pytest.mark.parametrize(
    ("node_id", "user"),
    [("alice", "alice"), ("alice:7", "alice"), ("alice:abc:tab", "alice"), ("10:uuid", "10"), ("a.b-c_d:", "a.b-c_d")],
)
def test_the_user_of_a_client_is_the_part_before_the_colon(node_id: str, user: str) -> None:
    assert user_of(node_id) == user


NOT_CLIENTS = [
    "",
    ":",
    ":alice",
    "kitchen~7f3q2x5a",
    "alice:x~y",
    "server",
    "server:1",
    "a b",
    "alice:a b",
    "alice\n",
    "alice:\x00",
    "é:1",
    "x" * 65,
    "alice:" + "x" * 200,
]


@pytest.mark.parametrize("node_id", NOT_CLIENTS)
def test_text_that_is_no_node_id_of_a_client_has_no_user(node_id: str) -> None:
    with pytest.raises(ValueError, match=r"is not a client's node id: it must be USER or USER:\.\.\."):
        user_of(node_id)


@given(st.text(max_size=80))
def test_any_node_id_has_a_user_that_may_have_a_token_or_none(node_id: str) -> None:
    try:
        user = user_of(node_id)
    except ValueError as error:
        assert str(error).isprintable()
        assert not may_write(node_id, node_id, False)
        return

    assert check_user(user) == user
    assert may_write(node_id, node_id, False) and may_write(node_id, node_id, True)


@pytest.mark.parametrize(
    ("client", "created", "in_01", "in_later"),
    [
        ("alice:1", "alice:1", True, True),
        ("alice:1", "alice:2", False, True),
        ("alice:1", "alice", False, True),
        ("alice", "alice:1:tab", False, True),
        ("alice", "alicia", False, False),
        ("alice:1", "bob:1", False, False),
        ("alice:1", "alice~7f3q2x5a", False, False),
        ("alice:1", "alice:1~7f3q2x5a", False, False),
        ("alice:1", "server:1", False, False),
        ("alice:1", "", False, False),
        ("kitchen~7f3q2x5a", "kitchen~7f3q2x5a", False, False),
        ("server:1", "server:1", False, False),
    ],
)
def test_a_client_may_write_events_of_its_user_only(client: str, created: str, in_01: bool, in_later: bool) -> None:
    assert may_write(client, created, True) is in_01
    assert may_write(client, created, False) is in_later
