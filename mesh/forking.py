"""How a forked process leaves the nodes of its parent: it closes its copies of their files and sockets, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select
import selectors
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from weakref import WeakSet

from mesh.errors import MeshError


class Forkable(Protocol):
    """Something that runs in this process and cannot go on in a child process."""

    def on_forked(self) -> None:
        """Called in the child process, on its only thread."""


forking = threading.RLock()
"""Held while this process is being forked. Hold it for work that must not be half done in the child."""


@runtime_checkable
class Holder(Protocol):
    """An object that has files or sockets open."""

    def descriptors(self) -> Iterable[int]:
        """The numbers of all that are open now; -1 stands for none."""


@runtime_checkable
class Abandonable(Protocol):
    """An object with timers or tasks on a loop that lives on in the child."""

    def abandon(self) -> None:
        """Called in the child process: do nothing more."""


_running: dict[Forkable, None] = {}
_work: WeakSet[threading.RLock] = WeakSet()
_inner_work: WeakSet[threading.RLock] = WeakSet()
_held: list[threading.RLock] = []
_logs: set[tuple[int, int]] = set()
"""Device and inode of the log files that SQLite had open when this process was forked."""


def watch(node: Forkable) -> None:
    """Call `node.on_forked` in every child process from now on."""
    _running[node] = None


def unwatch(node: Forkable) -> None:
    """The node has stopped: forget it. Harmless when it was not watched."""
    _running.pop(node, None)


def work_lock(*, is_inner: bool = False) -> threading.RLock:
    """A lock to hold during work with SQLite: a child that is forked in the middle of it could never use SQLite.

    Who holds an outer one may wait for the holder of an inner one, so a fork takes all outer ones first.
    """
    lock = threading.RLock()
    (_inner_work if is_inner else _work).add(lock)
    return lock


def let_go(descriptors: Iterable[int]) -> None:
    """Close descriptors that a child inherited, without sending anything: the parent's connections and locks stay open.

    Each number is then open on /dev/null, because the objects that hold these numbers close them once more when they end.
    """
    numbers = sorted({number for number in descriptors if number >= 0})
    if not numbers:
        return
    os.close(numbers[0])  # so that there is room for one more
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in numbers:
        if number != null:
            os.dup2(null, number, inheritable=False)
    if null not in numbers:
        os.close(null)


def part(loop: asyncio.AbstractEventLoop) -> None:
    """Give the child's copy of a loop, which may run on, an epoll and a self-pipe of its own.

    It inherited the parent's: to run or to close the loop in the child would take wake-ups away from the parent. What was
    let go of is no longer watched. Three private attributes of asyncio's loops are read here, because asyncio has no public
    way to replace its selector and its self-pipe.
    """
    inner: Any = loop
    if not isinstance(loop, asyncio.SelectorEventLoop) or not isinstance(inner._selector, selectors.EpollSelector):
        return  # a kqueue is not inherited; other kinds of loops are not ours
    selector = inner._selector
    fresh = select.epoll()
    pair = socket.socketpair()
    for new, old in ((fresh, selector), (pair[0], inner._ssock), (pair[1], inner._csock)):
        os.dup2(new.fileno(), old.fileno(), inheritable=False)
        new.close()
    inner._ssock.setblocking(False)
    inner._csock.setblocking(False)
    for key in tuple(selector.get_map().values()):
        selector.unregister(key.fileobj)
        with contextlib.suppress(OSError):  # /dev/null is nothing to wait for
            selector.register(key.fileobj, key.events, key.data)


def keep_for_ever(inherited: object) -> None:
    """Never destroy this object in this process: that would close SQLite's connection, and warn of what is not closed."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


def leave_log(path: Path) -> None:
    """Note that the parent has this log open, by a connection that SQLite allows no child to use or to close.

    Its descriptors stay open: SQLite knows them by their inodes, and would take a number that is used again for the old file.
    """
    with contextlib.suppress(OSError):
        _logs.add(_file(path))


def check_log(path: Path) -> None:
    """Raise MeshError if this process was forked by one that had this log open."""
    try:
        is_left = _file(path) in _logs
    except OSError:
        return
    if is_left:
        raise MeshError(
            f"a node ran in {path.parent} when this process was forked, so it cannot be used here: "
            "choose another home, or start the node in a process that is not forked"
        )


def _file(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _before() -> None:
    forking.acquire()
    _held[:] = [*_work, *_inner_work]
    for lock in _held:
        lock.acquire()


def _after() -> None:
    for lock in _held:
        lock.release()
    _held.clear()
    forking.release()


def _in_child() -> None:
    inherited = tuple(_running)
    _running.clear()
    for node in inherited:
        keep_for_ever(node)
        with contextlib.suppress(Exception):  # the child goes on, and leaves the other nodes
            node.on_forked()
    _after()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
