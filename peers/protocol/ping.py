"""Are you there? Sent when nothing else was for a while."""

from __future__ import annotations

from peers.codec.messages import Ping, Pong
from peers.protocol.core import SyncCore


class PingMessages(SyncCore):
    """`ping` and `pong`."""

    _is_pinging = False

    def on_connect(self) -> None:
        super().on_connect()
        self._is_pinging = False

    def on_silence(self) -> None:
        if self.authenticated and self.connected and not self._is_pinging:
            self.send_ping()

    def send_ping(self) -> None:
        self._is_pinging = True
        self.start_timeout()
        self.send_ping_again()

    def send_ping_again(self) -> None:
        """Also while an answer is expected: another one then comes, which has no timeout."""
        self.send(Ping(self.sent_up_to()))

    def ping_message(self, added: int) -> None:
        self.send_pong()
        self.on_other_sent(added)

    def send_pong(self) -> None:
        self.send(Pong(self.sent_up_to()))

    def pong_message(self, added: int, _last_position: int = 0) -> None:
        if self._is_pinging:
            self._is_pinging = False
            self.end_timeout()
        self.on_other_sent(added)

    def sent_up_to(self) -> int:
        """The highest number up to which everything was sent on this link, or deliberately left out.

        Unlike Logux 0.1, which says how far its log is, whether that was sent or waits for a filter.
        """
        return 0

    def on_other_sent(self, added: int) -> None:
        """The other end says that it has sent everything up to `added`."""
