"""`mesh doctor`: checks this machine, its network and the mesh, and says what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import Exit

from mesh.cli import options
from mesh.errors import MeshError, NoNodeError
from mesh.terminal import output

if TYPE_CHECKING:
    from mesh.cli.watch.examination import CheckedOptions, Examination


@click.command()
@options.as_json
@click.pass_context
def doctor(context: click.Context, *, as_json: bool) -> None:
    """Check this machine, its network and the mesh, and say what to do; it takes about 3 s.

    Each line is ok, look (it may be as it should, or could not be checked) or wrong. What the options switch off is ok. It
    works with and without a running node, and changes nothing: it asks once by mDNS, and lets another node dial this one. The
    exit code is 1 if a line is wrong. With --json it is a list of objects with `check`, `state`, `found` and `remedy`.

    \b
    mesh doctor
    mesh doctor --json
    """
    findings = list(_examination(context).findings())
    output.write_shown([asdict(finding) for finding in findings], _shown, as_json=as_json)
    if any(finding.state == "wrong" for finding in findings):
        raise Exit(1)


def _examination(context: click.Context) -> Examination:
    # Imported here: `mesh --help` starts without it.
    from mesh.cli.watch.examination import Examination
    from mesh.control.client import ControlClient

    home, chosen = options.home_of(context), _options(context)
    try:
        with ControlClient(home) as node:
            status, options_of_node = node.status(), node.options()
            if options_of_node is not None:
                chosen = chosen.of_running(options_of_node)
            texts = _known(node.texts)
            return Examination(home, chosen, status, _known(node.examine), texts.facts if texts is not None else ())
    except NoNodeError:
        return Examination(home, chosen)
    except MeshError as error:
        return Examination(home, chosen, trouble=str(error))


def _known(ask: Callable[[], Any]) -> Any:
    """None from a node of an earlier release, which does not know the question."""
    try:
        return ask()
    except NoNodeError:
        raise
    except MeshError:
        return None


def _options(context: click.Context) -> CheckedOptions:
    from mesh.cli.node.chosen import option_rows, up_context
    from mesh.cli.node.up_options import given_options
    from mesh.cli.watch.examination import CheckedOptions

    try:
        chosen = up_context(context)
        given = sum(row["from"] != "default" for row in option_rows(chosen))
        return CheckedOptions.of(given_options(chosen, chosen.params), given)
    except click.ClickException as error:
        return CheckedOptions(mistakes=(error.format_message(),))
    except MeshError as error:
        return CheckedOptions(mistakes=error.args)


def _shown(findings: Sequence[dict[str, Any]]) -> str:
    from mesh.terminal.tables import table, tables

    rows = []
    for (state, found, remedy), same in groupby(findings, key=itemgetter("state", "found", "remedy")):
        checks = [row["check"] for row in same]
        is_one = len(checks) == 1
        rows.append((checks[0], state, found) if is_one else ("several", state, f"{', '.join(checks)}: {found}"))
        rows += [("", "", f"-> {remedy}")] if remedy else []
    return tables([table(("check", "state", "found, and -> what to do"), rows)])
