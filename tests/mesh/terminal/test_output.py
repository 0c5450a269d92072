"""Text of other nodes cannot control the terminal, break a line, or turn its direction, as text and as JSON."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.node.up import JsonReport, LineWriter, TextReport, one_line_log
from mesh.errors import printable
from mesh.membership.actions import Notice
from mesh.notices import log_notice
from mesh.terminal.output import complain, json_line, printable_json
from mesh.terminal.tables import Names, show_event, show_peers

EVIL = "a\x1b[2J\n\r\x7f\x85\x9b31m\u061c\u200b\u200d\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\U000e0041b"
SHOWN = printable(EVIL)


def test_whatever_is_no_letter_mark_or_sign_is_escaped() -> None:
    assert SHOWN.isprintable()
    assert SHOWN.startswith("a\\x1b[2J\\n\\r\\x7f\\x85\\x9b31m\\u061c\\u200b\\u200d\\u200e")
    assert printable("Küche – кухня – 厨房") == "Küche – кухня – 厨房"


@given(st.recursive(st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)))
def test_json_stays_the_same_value_on_one_line_without_control_characters(value: object) -> None:
    line = json_line({"text": [EVIL, value]})

    assert line.decode().isprintable()
    assert json.loads(line) == {"text": [EVIL, value]}
    assert printable_json(line) == line


@pytest.mark.parametrize("as_json", [False, True])
def test_a_notice_is_one_line_of_mesh_up(tmp_path: Path, as_json: bool) -> None:
    with (tmp_path / "printed").open("wb") as file:
        writer = LineWriter(file.fileno())
        report = JsonReport(writer) if as_json else TextReport(writer, now=lambda: datetime(2026, 1, 1))
        report.notice(Notice("note", EVIL, EVIL))
        writer.close()

    (line,) = (tmp_path / "printed").read_text().splitlines()
    assert line.isprintable()
    assert (json.loads(line)["text"] == EVIL) if as_json else (SHOWN in line)


def test_a_notice_and_a_record_of_a_module_are_one_line_of_a_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    log_notice(Notice("cloned", None, EVIL))
    handler = one_line_log()
    record = logging.LogRecord("mesh.x", logging.ERROR, "x", 1, "%s", (EVIL,), None)
    complain(EVIL)

    assert caplog.messages == [SHOWN]
    assert handler.format(record).isprintable()
    assert capsys.readouterr().err == f"{SHOWN}\n"


def test_an_event_and_a_peer_are_one_line_for_people() -> None:
    item = json.dumps({"event": {"type": EVIL, EVIL: EVIL}, "meta": {"time": 0, "created": [0, EVIL, 0]}}).encode()
    peer = {"node_id": EVIL, "state": EVIL, "session": EVIL, "restarts": 0, "addresses": [EVIL], "reason": EVIL}

    lines = [show_event(item, Names()), *show_peers([peer]).splitlines()]

    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
