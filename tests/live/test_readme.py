"""The README: its Python examples run as printed; those of the guide that need a node or a process, too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mesh_process import MESH, ROOT

from mesh import MeshError, Node
from mesh.lab.live.namespaces import Host, NetLab
from tests.support.guide import README, blocks, example, page

TEN_LINES, TILLS, STATE, ROLE, STORY = (
    example(README, part) for part in ("till-3", "till_2", "def apply", "WavingSync", "def partition")
)
DOOR = example(page("browser"), "clients_origins")
SHOP = page("fastapi")
ASKS = """
from urllib.error import HTTPError
from urllib.request import Request, urlopen

shop = "http://127.0.0.1:8000"
sale = Request(f"{shop}/sales/17?item=apple", method="POST")
for _ in range(2):
    print(urlopen(sale).read().decode())
try:
    urlopen(Request(f"{shop}/sales/17?item=pear", method="POST"))
except HTTPError as error:
    print(error.code)
print(urlopen(f"{shop}/stock").read().decode())
print(urlopen(f"{shop}/sales").readline().decode().strip())
"""
"""A sale, the same again, another one with its number; the stock, and the first sale of all."""


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
def test_the_two_tills_without_multicast_meet(lan: list[Host], tmp_path: Path) -> None:
    invite, join = blocks(README, "sh")[1].replace("mesh ", f"{sys.executable} -m mesh ").splitlines()
    played = f"""
import subprocess
with till_1:
    code = subprocess.check_output({invite!r}, shell=True, text=True)
    subprocess.run({join!r}.replace("CODE", code.strip()), shell=True, check=True)
    with till_2:
        till_2.log.add({{"type": "sale"}}).get()
        till_1.synchronized(timeout=20).get()
        print([event["type"] for event, _ in till_1.log.each()])
"""

    shown, _ = start(lan[0], f"{TILLS}{played}", tmp_path / "tills").communicate(timeout=40)

    assert shown.endswith("['sale']\n")
    with pytest.raises(MeshError, match=r"`mesh --home .* join --name till-2 CODE` first"):
        Node("till-2", home=tmp_path / "till-2", existing=True).start()


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


@pytest.mark.netlab
def test_the_filters_of_the_clients_door_start(lan: list[Host], tmp_path: Path) -> None:
    node = start(lan[0], DOOR, tmp_path / "kitchen")
    assert node.stdout is not None

    prompt = node.stdout.readline()
    node.communicate("\n", timeout=20)

    assert prompt == "Enter stops it\n"
    assert node.returncode == 0


@pytest.mark.netlab
def test_the_shop_of_the_guide_serves_what_it_says(lan: list[Host], tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(blocks(SHOP, "python")[0])
    serve = re.search(r"^uvicorn (.*?) +#", blocks(SHOP, "sh")[0], re.MULTILINE)
    assert serve is not None
    environment = {"PYTHONPATH": str(ROOT)}
    shop = lan[0].spawn([sys.executable, "-m", "uvicorn", *serve[1].split()], cwd=tmp_path, env=environment)

    try:
        deadline = time.monotonic() + 20
        while "Uvicorn running" not in shop.stderr_text():
            assert time.monotonic() < deadline and shop.poll() is None, shop.stderr_text()
            time.sleep(0.05)
        done = lan[0].run([sys.executable, "-c", ASKS], timeout=20)
    finally:
        shop.terminate()
        shop.communicate(timeout=20)

    assert done.stdout.splitlines() == ['{"left":-1}', '{"left":-1}', "409", '{"apple":-1}', "data: apple"]


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


def test_the_test_command_of_the_readme_is_what_ci_runs() -> None:
    commands = blocks(README, "sh")[0]
    ci = (ROOT / ".ci/run").read_text()

    assert "pip install -e '.[test]'" in commands and "pytest" in commands
    assert "-e '.[test]'" in ci and "-m pytest" in ci
