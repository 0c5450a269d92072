"""A loop without sockets and threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class IsolatedLoop(asyncio.BaseEventLoop):
    """Refuses what reaches out of the process, or into another thread: each such call raises RuntimeError."""

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        raise RuntimeError(
            "the virtual loop has no threads: give an application what does its blocking work, and in the lab something else"
        )

    async def getaddrinfo(self, *args: Any, **options: Any) -> NoReturn:
        self._refuse()

    async def create_connection(self, *args: Any, **options: Any) -> NoReturn:
        self._refuse()

    async def create_server(self, *args: Any, **options: Any) -> NoReturn:
        self._refuse()

    async def create_datagram_endpoint(self, *args: Any, **options: Any) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError(
            "the virtual loop has no sockets: give an application its connections, and in the lab something else"
        )
