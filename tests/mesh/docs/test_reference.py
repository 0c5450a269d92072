"""The tables of the reference, compared with the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import click
import pytest

from mesh import EventMeta, Limits, Status
from mesh.cli.commands import app, up
from mesh.cli.node.layers import UpOption
from mesh.membership import status_rows
from mesh.membership.member import LOST_SECONDS, STATES
from mesh.notices import LOG_LEVELS, UPGRADES
from mesh.settings import backup, paths
from peers.codec.messages import RunMessage
from peers.codec.runs import PEER_MESSAGES
from peers.limits import FIXED
from peers.log.event_story import EventStory
from peers.roles.run_session import PEER_PING_MS, PEER_TIMEOUT_MS
from peers.stores.runs.sqlite.layout import LAYOUT_3
from tests.support.guide import PAGES, README, blocks, page, quoted, table
from tests.support.root import ROOT

JSON, CONFIGURATION = page("json"), page("configuration")
ROWS = {
    "peers": status_rows.PeerStatus,
    "sessions": status_rows.SessionStatus,
    "mesh_nodes": status_rows.MeshNodeStatus,
    "links": status_rows.MeshLinkStatus,
    "discovery": status_rows.DiscoveryStatus,
    "clients": status_rows.ClientStatus,
    "turned_away": status_rows.TurnedAwayStatus,
    "paused": status_rows.PausedStatus,
    "refused": status_rows.RefusedStatus,
    "limits": status_rows.LimitStatus,
    "clocks": status_rows.ClockStatus,
    "differing": status_rows.DifferingStatus,
    "store_error": status_rows.StoreErrorStatus,
}
SHOWN_IN_UP = {"new", "door", "page", "open link", "open door", "stop"}
"""Kinds of notices that are no lines of `mesh up --json`."""


def first_cells(rows: list[list[str]]) -> list[str]:
    return [name for row in rows for name in quoted(row[0])]


def kinds_in_code() -> Iterator[str]:
    """The kinds of the notices that are made somewhere, as far as they stand there as texts."""
    for path in [*(ROOT / "mesh").rglob("*.py")]:
        if "lab" in path.parts or "bench" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Notice":
                (kind, *_) = node.args
                if isinstance(kind, ast.Constant):
                    yield str(kind.value)


def test_the_table_of_options_has_those_of_up() -> None:
    rows = table(CONFIGURATION, "key")

    assert first_cells(rows) == [option.key for option in up.params if isinstance(option, UpOption)]


def test_the_table_of_limits_has_all_with_their_defaults() -> None:
    rows = table(CONFIGURATION, "limit")

    assert [(quoted(row[0])[0], float(row[1])) for row in rows] == [
        (field.name, float(str(field.default))) for field in fields(Limits)
    ]


def test_the_page_names_the_limits_that_wait_for_a_start() -> None:
    (text,) = re.findall(r"Of the limits those are\n(.*?)\. ", CONFIGURATION.read_text(), re.DOTALL)

    assert set(quoted(text)) == FIXED


def test_the_table_of_events_has_all_kinds_of_notices() -> None:
    listed = set(first_cells(table(JSON, "event")))

    assert {*kinds_in_code(), *LOG_LEVELS, *UPGRADES} - SHOWN_IN_UP - listed == set()
    code = "".join(path.read_text() for path in (ROOT / "mesh").rglob("*.py"))
    assert [kind for kind in listed if f'"{kind}"' not in code] == []


def test_the_table_of_the_status_has_all_its_keys() -> None:
    assert sorted(first_cells(table(JSON, "key of the status"))) == sorted(get_type_hints(Status))


@pytest.mark.parametrize("name", ROWS)
def test_the_table_of_rows_has_all_keys_of(name: str) -> None:
    (keys,) = [row[1] for row in table(JSON, "rows of") if row[0] == f"`{name}`"]

    assert sorted(quoted(keys)) == sorted(get_type_hints(ROWS[name]))


def test_the_guide_says_when_each_state_of_a_peer_applies_with_the_seconds_of_the_code() -> None:
    rows = {quoted(row[0])[0]: row[1] for row in table(JSON, "`state` of a node in `peers`")}
    ping, answer = PEER_PING_MS // 1000, PEER_TIMEOUT_MS // 1000

    assert tuple(rows) == (*STATES, "paused", "cloned")
    assert f"up to {ping + answer} s (a ping after {ping} s, no answer for {answer} s)" in rows["suspect"]
    assert f"for {LOST_SECONDS:.0f} s" in rows["lost"]
    assert (
        f"up to {ping + answer} s: a ping goes out after {ping} s, and {answer} s later" in page("testing").read_text()
    )


def test_the_row_of_show_has_all_keys_of_a_story() -> None:
    (keys,) = [row[1] for row in table(JSON, "command") if row[0] == "`mesh show --json`"]
    nested = {"ms", "until_ms", "via"}

    assert set(quoted(keys)) == {*get_type_hints(EventStory), *nested}


def test_the_table_of_metas_has_all_keys() -> None:
    assert set(first_cells(table(page("order"), "key of the meta"))) == set(get_type_hints(EventMeta))


def test_the_tables_of_commands_have_all() -> None:
    text = page("commands").read_text()

    assert [name for name in app.commands if f"`mesh {name}" not in text] == []


def test_the_table_of_files_has_what_a_home_has() -> None:
    rows = {name: row[2] for row in table(page("store"), "file") for name in quoted(row[0])}
    named = {file for name, file in vars(paths).items() if name.endswith("_FILE")}

    assert named <= set(rows)
    assert {name for name, where in rows.items() if where == "with keys"} == set(backup.NODE_FILES)
    assert {name for name, where in rows.items() if where == "yes"} == {*backup.SHARED_FILES, paths.LOG_FILE}


def test_the_table_of_tables_has_those_of_the_log() -> None:
    listed = first_cells(table(page("store"), "table"))

    assert set(LAYOUT_3.tables) <= set(listed)


def test_the_table_of_messages_has_those_of_the_wire() -> None:
    listed = set(first_cells(table(page("wire"), "message")))

    of_runs = {message.__struct_config__.tag for message in RunMessage.__subclasses__()}
    assert of_runs | set(PEER_MESSAGES) | {"same", "differ"} == listed


def commands_in(path: Path) -> Iterator[list[str]]:
    """The words of the commands of `mesh` that a page has in backticks, or in blocks."""
    prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for line in [*quoted(prose), *"".join(blocks(path, "sh", "console")).splitlines()]:
        found = re.match(r"(\w*\$ |sudo )?mesh (.*)", line.replace("\n", " "))
        if found is not None:
            yield found[2].split()


def mistake_of(given: list[str]) -> str:
    """What is wrong with the names and options of a command."""
    command: click.Command = app
    words = iter(given)
    for word in words:
        options = {
            name: param for param in (*command.params, *app.params) for name in (*param.opts, *param.secondary_opts)
        }
        if word in {"#", "|", ";", "<", ">"} or command.name in {"scenario", "bench"}:
            break
        if word.startswith("--"):
            name, _, value = word.partition("=")
            if name not in {*options, "--help"}:
                return f"mesh {command.name} has no {name}"
            option = options.get(name)
            if isinstance(option, click.Option) and not (value or option.is_flag or isinstance(option.flag_value, str)):
                next(words, None)
        elif isinstance(command, click.Group):
            if word not in command.commands and word.islower():
                return f"{command.name} has no command {word}"
            command = command.commands.get(word, command)
    return ""


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.stem)
def test_the_commands_of_a_page_exist_with_their_options(path: Path) -> None:
    mistakes = [mistake_of(words) for words in commands_in(path)]

    assert [mistake for mistake in mistakes if mistake] == []


def test_no_page_is_too_long_to_read() -> None:
    lengths = {path.stem: len(path.read_text().splitlines()) for path in PAGES}

    assert {name: lines for name, lines in lengths.items() if lines > 200} == {}
    assert len(README.read_text().splitlines()) <= 260


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.stem)
def test_the_links_of_a_page_lead_to_pages(path: Path) -> None:
    links = re.findall(r"\[([^\]]*)\]\(([^):]+)\)", path.read_text())

    assert [link for _, link in links if not (path.parent / link).exists()] == []
    topics = [(text, Path(link).stem) for text, link in links if link.endswith(".md") and path != README]
    assert [text for text, topic in topics if text != topic] == []  # `mesh help` shows the topic in place of the text
