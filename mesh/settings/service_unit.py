"""ServiceUnit: the unit of systemd that runs a node."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import MeshError
from mesh.settings.home import KEY_FILE, read_identity

UNIT = "peermesh.service"
SYSTEM_UNITS = Path("/etc/systemd/system")
STATE_FOLDERS = Path("/var/lib")
"""Where a folder of StateDirectory= is."""
WATCHDOG_SECONDS = 60
"""A node that does not report for so long is killed and started again."""
STOP_SECONDS = 30

_HARDENING = """\
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
CapabilityBoundingSet=
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077
"""
_NEEDS_ROOT = ("CapabilityBoundingSet", "ProtectClock", "ProtectHostname", "ProtectKernelLogs", "PrivateDevices")
"""What the manager of a user cannot do; the rest it does in a user namespace."""


@dataclass(frozen=True, slots=True)
class ServiceUnit:
    """A unit for the node of a home that exists: of this user, or of the system, which then runs it as the owner of the home.

    The unit starts the node at boot (that of a user: at login), again after a failure, and when it has hung for
    WATCHDOG_SECONDS. It may write to its home alone.
    """

    home: Path
    command: tuple[str, ...]
    """What starts the command `mesh`."""
    is_system: bool

    @property
    def path(self) -> Path:
        """The file of the unit."""
        if self.is_system:
            return SYSTEM_UNITS / UNIT
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(base) / "systemd" / "user" / UNIT

    def text(self) -> str:
        """Its content. Raises MeshError where the home is none of a node, or its owner is not known here."""
        node_id, _ = read_identity(self.home)
        start = " ".join(_quoted(part) for part in (*self.command, "--home", str(self.home), "up", "--existing"))
        wanted = "multi-user.target" if self.is_system else "default.target"
        return (
            f"[Unit]\nDescription=peermesh node {_escaped(node_id)}\nAfter=network-online.target\n"
            + ("Wants=network-online.target\n" if self.is_system else "")
            + f"\n[Service]\nType=notify\nExecStart={start}\nExecReload=/bin/kill -HUP $MAINPID\n"
            + f"Restart=on-failure\nRestartSec=5\nWatchdogSec={WATCHDOG_SECONDS}\nTimeoutStopSec={STOP_SECONDS}\n"
            + self._user()
            + self._folders()
            + self._hardening()
            + f"\n[Install]\nWantedBy={wanted}\n"
        )

    def _user(self) -> str:
        if not self.is_system:
            return "PrivateUsers=yes\n"
        owner = (self.home / KEY_FILE).stat().st_uid
        try:
            return f"User={pwd.getpwuid(owner).pw_name}\n"
        except KeyError:
            raise MeshError(
                f"{self.home} belongs to the user {owner}, who has no name here: give it to another one with chown"
            ) from None

    def _folders(self) -> str:
        if self.is_system and self.home.parent == STATE_FOLDERS:
            state = f"StateDirectory={_quoted(self.home.name)}\nStateDirectoryMode=0700\n"
        else:
            state = f"ReadWritePaths={_quoted(str(self.home))}\n"
        of_users = (Path("/home"), Path("/root"), Path("/run/user"))
        paths = (self.home, *(Path(part) for part in self.command))
        is_in_home = any(path.is_relative_to(folder) for path in paths for folder in of_users)
        return f"{state}ProtectHome={'read-only' if is_in_home or not self.is_system else 'yes'}\n"

    def _hardening(self) -> str:
        left_out = () if self.is_system else _NEEDS_ROOT
        if self.home.is_relative_to("/tmp") or self.home.is_relative_to("/var/tmp"):
            left_out = (*left_out, "PrivateTmp")  # it would hide the home
        return "".join(line for line in _HARDENING.splitlines(keepends=True) if not line.startswith(left_out))


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """A word as units have it: see systemd.service(5), "Command lines". Raises MeshError for one with control characters."""
    if not text.isprintable():
        raise MeshError(f"{text!r} cannot stand in a unit of systemd: choose another path")
    escaped = _escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if set(text) & set(" '\"\\;") else escaped
