"""`mesh help`: the pages of the guide, `mesh/docs`, at a terminal."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from mesh.errors import did_you_mean
from mesh.terminal import output

PAGES = Path(__file__).parent.parent / "docs"
INDEX = "README"
_LINK = re.compile(r"\[[^\]\n]+\]\(([a-z]+)\.md\)")
"""A link of one page to another one."""


def topics() -> list[str]:
    """The names of the pages."""
    return sorted(path.stem for path in PAGES.glob("*.md") if path.stem != INDEX)


def page(topic: str) -> str:
    """The Markdown text of a page. Links to other pages are the commands that show them."""
    return _LINK.sub(r"`mesh help \1`", (PAGES / f"{topic}.md").read_text(encoding="utf-8"))


@click.command("help")
@click.argument("topic", required=False, metavar="[TOPIC]")
@click.pass_context
def show_help(context: click.Context, *, topic: str | None) -> None:
    """Show a page of the guide; without TOPIC, list them. The help of a command is `mesh COMMAND --help`.

    \b
    mesh help
    mesh help tutorial
    """
    if topic is not None and topic not in topics():
        raise click.BadParameter(f"there is no page {topic!r}{_instead(context, topic)}", param_hint="TOPIC")
    text = page(topic or INDEX)
    if sys.stdout is None or not sys.stdout.isatty():
        output.write(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.capture() as shown:
        console.print(Markdown(text, hyperlinks=False))
    output.write(shown.get())


def _instead(context: click.Context, topic: str) -> str:
    group = context.parent.command if context.parent is not None else None
    if isinstance(group, click.Group) and topic in group.commands:
        return f"; the help of this command is `mesh {topic} --help`"
    return did_you_mean(topic, topics()) or "; `mesh help` lists them"
