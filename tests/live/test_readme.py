"""The README: its Python examples run as printed, and its commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mesh_process import MESH, ROOT, MeshNode, wait_until

from mesh.lab.live.namespaces import Host, NetLab

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def example(part: str) -> str:
    """The one Python example that has this text."""
    (found,) = [block for block in blocks("python") if part in block]
    return found


TEN_LINES, STATE, DOOR, ROLE, NO_NODE, STORY = (
    example(part) for part in ("till-3", "def apply", "clients_origins", "WavingSync", "LocalPair", "def partition")
)


@pytest.fixture
def lan(netlab: NetLab) -> list[Host]:
    return netlab.hosts(2)


def start(host: Host, code: str, folder: Path) -> subprocess.Popen[str]:
    folder.mkdir()
    (folder / "example.py").write_text(code)
    return host.spawn(
        [sys.executable, "-u", "example.py"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


@pytest.mark.netlab
def test_the_ten_lines_of_python_run(lan: list[Host], tmp_path: Path) -> None:
    example = TEN_LINES

    shown, _ = start(lan[0], example, tmp_path / "till").communicate(timeout=20)

    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    assert "new: sale" in shown
    assert "stored as (" in shown
    assert "1 {'type': 'sale', 'cents': 1250}" in shown


@pytest.mark.netlab
def test_the_ten_lines_of_python_run_in_a_notebook_whose_thread_runs_a_loop(lan: list[Host], tmp_path: Path) -> None:
    cell = f"import asyncio\nasync def cell():\n    exec({TEN_LINES!r}, {{}})\nasyncio.run(cell())\n"

    shown, _ = start(lan[0], cell, tmp_path / "till").communicate(timeout=20)

    assert "1 {'type': 'sale', 'cents': 1250}" in shown


@pytest.mark.netlab
def test_the_view_of_the_readme_runs(lan: list[Host], tmp_path: Path) -> None:
    process = start(lan[0], STATE.replace("timeout=10", "timeout=1"), tmp_path / "till")
    assert process.stdout is not None

    assert process.stdout.readline().startswith("goes on with what it has: ")
    assert process.stdout.readline() == "-1\n"

    sold = ["add", '{"type": "shop/sold", "item": "pear", "change": -1}']
    subprocess.run([*MESH, "--home", str(tmp_path / "till" / "till-1-home"), *sold], check=True, timeout=20)
    assert process.stdout.readline().startswith("sold pear at till-1~")
    process.terminate()
    process.communicate(timeout=20)


@pytest.mark.netlab
def test_the_own_role_of_the_readme_runs(lan: list[Host], tmp_path: Path) -> None:
    example = ROLE
    dialled = example.replace("kitchen", "study").replace('serve={":5000"', f'dial={{"{lan[0].ip}:5000"')
    kitchen = start(lan[0], example, tmp_path / "kitchen")
    assert kitchen.stdout is not None
    kitchen.stdout.readline()  # the prompt: it runs
    study = start(lan[1], dialled, tmp_path / "study")
    assert study.stdout is not None

    heard = kitchen.stdout.readline()
    printed = study.stdout.readline() + study.stdout.readline()  # the prompt too, before, after or within it

    assert heard.startswith("study~") and heard.endswith(" waves\n")
    assert "Enter stops it\n" in printed
    waved = printed.replace("Enter stops it\n", "")
    assert waved.startswith("kitchen~") and waved.endswith(" waves\n")
    for process in (kitchen, study):
        process.communicate("\n", timeout=20)
        assert process.returncode == 0


def test_the_own_role_of_the_readme_has_at_most_twenty_lines() -> None:
    role = ROLE.partition("class ")[2].partition("\n\n\n")[0]

    assert "WavingSync(BaseSync)" in role
    assert len(role.splitlines()) <= 20


def membership() -> list[tuple[str, list[str], str]]:
    """From the start of the node that invites to a revocation: each command with its options, and what it prints."""
    found = re.findall(r"^\$ mesh (\w+) ?(.*)\n((?:[^$\n].*\n)*)", "\n".join(blocks("console")), re.MULTILINE)
    about = [
        (name, line.split(), printed) for name, line, printed in found if name in {"up", "invite", "join", "revoke"}
    ]
    names = [name for name, *_ in about]
    return about[names.index("invite") - 1 : names.index("revoke") + 1]


def without_marks(text: str) -> str:
    """Without what differs from run to run: the hashes in node ids, the symbols of codes."""
    return re.sub(r"\b[0-9A-Z]{5}\b", "", re.sub(r"~[a-z2-7]{16}", "~", text))


def test_a_mesh_is_made_joined_and_a_node_revoked_as_printed(tmp_path: Path) -> None:
    """On two machines that share an address, so that of the first node is given."""
    kitchen, study = (MeshNode(tmp_path / name, is_open=False) for name in ("kitchen", "study"))
    node, code, port = kitchen, "", 0
    try:
        for name, given, printed in membership():
            options = given
            if name == "up":
                peer = ["--peer", f"127.0.0.1:{port}"] if port else []
                port = node.up(*options, "--no-mdns", "--listen", "127.0.0.1:0", *peer)["port"]
                continue
            if name == "join":
                node = study
                options = [*options[:-1], "--peer", f"127.0.0.1:{port}", code]
            elif name == "revoke":
                study.ask("wait", "--timeout", "20")
                node = kitchen
            said = node.ask(name, *options)
            assert without_marks(said) == without_marks(printed)
            code = said.strip() if name == "invite" else code
        wait_until(lambda: kitchen.peers()[0]["session"] is None, 10, "the end of the session")
        wait_until(lambda: any("(revoked by " in row["text"] for row in study.notices()), 10, "the sentence")
    finally:
        for node in (kitchen, study):
            node.kill()


@pytest.mark.netlab
def test_the_filters_of_the_clients_door_start(lan: list[Host], tmp_path: Path) -> None:
    node = start(lan[0], DOOR, tmp_path / "kitchen")
    assert node.stdout is not None

    prompt = node.stdout.readline()
    node.communicate("\n", timeout=20)

    assert prompt == "Enter stops it\n"
    assert node.returncode == 0


def test_the_roles_alone_synchronize(tmp_path: Path) -> None:
    example = tmp_path / "example.py"
    example.write_text(NO_NODE)

    done = subprocess.run(
        [sys.executable, str(example)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )

    assert done.stdout == "synchronized ada:1 [{'type': 'hello'}]\n"


def test_the_scenario_is_one_that_is_shipped() -> None:
    *story, last = STORY.splitlines()
    script = (ROOT / "scenarios/partition.py").read_text().splitlines()

    assert [line for line in story if line not in script] == []
    assert last == "partition.main()"


def test_the_scenario_runs_as_printed(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(STORY)

    done = subprocess.run(
        [sys.executable, "example.py", "--seed", "7"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "the wall is down  kitchen 2  study 2  attic 2" in done.stdout


def test_every_command_it_names_exists() -> None:
    named = set(re.findall(r"`(?:\$ )?mesh (?:--home \S+ )?([a-z]+)", README)) | {"add", "log", "peers"}
    known = subprocess.run([*MESH, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True).stdout

    assert {"up", "status", "stop", "retry"} <= named
    assert [name for name in sorted(named) if not re.search(rf"^  {name} ", known, re.MULTILINE)] == []


def test_the_test_command_of_the_readme_is_what_ci_runs() -> None:
    commands = blocks("sh")[0]
    ci = (ROOT / ".ci/run").read_text()

    assert "pip install -e '.[test]'" in commands and "pytest" in commands
    assert "-e '.[test]'" in ci and "-m pytest" in ci
