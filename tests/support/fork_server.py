"""Forks processes that run `mesh`: `python -m tests.support.fork_server FD`, which `tests.support.forked_process` calls.

It has imported what the commands import, and has one thread, no event loop, and no open file but the socket FD and its
standard streams. Each request is answered in turn; the end of the requests ends it, and not the processes it has forked.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

LENGTH = struct.Struct("!I")
"""Before each request and answer, which are JSON: its bytes."""
STREAMS = 3
"""Descriptors that come with the request for a process: its standard streams."""
PACKAGES = ("mesh", "peers")
NOT_LOADED = ("mesh.lab", "mesh.bench", "mesh.__main__")
"""What only `mesh scenario` and `mesh bench` load, and the program itself."""
LOADED_LATE = ("cryptography.x509", "encodings.idna", "platformdirs.unix", "rich.live", "rich.table")
"""Modules of others that functions of commands and nodes import."""


PR_SET_PDEATHSIG = 1
CLONE_NEWNS, MNT_DETACH, MS_REC, MS_SLAVE = 0x20000, 2, 0x4000, 0x80000
"""From <sys/prctl.h>, <sched.h> and <sys/mount.h>."""
_LIBC = ctypes.CDLL(None, use_errno=True)


def serve(requests: socket.socket) -> None:
    """Answer requests until they end: `{"args", "cwd", ...}` by a process id, `{"reap": pid}` by its wait status."""
    _load()
    # A Ctrl-C is for the tests, and for the processes as it would be otherwise.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for request, streams in _received(requests):
        if "reap" in request:
            answer = os.waitpid(request["reap"], 0)[1]
        else:
            answer = os.fork()
            if answer == 0:
                requests.close()
                _become(request, streams)
        for stream in streams:
            os.close(stream)
        send(requests, answer)


def send(to: socket.socket, value: Any, streams: tuple[int, ...] = ()) -> None:
    body = json.dumps(value).encode()
    socket.send_fds(to, [LENGTH.pack(len(body))], streams)
    to.sendall(body)


def receive(source: socket.socket) -> tuple[Any, list[int]]:
    """The next value, and the descriptors that came with it. Raises EOFError if there is none."""
    head, streams, _, _ = socket.recv_fds(source, LENGTH.size, STREAMS)
    if not head:
        raise EOFError("the other end is gone")
    (left,) = LENGTH.unpack(head)
    body = b""
    while len(body) < left:
        body += source.recv(left - len(body))
    return json.loads(body), streams


def _received(requests: socket.socket) -> Iterator[tuple[dict[str, Any], list[int]]]:
    while True:
        try:
            yield receive(requests)
        except EOFError:
            return


def _load() -> None:
    for package in PACKAGES:
        folder = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(folder, f"{package}.", onerror=None):
            if not module.name.startswith(NOT_LOADED):
                importlib.import_module(module.name)
    for name in LOADED_LATE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else the first look of a child at its garbage copies the pages of all that was imported
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a fork would lose the other threads"


def _become(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Be the process that `python -m mesh` would have been, in this child, to its end."""
    if request["namespaces"]:
        _enter(*request["namespaces"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if request["is_new_session"]:
        os.setsid()
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        _open_again(number, name)
    sys.argv = ["mesh", *request["args"]]
    sys.path[0] = request["cwd"]
    try:
        runpy.run_module("mesh", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        _end(end.code if isinstance(end.code, int) else int(end.code is not None))
    _end(0)


def _enter(holder: str, network: str) -> None:
    """Enter the namespaces whose files are in the folder `holder`, then the network at a path in them; end with the server."""
    files = [Path(holder) / name for name in ("user", "mnt")]
    opened = [
        os.open(file, os.O_RDONLY) for file in files if file.readlink() != Path("/proc/self/ns", file.name).readlink()
    ]
    for number in opened:
        _set_namespace(number)
    _set_namespace(os.open(network, os.O_RDONLY))
    # As `ip netns exec` does: /sys shows the network in which it was mounted, and no other process may see this one.
    _check(_LIBC.unshare(CLONE_NEWNS))
    _check(_LIBC.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None))
    _LIBC.umount2(b"/sys", MNT_DETACH)
    _check(_LIBC.mount(b"host", b"/sys", b"sysfs", 0, None))
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _set_namespace(number: int) -> None:
    _check(_LIBC.setns(number, 0))
    os.close(number)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "the namespaces of a host cannot be entered")


def _open_again(number: int, name: str) -> None:
    """Open a standard stream as the start of Python does: one at a terminal passes on its lines at once."""
    before = getattr(sys, name)
    mode = "w" if number else "r"
    stream = open(number, mode, encoding=before.encoding, errors=before.errors, closefd=False)  # noqa: SIM115
    if name == "stderr":
        stream.reconfigure(line_buffering=True)
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def _end(code: int) -> NoReturn:
    """End as Python does, but without taking modules apart, which would copy their pages."""
    threading._shutdown()  # it waits for threads that are no daemons
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 120
    os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
