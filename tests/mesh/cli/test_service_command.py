"""`mesh service`: the unit of systemd, what the commands run, and what a node tells systemd."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from mesh.cli.node import service
from mesh.errors import MeshError
from mesh.settings.home import Home
from mesh.settings.service_unit import ServiceUnit
from tests.support.commands import DEADLINE_SECONDS, arguments, environment, run
from tests.support.forked_process import ForkedProcess

COMMAND = ("/opt/peermesh/bin/mesh",)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "a home"
    Home(path, name="till").close()
    return path


@pytest.fixture
def analyze() -> str:
    """The command that checks units; skips with the reason where there is none (SYSTEMD=require: fails instead)."""
    found = shutil.which("systemd-analyze")
    if found is None:
        (pytest.fail if os.environ.get("SYSTEMD") == "require" else pytest.skip)("systemd-analyze is not here")
    return found


@pytest.mark.parametrize("is_system", [True, False])
def test_systemd_finds_no_mistake_in_the_unit(home: Path, tmp_path: Path, analyze: str, is_system: bool) -> None:
    mesh = tmp_path / "mesh"
    mesh.write_text("#!/bin/sh\n")
    mesh.chmod(0o755)
    file = tmp_path / "peermesh.service"
    file.write_text(ServiceUnit(home, (str(mesh),), is_system).text())

    done = subprocess.run(
        [analyze, "verify", *(() if is_system else ("--user",)), str(file)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        env=environment(XDG_RUNTIME_DIR=str(tmp_path)),
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_starts_the_node_of_this_home_and_makes_no_new_one(home: Path) -> None:
    lines = ServiceUnit(home, COMMAND, is_system=False).text().splitlines()

    assert f'ExecStart=/opt/peermesh/bin/mesh --home "{home}" up --existing' in lines
    assert f'ReadWritePaths="{home}"' in lines


def test_a_unit_of_the_machine_runs_the_node_as_the_owner_of_its_home(home: Path) -> None:
    import pwd

    lines = ServiceUnit(home, COMMAND, is_system=True).text().splitlines()

    assert f"User={pwd.getpwuid(os.geteuid()).pw_name}" in lines
    assert "ProtectSystem=strict" in lines and "Type=notify" in lines


def test_a_path_with_special_characters_stands_in_the_unit_as_one_word(tmp_path: Path) -> None:
    path = tmp_path / 'odd "$HOME" 100%'
    Home(path, name="till").close()

    text = ServiceUnit(path, COMMAND, is_system=False).text()

    assert rf'"{tmp_path}/odd \"$$HOME\" 100%%"' in text


def test_a_folder_that_is_no_home_gets_no_unit(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="there is no home of a node"):
        ServiceUnit(tmp_path, COMMAND, is_system=False).text()


def test_without_systemd_the_command_says_what_to_run_instead(home: Path, tmp_path: Path) -> None:
    done = run(home, "service", "install", "--yes")

    if not service.RUNNING_SYSTEMD.exists():
        assert done.returncode == 1
        assert b"[Service]" in done.stdout
        assert b"systemd does not run here: let the service manager" in done.stderr


class FakeSystemctl:
    """A `systemctl` that writes down how it was called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._calls = folder / "calls"
        script = folder / "bin" / "systemctl"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\necho "$@" >> "{self._calls}"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        monkeypatch.setattr(service, "RUNNING_SYSTEMD", folder)
        self.unit = folder / "config" / "systemd" / "user" / "peermesh.service"

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemctl:
    return FakeSystemctl(tmp_path, monkeypatch)


def mesh(home: Path, *args: str) -> tuple[int, str]:
    from click.testing import CliRunner

    from mesh.cli.commands import app

    done = CliRunner().invoke(app, ["--home", str(home), "service", *args], prog_name="mesh")
    return done.exit_code, done.output


def test_install_writes_the_unit_and_starts_it_and_uninstall_takes_it_away(
    home: Path, systemctl: FakeSystemctl
) -> None:
    code, shown = mesh(home, "install", "--yes")

    assert code == 0
    assert systemctl.unit.read_text() in shown
    assert systemctl.calls == ["--user daemon-reload", "--user enable --now peermesh.service"]

    code, _ = mesh(home, "uninstall", "--yes")

    assert code == 0
    assert not systemctl.unit.exists()
    assert systemctl.calls[2:] == ["--user disable --now peermesh.service", "--user daemon-reload"]
    assert (home / "node.key").exists()


def test_nothing_is_changed_before_the_user_agrees(home: Path, systemctl: FakeSystemctl) -> None:
    code, shown = mesh(home, "install")

    assert code == 1
    assert "nothing was changed" in shown
    assert not systemctl.unit.exists()
    assert systemctl.calls == []


def test_a_service_that_is_not_installed_has_no_status(home: Path, systemctl: FakeSystemctl) -> None:
    code, shown = mesh(home, "status")

    assert code == 1
    assert "install it with `mesh service install`" in shown


def test_a_node_tells_systemd_that_it_is_up_that_its_loop_turns_and_that_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(path))
        notified.settimeout(DEADLINE_SECONDS)
        process = ForkedProcess(
            arguments(tmp_path / "home", "up", "--open", "--no-mdns", "--listen", "127.0.0.1:0"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(NOTIFY_SOCKET=str(path), WATCHDOG_USEC="200000"),
        )
        try:
            first = notified.recv(1024)
            second, third = notified.recv(1024), notified.recv(1024)
            process.terminate()
            last = notified.recv(1024)
            while last == b"WATCHDOG=1":
                last = notified.recv(1024)
        finally:
            process.kill()
            process.wait()

    assert first.startswith(b"READY=1\nSTATUS=")
    assert second == third == b"WATCHDOG=1"
    assert last == b"STOPPING=1"
