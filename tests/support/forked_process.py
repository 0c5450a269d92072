"""`mesh` as a process that a server has forked, which has imported all there is to import: a start costs a tenth.

What differs from a start of `python -m mesh`:

- The modules of all commands and of `mesh up` are loaded, and none is loaded late or in another order. Tests of what a command
  loads start Python themselves; so do tests of what Python itself does at its start, and of what a shell does.
- All processes have the hash seed of the server.
- The collector of garbage does not look at what was imported (`gc.freeze`), and the process ends without taking modules apart.
  Functions of `atexit` run, and threads are waited for.
- Limits of the process, ignored signals, and niceness are those that the tests had when the server started. Process group,
  session, working folder, umask, environment and standard streams are those of the call.
- /proc shows the command line of the server.

The process is a child of the server, which keeps it as a zombie until it is asked to reap it: so the process id is its own for
as long as the tests may send signals to it.
"""

from __future__ import annotations

import atexit
import os
import re
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mesh.lab.live.namespaces import Process
from tests.support.fork_server import receive, send
from tests.support.root import ROOT

MESH = (sys.executable, "-m", "mesh")
_AT_START = re.compile("PYTHON(?!PATH$)|LANG|LC_|LD_|MALLOC_|GLIBC_")
"""Variables that take effect when a process starts: a fork cannot follow another value."""
_SERVER_SECONDS = 20.0


class ForkedProcess(subprocess.Popen[Any]):
    """A process, forked if it is `python -m mesh` in an environment like that of the server; any other is started as usual."""

    _ended: int | None = None
    """A descriptor of a forked process that is readable once it has ended; None before, and when it is reaped."""
    _is_forked = False
    _reaping = threading.Lock()

    def _execute_child(self, args: Any, executable: Any, *how: Any) -> None:  # type: ignore[override]
        namespaces, folder, words = _entered([args] if isinstance(args, str) else [*map(os.fspath, args)])
        preexec_fn, _, pass_fds, cwd, env, _, _, shell, *streams, _, gid, gids, uid, umask, is_session, group = how
        is_special = any((executable, preexec_fn, pass_fds, shell, gid, gids, uid)) or (umask, group) != (-1, -1)
        if is_special or words[: len(MESH)] != [*MESH] or not _SERVER.could_start(env):
            super()._execute_child(args, executable, *how)  # type: ignore[misc]
            return
        request = {
            "args": words[len(MESH) :],
            "cwd": folder or os.fspath(cwd or Path.cwd()),
            "namespaces": namespaces,
            "environment": dict(os.environ if env is None else env),
            "umask": _umask(),
            "is_new_session": is_session,
        }
        stdin, _, _, stdout, _, stderr = streams
        try:
            given = (stdin, stdout, stderr)
            self.pid = _SERVER.ask(request, tuple(at if fd == -1 else fd for at, fd in enumerate(given)))
            self._child_created = self._is_forked = True
            self._ended = os.pidfd_open(self.pid)
        finally:
            self._close_pipe_fds(*streams)  # type: ignore[attr-defined]

    def poll(self) -> int | None:
        if not self._is_forked:
            return super().poll()
        if self.returncode is None and self._has_ended(0):
            self._reap()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._is_forked:
            return super().wait(timeout)
        if self.returncode is None:
            if not self._has_ended(timeout):
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
            self._reap()
        return self.returncode

    def _has_ended(self, seconds: float | None) -> bool:
        assert self._ended is not None
        poll = select.poll()
        poll.register(self._ended, select.POLLIN)
        return bool(poll.poll(None if seconds is None else max(0.0, seconds * 1000)))

    def _reap(self) -> None:
        with self._reaping:
            if self._ended is not None:
                self.returncode = os.waitstatus_to_exitcode(_SERVER.ask({"reap": self.pid}))
                os.close(self._ended)
                self._ended = None


def run_forked(
    args: Sequence[str | Path], *, input: bytes | str | None = None, timeout: float, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run` of a ForkedProcess: it captures both outputs, and kills what does not end within `timeout` seconds."""
    streams = {"stdin": subprocess.DEVNULL if input is None else subprocess.PIPE, "stdout": subprocess.PIPE}
    with ForkedProcess(args, stderr=subprocess.PIPE, **streams, **options) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class HostProcess(ForkedProcess, Process):
    """The same in a host of a lab."""


class _Server:
    """The server of this process, which starts with the first command."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def could_start(self, environment: Mapping[str, str] | None) -> bool:
        """Whether a Python that starts in this environment is as this server: it has our modules, and the same settings."""
        given = os.environ if environment is None else environment
        is_ours = given.get("PYTHONPATH", "").split(os.pathsep)[0] == str(ROOT)
        return is_ours and _at_start(given) == _at_start(os.environ) and hasattr(os, "pidfd_open")

    def ask(self, request: dict[str, Any], streams: tuple[int, ...] = ()) -> int:
        with self._lock:
            if self._socket is None:
                self._socket = self._start()
            send(self._socket, request, streams)
            answer: int = receive(self._socket)[0]
            return answer

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(_SERVER_SECONDS)
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(number)],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                cwd=ROOT,
            )
        atexit.register(self._stop)
        return ours

    def _stop(self) -> None:
        assert self._socket is not None and self._process is not None
        self._socket.close()
        self._process.wait(_SERVER_SECONDS)


_SERVER = _Server()


def _entered(words: list[str]) -> tuple[list[str], str, list[str]]:
    """Of a command line of `NetLab.command`: namespaces, working folder, program. Of another: none, "", and all of it."""
    if words[:1] != ["nsenter"] or "--pdeathsig" not in words:
        return [], "", words
    namespaces = [f"/proc/{words[2]}/ns", f"/run/netns/{words[words.index('setpriv') - 1]}"]
    program = words[words.index("--pdeathsig") + 3 :]
    if program[:2] == ["env", "-C"]:
        return namespaces, program[2], program[3:]
    return namespaces, "/", program


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _AT_START.match(name)}


def _umask() -> int:
    """The umask of this process, without changing it even for a moment, since other threads may make files."""
    found = re.search(r"^Umask:\s+(\d+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1], 8)
