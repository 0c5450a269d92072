"""Opens connections to PORT that send nothing, from many addresses of this machine: `python silent_crowd.py PORT COUNT`.

With `upgraded` as third argument they send nothing after the upgrade to a WebSocket. It prints a line once COUNT were open at
some time, then goes on to open another one for each that is closed, until its input ends.
"""

from __future__ import annotations

import resource
import selectors
import socket
import sys

ADDRESSES = 250
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def main(port: int, count: int, *, is_upgraded: bool) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, count + 100), most))
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    opened = 0

    def open_one() -> None:
        nonlocal opened
        source = f"127.0.1.{opened % ADDRESSES + 1}"
        opened += 1
        try:
            one = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
            if is_upgraded:
                one.sendall(UPGRADE % port)
                one.recv(1_000)
        except OSError:
            return
        selector.register(one, selectors.EVENT_READ)

    while True:
        while len(selector.get_map()) <= count and opened % count != count - 1:
            open_one()
        if opened == count - 1:
            print("all were open", flush=True)
        open_one()
        for key, _ in selector.select(0.05):
            if key.fileobj is sys.stdin:
                return
            assert isinstance(key.fileobj, socket.socket)
            selector.unregister(key.fileobj)
            key.fileobj.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), is_upgraded="upgraded" in sys.argv)
