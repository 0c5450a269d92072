"""Hosts in network namespaces on one bridge: real sockets and real partitions, all gone when their owner ends."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

HOSTS_LIMIT = 32
COMMAND_SECONDS = 10.0
"""Within this, one command of the lab (ip, nft) must end."""
EXIT_SECONDS = 5.0
"""Within this, a killed process must be gone."""
STDERR_LIMIT = 20_000
"""Bytes of the stderr of one process in a report: the last ones."""

TOOLS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "sysctl": "procps",
    "ip": "iproute2",
    "ss": "iproute2",
    "nft": "nftables",
}
"""The programs that a lab calls, and their packages."""

_ROOT = ("--net", "--mount")
_USER = ("--user", "--map-root-user", "--net", "--mount")
_ENTER = {_ROOT: ("--net", "--mount"), _USER: ("--user", "--preserve-credentials", "--net", "--mount")}
_HOLD = "mount -t tmpfs tmpfs /run && ip link set lo up && echo ready && exec cat"
_SWITCH = """
ip netns add sw
ip netns exec sw sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip -n sw link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
ip -n sw link set br0 up
"""
_HOST = """
ip netns add h{n}
ip netns exec h{n} sysctl -qw net.ipv6.conf.all.disable_ipv6={v4} net.ipv6.conf.default.disable_ipv6={v4}
ip -n h{n} link set lo up
"""
_CARD = """
ip -n sw link add p{n} type veth peer name eth0 netns h{n}
ip -n sw link set p{n} master br0 up
ip -n h{n} link set eth0 gso_max_segs 1 up
"""
# Each segment is a frame of its own, as on a cable, so that single frames can be lost and counted.
_IPV4 = "ip -n h{n} addr add {ip}/24 dev eth0\n"
_IPV6 = "ip -n h{n} addr add fd77::{n}/64 dev eth0 nodad\n"


class NetLabError(Exception):
    """A command of the lab failed; the text says which and why."""


class Process(subprocess.Popen[str]):
    """A process in a host. What it writes to stderr is kept for the report of a failed test."""

    place: Place
    stderr_file: IO[bytes] | None = None

    def stderr_text(self) -> str:
        """The last STDERR_LIMIT bytes that it wrote to stderr; empty if stderr went elsewhere."""
        if self.stderr_file is None:
            return ""
        number = self.stderr_file.fileno()
        size = os.fstat(number).st_size
        # Not by read(), which would move the position at which the process writes.
        return os.pread(number, STDERR_LIMIT, max(0, size - STDERR_LIMIT)).decode(errors="replace")


class Place:
    """A network namespace of the lab, in which processes can run. The file system is shared."""

    def __init__(self, lab: NetLab, name: str) -> None:
        self._lab = lab
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def spawn(
        self,
        args: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = subprocess.DEVNULL,
        stderr: int | IO[Any] | None = None,
        cwd: str | Path | None = None,
    ) -> Process:
        """Start a process here. `env` is added to our environment; signals to the process reach it, since the pid is its own.

        Pipes carry text. Stderr goes to a file of the lab unless it is given. The process is killed when we end; a Ctrl-C in
        our terminal does not reach it.
        """
        if cwd is not None:
            args = ["env", "-C", cwd, *args]  # nsenter goes to the root folder of the namespace it enters
        return self._lab.spawn(self, args, env=env, stdin=stdin, stdout=stdout, stderr=stderr)

    def run(
        self, args: Sequence[str | Path], *, check: bool = False, timeout: float = COMMAND_SECONDS, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end, with stdout and stderr captured as text. `options` are those of `subprocess.run`."""
        return subprocess.run(
            self._lab.command(self, args), check=check, timeout=timeout, capture_output=True, text=True, **options
        )


class Host(Place):
    """One machine of the lab: its own addresses, routes and sockets."""

    def __init__(self, lab: NetLab, number: int) -> None:
        super().__init__(lab, f"h{number}")
        self.number = number
        self.ip = f"10.77.0.{number}"


