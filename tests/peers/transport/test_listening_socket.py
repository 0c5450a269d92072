"""ListeningSocket: which connections are accepted when this process may open no more files."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from peers.transport.accepting.listening_socket import ListeningSocket

Open = Callable[..., ListeningSocket]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def open_socket(stack: ExitStack) -> Open:
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    return lambda **options: stack.enter_context(
        ListeningSocket(socket.create_server(("127.0.0.1", 0)), loop, max_opening=lambda: 8, **options)
    )


@contextmanager
def files_left(count: int) -> Iterator[None]:
    """Let this process open only so many more files."""
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_turns_connections_away_when_no_file_is_left_and_says_so_once(
    open_socket: Open, stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    server = open_socket()
    clients = [stack.enter_context(socket.create_connection(server.getsockname())) for _ in range(2)]

    with files_left(0):
        for _ in clients:
            with pytest.raises(BlockingIOError):
                server.accept()

    assert [client.recv(1) for client in clients] == [b"", b""]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("this process turns connections away: Too many open files; raise its limit")


def test_leaves_the_last_files_to_the_rest_of_the_process(open_socket: Open, stack: ExitStack) -> None:
    server = open_socket()
    client = stack.enter_context(socket.create_connection(server.getsockname()))

    with files_left(2), pytest.raises(BlockingIOError):
        server.accept()

    assert client.recv(1) == b""


def test_commands_of_this_user_may_have_the_last_files(open_socket: Open, stack: ExitStack) -> None:
    server = open_socket(is_own=True)
    stack.enter_context(socket.create_connection(server.getsockname()))

    with files_left(2):
        accepted, _ = server.accept()

    accepted.close()
