"""Runs a command that may not open sockets of some families, as a unit with RestrictAddressFamilies= or a container may not.

python sandbox.py AF_INET6,AF_NETLINK COMMAND ...
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

SOCKET_CALL = {"x86_64": 41, "aarch64": 198, "riscv64": 198}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
NUMBER_AT, FIRST_ARGUMENT_AT = 0, 16


class Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid(*families: int) -> None:
    """From now on `socket()` of these families fails with EAFNOSUPPORT, here and in all that this process starts."""
    steps = [(LOAD, 0, 0, NUMBER_AT), (IF_EQUAL, 0, len(families) + 1, SOCKET_CALL[platform.machine()])]
    steps.append((LOAD, 0, 0, FIRST_ARGUMENT_AT))
    steps += [(IF_EQUAL, len(families) - at, 0, family) for at, family in enumerate(families)]
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, FAIL | errno.EAFNOSUPPORT)]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(steps), code)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid(*(socket.AddressFamily[name] for name in sys.argv[1].split(",")))
    os.execv(sys.argv[2], sys.argv[2:])
