"""What the commands about a mesh ask their user."""

from __future__ import annotations

import sys

import click

from mesh.errors import MeshError


def asked_code(what: str, remedy: str) -> str:
    """A code that a user types. Raises MeshError, which ends with `remedy`, if none is given; KeyboardInterrupt at Ctrl-C."""
    try:
        return str(click.prompt(what, err=True))
    except click.Abort as abort:
        _interrupt(abort)
        raise MeshError(f"no {what} was given: {remedy}") from None


def asked_recovery_code() -> str:
    """The recovery code of the mesh, as `asked_code`."""
    return asked_code("recovery code", "type the one that was shown when the mesh was founded")


def is_terminal() -> bool:
    """Whether a user can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def confirm(what: str, question: str, *, is_yes: bool) -> None:
    """Say what is to be done, and ask whether it is, unless `is_yes`. Raises MeshError if not, or if no user can be asked."""
    if is_yes:
        return
    if not is_terminal():
        raise MeshError(f"nothing was changed: {what} Give --yes, since there is no terminal to ask at")
    click.echo(what, err=True)
    try:
        is_yes = click.confirm(question, err=True)
    except click.Abort as abort:
        _interrupt(abort)
        is_yes = False
    if not is_yes:
        raise MeshError("nothing was changed")


def _interrupt(abort: click.Abort) -> None:
    """Click makes the same of Ctrl-C as of the end of the input: raise KeyboardInterrupt at the former. End the line."""
    if is_terminal():
        click.echo(err=True)
    if isinstance(abort.__context__, KeyboardInterrupt):
        raise KeyboardInterrupt from None
