"""How an address is read, refused and shown."""

from __future__ import annotations

from typing import Any

import pytest

from peers.transport.address import Target, is_loopback, parse_address, parse_url, show_address, show_listening


@pytest.mark.parametrize(
    ("address", "host", "uri"),
    [
        ("192.168.1.7:44321", "192.168.1.7", "ws://192.168.1.7:44321/"),
        ("kitchen.local:80", "kitchen.local", "ws://kitchen.local:80/"),
        ("[::1]:80", "::1", "ws://[::1]:80/"),
        ("[fe80::1%2]:80", "fe80::1%2", "ws://[fe80::1]:80/"),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", "ws://[fe80::1]:80/"),
    ],
)
def test_reads_an_address(address: str, host: str, uri: str) -> None:
    target = parse_address(address)

    assert (target.host, target.uri) == (host, uri)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("", "is not an address"),
        ("kitchen", "is not an address"),
        ("kitchen:", "is not an address"),
        (":80", "is not an address to dial, it names no host"),
        ("ws://kitchen:80", "is not an address"),
        ("::1:80", "IPv6"),
        ("kitchen:0", "from 1 to 65535"),
        ("kitchen:65536", "from 1 to 65535"),
        ("kitchen:80\n", "is not an address"),
        ("kitchen:٨٠", "is not an address"),
        ("192.168.1:80", "no IPv4 address"),
        ("a b:80", "no host name"),
        ("user@kitchen:80", "no host name"),
        ("a..b:80", "no host name"),
        ("a" * 64 + ":80", "no host name"),
        ("[kitchen]:80", "no IPv6 address"),
        ("[fe80::1]:80", "name the interface"),
    ],
)
def test_refuses_a_bad_address_with_a_sentence(address: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_address(address)


@pytest.mark.parametrize(
    ("address", "host"), [("0.0.0.0:0", "0.0.0.0"), ("[::]:0", "::"), ("localhost:0", "localhost"), (":0", "")]
)
def test_port_0_is_allowed_for_listening(address: str, host: str) -> None:
    assert parse_address(address, is_dialled=False) == Target(host, 0)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("kitchen:65536", "or 0 for any free one"),
        (":65536", "or 0 for any free one"),
        ("a b:0", "no host name"),
        ("[fe80::1]:0", "name the interface"),
        (":", "is not an address"),
        ("[]:80", "is not an address"),
    ],
)
def test_refuses_a_bad_address_to_listen_on_too(address: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_address(address, is_dialled=False)


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("ws://kitchen:80", "ws://kitchen:80/"),
        ("ws://kitchen:1234/logux?a=1&b=%20", "ws://kitchen:1234/logux?a=1&b=%20"),
        ("wss://logux.example.com/", "wss://logux.example.com:443/"),
        ("ws://kitchen?a", "ws://kitchen:80/?a"),
        ("wss://[::1]/x", "wss://[::1]:443/x"),
        ("ws://[::1]:8080/x", "ws://[::1]:8080/x"),
        ("ws://[fe80::1%25eth0]:80/", "ws://[fe80::1]:80/"),
    ],
)
def test_reads_a_url(url: str, uri: str) -> None:
    target = parse_url(url)

    assert target.uri == uri
    assert target.is_secure == uri.startswith("wss:")


def test_a_url_keeps_the_scope_of_its_host() -> None:
    assert parse_url("ws://[fe80::1%25eth0]:80/") == parse_url("ws://[fe80::1%eth0]:80/")
    assert parse_url("ws://[fe80::1%25eth0]:80/").host == "fe80::1%eth0"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://kitchen:80/", "not a URL that can be dialled"),
        ("WS://kitchen", "not a URL that can be dialled"),
        ("ws://user:secret@kitchen/", "without a user"),
        ("ws://kitchen/#there", "without a #fragment"),
        ("ws://", "is not an address"),
        ("ws:///path", "is not an address"),
        ("ws://kitchen:/", "is not an address"),
        ("ws://kitchen:0/", "from 1 to 65535"),
        ("ws://::1/", "IPv6"),
        ("ws://a b/", "no host name"),
        ("ws://kitchen/a b", "without spaces"),
        ("ws://kitchen/\r\nX: y", "without spaces"),
        ("ws://kitchen/ä", "without spaces"),
        ("ws://kitchen/" + "a" * 3000, "at most 2048"),
    ],
)
def test_refuses_a_bad_url_with_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_url(url)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (("192.168.1.7", 80), "192.168.1.7:80"),
        (("::ffff:192.168.1.7", 80, 0, 0), "192.168.1.7:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        (("fe80::1", 80, 0, 2), "[fe80::1%2]:80"),
        (("fe80::1%eth0", 80, 0, 2), "[fe80::1%eth0]:80"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_shows_an_address_as_people_write_it(name: Any, shown: str) -> None:
    assert show_address(name) == shown


@pytest.mark.parametrize(
    ("host", "shown"),
    [("", ":80"), ("127.0.0.1", "127.0.0.1:80"), ("::", "[::]:80"), ("fe80::1%eth0", "[fe80::1%eth0]:80")],
)
def test_shows_a_listening_address_as_it_was_written(host: str, shown: str) -> None:
    assert show_listening(host, 80) == shown
    assert parse_address(shown, is_dialled=False) == Target(host, 80)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "0::1", "::ffff:127.0.0.1", "localhost", "LocalHost"]
)
def test_loopback_is_for_this_machine_only(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.1.7", "fe80::1%eth0", "kitchen", "127.example.com"])
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)
