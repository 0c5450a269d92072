"""`mesh service`: runs the node of a home as a service of systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.exceptions import Exit

from mesh.cli import options
from mesh.cli.members.questions import confirm
from mesh.errors import MeshError
from mesh.terminal import output

if TYPE_CHECKING:
    from mesh.settings.service_unit import ServiceUnit

RUNNING_SYSTEMD = Path("/run/systemd/system")
"""It is there while systemd manages this machine: see sd_booted(3)."""
LINGER = " It runs while this user is logged in; after `loginctl enable-linger` always."

system_option = click.option(
    "--system",
    "is_system",
    is_flag=True,
    help="A service of the machine, which runs the node as the owner of its home, from boot on. Takes root.",
)
yes_option = click.option("--yes", "is_yes", is_flag=True, help="Do not ask.")


@click.group(cls=options.Group)
def service() -> None:
    """Run the node of a home as a service of systemd.

    \b
    mesh service install
    mesh service status
    mesh service uninstall

    The home must exist: start its node once with `mesh up`, or take it into a mesh with `mesh join`. Options of the node stand
    in `mesh.toml` in the home, see `mesh config`.
    """


@service.command()
@system_option
@yes_option
@click.pass_context
def install(context: click.Context, *, is_system: bool, is_yes: bool) -> None:
    """Write the unit, start the node, and start it by itself from now on. Shows first what it will do, and asks.

    \b
    mesh service install
    sudo mesh --home /var/lib/peermesh service install --system
    """
    unit = _unit(context, is_system=is_system)
    text = unit.text()
    output.write(f"{unit.path} will be:\n\n{text}\n")
    _check_systemd(unit)
    steps = (_systemctl(unit, "daemon-reload"), _systemctl(unit, "enable", "--now", unit.path.name))
    confirm(
        f"This writes {unit.path} and runs {_shown(steps)}." + ("" if is_system else LINGER), "go on?", is_yes=is_yes
    )
    unit.path.parent.mkdir(parents=True, exist_ok=True)
    unit.path.write_text(text)
    _run(steps)
    output.write(f"{unit.path.name} is installed and started\n")


@service.command()
@system_option
@yes_option
@click.pass_context
def uninstall(context: click.Context, *, is_system: bool, is_yes: bool) -> None:
    """Stop the node, and delete the unit. The home stays.

    \b
    mesh service uninstall
    """
    unit = _installed(context, is_system=is_system)
    stop = (_systemctl(unit, "disable", "--now", unit.path.name),)
    reload = (_systemctl(unit, "daemon-reload"),)
    confirm(f"This runs {_shown(stop)}, deletes {unit.path} and runs {_shown(reload)}.", "go on?", is_yes=is_yes)
    _run(stop)
    unit.path.unlink(missing_ok=True)
    _run(reload)
    output.write(f"{unit.path.name} is uninstalled; the home {unit.home} is as it was\n")


@service.command()
@system_option
@click.pass_context
def status(context: click.Context, *, is_system: bool) -> None:
    """Show how the service does, as systemd says it. The exit code is 0 if it runs.

    \b
    mesh service status
    """
    unit = _installed(context, is_system=is_system)
    raise Exit(subprocess.run([*_systemctl(unit, "status", "--no-pager", unit.path.name)], check=False).returncode)


def _unit(context: click.Context, *, is_system: bool) -> ServiceUnit:
    from mesh.settings.service_unit import ServiceUnit  # it loads more than most commands need

    script = Path(sys.executable).with_name("mesh")
    command = (str(script),) if script.exists() else (sys.executable, "-m", "mesh")
    return ServiceUnit(options.home_of(context).resolve(), command, is_system)


def _installed(context: click.Context, *, is_system: bool) -> ServiceUnit:
    unit = _unit(context, is_system=is_system)
    _check_systemd(unit)
    if not unit.path.exists():
        other = "without" if is_system else "with"
        raise MeshError(f"there is no {unit.path}: try it {other} --system, or install it with `mesh service install`")
    return unit


def _check_systemd(unit: ServiceUnit) -> None:
    if shutil.which("systemctl") is None or not RUNNING_SYSTEMD.exists():
        start = " ".join((*unit.command, "--home", str(unit.home), "up", "--existing"))
        raise MeshError(f"systemd does not run here: let the service manager of this machine run `{start}`")
    if unit.is_system and os.geteuid() != 0:
        raise MeshError("a service of the machine takes root: use sudo, or leave --system out")


def _systemctl(unit: ServiceUnit, *args: str) -> tuple[str, ...]:
    return ("systemctl", *(() if unit.is_system else ("--user",)), *args)


def _shown(steps: tuple[tuple[str, ...], ...]) -> str:
    return " and ".join(f"`{' '.join(step)}`" for step in steps)


def _run(steps: tuple[tuple[str, ...], ...]) -> None:
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MeshError(f"`{' '.join(step)}` failed: {done.stderr.strip() or f'exit code {done.returncode}'}")
