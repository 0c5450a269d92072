"""The commands as processes: started as a user starts them, and forked, as most tests have them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mesh import Node
from tests.support.commands import DEADLINE_SECONDS, arguments, environment, next_line, run, start
from tests.support.forked_process import ForkedProcess

SCRIPT = Path(sys.executable).with_name("mesh")
UP = ("up", "--open", "--no-mdns", "--listen", "127.0.0.1:0")


@pytest.mark.skipif(not SCRIPT.exists(), reason="the project is not installed")
def test_the_script_runs_a_node_and_asks_it(tmp_path: Path) -> None:
    given = environment(MESH_HOME=str(tmp_path))
    with subprocess.Popen([SCRIPT, *UP, "--json"], env=given, stdout=subprocess.PIPE) as node:
        try:
            first = json.loads(next_line(node))
            added = subprocess.check_output([SCRIPT, "add", '{"type": "milk"}'], env=given, timeout=DEADLINE_SECONDS)
            subprocess.check_call([SCRIPT, "stop"], env=given, timeout=DEADLINE_SECONDS)
        except BaseException:
            node.kill()
            raise

    assert first["event"] == "up"
    assert json.loads(added)["created"][1] == first["node_id"]
    assert node.returncode == 0


@pytest.mark.parametrize(
    ("command", "given"),
    [
        (("add", "-"), b"nonsense\n\xff"),
        (("status", "--json"), b""),
        (("up", "--name", "a b"), b""),
    ],
)
def test_a_forked_command_says_what_a_started_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], given: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    called = arguments(Path("home"), *command)
    with Node("kitchen", home=tmp_path / "home", listen="127.0.0.1:0", open=True, mdns=False):
        started = subprocess.run(
            called, input=given, capture_output=True, timeout=DEADLINE_SECONDS, env=environment(), check=False
        )
        forked = run(Path("home"), *command, given=given)

    said = [(done.returncode, done.stdout, done.stderr) for done in (started, forked)]
    if command[0] == "status":
        said = [(code, json.loads(out)["node_id"], err) for code, out, err in said]
    assert said[0] == said[1]


def test_a_forked_command_has_the_process_group_umask_and_variables_of_its_call(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        own = start(tmp_path / "own", *UP, "--json", env=environment(MESH_NAME="kitchen"))
    finally:
        os.umask(before)
    apart = start(tmp_path / "apart", *UP, "--json", start_new_session=True)
    with own, apart:
        names = [json.loads(next_line(node))["node_id"].partition("~")[0] for node in (own, apart)]
        groups = [os.getpgid(node.pid) for node in (own, apart)]
        umask = Path(f"/proc/{own.pid}/status").read_text().partition("Umask:\t")[2][:4]
        own.send_signal(signal.SIGINT)
        apart.kill()

    assert names[0] == "kitchen"
    assert groups == [os.getpgrp(), apart.pid]
    assert umask == "0027"
    assert (own.returncode, apart.returncode) == (0, -signal.SIGKILL)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ([sys.executable, "-c", "pass"], {}),
        (arguments(Path("home"), "help"), {"env": environment(PYTHONWARNINGS="error")}),
        (arguments(Path("home"), "help"), {"env": environment(), "process_group": 0}),
    ],
)
def test_what_a_fork_cannot_do_is_started(command: list[str], options: dict[str, object]) -> None:
    with ForkedProcess(command, stdout=subprocess.PIPE, **options) as process:
        parent = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()[1])
        process.communicate(timeout=DEADLINE_SECONDS)

    assert (parent, process.returncode) == (os.getpid(), 0)