class NetLab:
    """Up to 32 hosts on one bridge, from 10.77.0.1 on, by default IPv4 only. Their namespaces end with this process."""

    def __init__(self, flags: tuple[str, ...], *, process: type[Process] = Process) -> None:
        """`flags` are those of `find_flags`; `process` is the class of what `spawn` starts. Raises NetLabError."""
        self.switch = Place(self, "sw")
        """Has the ports of all hosts, once there are hosts: `p1` and on."""
        self._flags = flags
        self._process = process
        self._hosts: dict[int, Host] = {}
        self.processes: list[Process] = []
        """All that were started here so far."""
        # It reads a pipe of ours until that ends: so the namespaces end with us, however we end.
        self._holder = subprocess.Popen(
            ["unshare", *flags, "--propagation", "private", "sh", "-c", _HOLD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C must reach the owner of the lab only
        )
        assert self._holder.stdout is not None and self._holder.stderr is not None
        if self._holder.stdout.readline() != "ready\n":
            reason = self._holder.stderr.read().strip()
            self.close()
            raise NetLabError(reason or "unshare gave no reason")

    @property
    def holder_pid(self) -> int:
        """The process that holds the namespaces of the lab."""
        return self._holder.pid

    def hosts(self, count: int, *, ipv4: bool = True, ipv6: bool | Literal["link-local"] = False) -> list[Host]:
        """Add hosts; the first is number 1. With `ipv6` each has fd77::i too, and a link-local address 2 s later.

        `ipv6="link-local"` leaves fd77::i out, `ipv4=False` 10.77.0.i; then `Host.ip` is no address of the host.
        """
        first = len(self._hosts) + 1
        if first + count - 1 > HOSTS_LIMIT:
            raise NetLabError(f"{count} more hosts: a lab has room for {HOSTS_LIMIT}")
        added = [Host(self, number) for number in range(first, first + count)]
        script = _HOST + _CARD + (_IPV4 if ipv4 else "") + (_IPV6 if ipv6 is True else "")
        script = "".join(script.format(n=host.number, ip=host.ip, v4=int(not ipv6)) for host in added)
        self._script((_SWITCH if first == 1 else "") + script)
        self._hosts.update((host.number, host) for host in added)
        return added

    def host(self, number: int) -> Host:
        """One of the hosts that were added. Raises KeyError."""
        return self._hosts[number]

    def partition(self, *groups: Iterable[Host | int]) -> None:
        """Let no frame pass between hosts of different groups, instead of an earlier partition. Hosts in no group reach all."""
        names = [", ".join(f'"p{_number(host)}"' for host in group) for group in groups]
        rules = [f"iifname {{ {a} }} oifname {{ {b} }} drop" for a in names for b in names if a != b]
        self.rules(*rules)

    def heal(self) -> None:
        """Let all frames pass again."""
        self.rules()

    def rules(self, *rules: str) -> None:
        """Replace the nft rules of the switch, which see every frame from port `p<i>` to `p<j>`."""
        chain = "\n".join(("type filter hook forward priority 0;", *rules))
        table = f"table bridge lab\ndelete table bridge lab\ntable bridge lab {{\nchain frames {{\n{chain}\n}}\n}}\n"
        self._script("ip netns exec sw nft -f - <<'RULES'\n" + table + "RULES\n")

    def link_down(self, host: Host | int) -> None:
        """Pull the cable of a host: it has no carrier, and keeps its IPv4 address."""
        self._script(f"ip -n sw link set p{_number(host)} down")

    def link_up(self, host: Host | int) -> None:
        """Plug the cable in again."""
        self._script(f"ip -n sw link set p{_number(host)} up")

    def replug(self, host: Host) -> None:
        """Replace the network card of a host by another one with the same address."""
        number, ip = host.number, host.ip
        self._script(f"ip -n h{number} link del eth0\n" + (_CARD + _IPV4).format(n=number, ip=ip))

    def set_address(self, host: Host, ip: str) -> None:
        """Give a host another address, as after a move to another network; `host.ip` is then the new one."""
        change = f"ip -n h{host.number} addr"
        self._script(f"{change} del {host.ip}/24 dev eth0\n{change} add {ip}/24 dev eth0")
        host.ip = ip

    def mac(self, host: Host | int) -> str:
        """The hardware address of the network card of a host."""
        return self._script(f"ip -n h{_number(host)} -br link show dev eth0").split()[2]

    def mount(self, folder: Path, *, size_bytes: int) -> Path:
        """Mount a small disk at an empty folder, for processes that start later. Returns its path for this process."""
        self._script(f"mount -t tmpfs -o size={size_bytes},mode=700 tmpfs {shlex.quote(str(folder))}")
        return Path(f"/proc/{self.holder_pid}/root{folder}")

    def command(self, place: Place, args: Sequence[str | Path]) -> list[str]:
        """The command line that runs `args` in a place. Each program in it replaces itself by the next: they have one pid."""
        enter = ("nsenter", "--target", str(self.holder_pid), *_ENTER[self._flags])
        inside = ("ip", "netns", "exec", place.name, "setpriv", "--pdeathsig", "KILL", "--")
        return [*enter, *inside, *map(str, args)]

    def stderr_report(self) -> str:
        """Stderr of every process so far, each under a heading."""
        return "\n".join(
            f"--- {process.place} pid {process.pid}, {_state(process)}: {_words(process.args)}\n{process.stderr_text()}"
            for process in self.processes
        )

    def close(self) -> None:
        """Kill all processes that were started here, by pid, and end the namespaces. Raises NetLabError if others are left."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait(EXIT_SECONDS)
            _close_files(process, process.stderr_file)
        strays = self._strays()
        for pid in strays:
            os.kill(pid, signal.SIGKILL)
        _close_files(self._holder)
        self._holder.wait(EXIT_SECONDS)
        self._hosts.clear()
        if strays:
            raise NetLabError(f"processes {strays} were started by spawned ones and left behind (they are killed now)")

    def _strays(self) -> list[int]:
        """Pids of processes in our hosts that were not started by `spawn`."""
        if not self._hosts:
            return []
        script = "".join(f"ip netns pids h{number}\n" for number in self._hosts)
        return [int(pid) for pid in self._script(script).split()]

    def spawn(
        self, place: Place, args: Sequence[str | Path], *, env: Mapping[str, str] | None, **options: Any
    ) -> Process:
        """Start a process in a place; see Place.spawn."""
        file = None
        if options["stderr"] is None:
            file = options["stderr"] = tempfile.TemporaryFile(prefix="netlab-")  # noqa: SIM115 - has no name, outlives this
        environment = {**os.environ, **(env or {})}
        options["start_new_session"] = True
        process = self._process(self.command(place, args), env=environment, text=True, bufsize=1, **options)
        process.place, process.stderr_file = place, file
        self.processes.append(process)
        return process

    def _script(self, script: str) -> str:
        enter = ["nsenter", "--target", str(self.holder_pid), *_ENTER[self._flags]]
        done = subprocess.run(
            [*enter, "sh", "-eu"], input=script, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
        if done.returncode != 0:
            raise NetLabError(f"{done.stderr.strip() or 'no reason given'}\nin the script:\n{script}")
        return done.stdout


def find_flags() -> tuple[tuple[str, ...] | None, str]:
    """The flags with which namespaces can be made here, tried out on a small lab; or None and the reason."""
    if not sys.platform.startswith("linux"):
        return None, f"network namespaces need Linux, this is {sys.platform}"
    missing = sorted({f"{tool} ({package})" for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        return None, f"network namespaces need {', '.join(missing)}: install it, or put /usr/sbin into PATH"
    reasons = []
    for flags in (_ROOT, _USER) if os.geteuid() == 0 else (_USER,):
        try:
            _try(flags)
        except (NetLabError, OSError, subprocess.SubprocessError) as error:
            reasons.append(f"{'user namespace' if flags == _USER else 'root'}: {str(error).splitlines()[0]}")
        else:
            return flags, ""
    return None, "; ".join(reasons) + "; needs root or user namespaces, with iproute2, nftables and util-linux"


def _try(flags: tuple[str, ...]) -> None:
    lab = NetLab(flags)
    try:
        (host,) = lab.hosts(1)
        lab.partition([1], [2])
        host.run(["true"], check=True)
    finally:
        lab.close()


def _number(host: Host | int) -> int:
    return host if isinstance(host, int) else host.number


def _close_files(process: subprocess.Popen[str], *more: IO[Any] | None) -> None:
    for file in (process.stdin, process.stdout, process.stderr, *more):
        if file is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended before it read what we wrote
                file.close()


def _state(process: Process) -> str:
    code = process.poll()
    return "running" if code is None else f"exit code {code}"


def _words(args: Any) -> str:
    """The command itself, without the programs that enter the host."""
    return " ".join(args[args.index("KILL") + 2 :])
