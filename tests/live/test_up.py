"""`mesh up` as a process: what it prints, how it stops, and when it does not start."""

from __future__ import annotations

import json
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import arguments, environment
from tests.support.forked_process import ForkedProcess, run_forked

DEADLINE_SECONDS = 15.0
LOCAL = ("--open", "--no-mdns", "--listen", "127.0.0.1:0")
OPEN_LINK = "anyone who reaches its port can read and write this log"
Start = Callable[..., subprocess.Popen[str]]


def run(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return run_forked(arguments(home, *args), text=True, timeout=DEADLINE_SECONDS, env=environment())


@pytest.fixture
def up() -> Iterator[Start]:
    """Start `mesh up`; processes that still run at the end are killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(home: Path, *args: str) -> subprocess.Popen[str]:
        process = ForkedProcess(
            arguments(home, "up", *LOCAL, *args),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()  # pytest's own timeout ends this
    assert line, process.stderr.read()
    return line.rstrip("\n")


def next_event(process: subprocess.Popen[str]) -> dict[str, object]:
    event: dict[str, object] = json.loads(next_line(process))
    return event


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code, and the rest of standard output and standard error."""
    assert process.stdout is not None
    assert process.stderr is not None
    # Not communicate: it does not know what readline has read ahead.
    out, err = process.stdout.read(), process.stderr.read()
    return process.wait(DEADLINE_SECONDS), out, err


def test_prints_where_it_listens_that_links_are_open_and_that_it_stopped(tmp_path: Path, up: Start) -> None:
    node = up(tmp_path, "--name", "kitchen", "--mesh", "cabin")

    made, first, warning = next_line(node), next_line(node), next_line(node)
    node.send_signal(signal.SIGINT)
    code, rest, complaints = ended(node)

    found = re.fullmatch(
        r"\d\d:\d\d:\d\d  (kitchen~\w{16}) is up in mesh cabin: it listens on port (\d+), its home is (.*)", first
    )
    assert found is not None
    assert found[3] == str(tmp_path)
    new_home = rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  made a new home in {tmp_path}: a new node, {found[1]}"
    assert re.fullmatch(new_home, made)
    assert warning.startswith("warning: ")
    assert warning.endswith(OPEN_LINK)
    assert (code, complaints) == (0, "")
    assert re.fullmatch(rf"\d\d:\d\d:\d\d  {found[1]} stopped\n", rest)


def test_prints_the_same_as_json_lines(tmp_path: Path, up: Start) -> None:
    before_ms = time.time() * 1000
    node = up(tmp_path, "--name", "kitchen", "--json")

    first = next_event(node)
    node.send_signal(signal.SIGTERM)
    code, rest, complaints = ended(node)

    assert list(first) == ["time", "event", "node_id", "mesh", "port", "home", "new", "doors", "page"]
    assert (first["event"], first["mesh"], first["home"], first["new"]) == ("up", "home", str(tmp_path), True)
    node_id, last = first["node_id"], json.loads(rest)
    assert before_ms - 1 <= first["time"] <= last.pop("time") <= time.time() * 1000 + 1
    assert last == {"event": "stopped", "node_id": node_id, "text": f"{node_id} stopped"}
    assert code == 0
    assert complaints.endswith(f"{OPEN_LINK}\n")
    assert len(complaints.splitlines()) == 1


def test_with_existing_a_node_starts_only_if_its_home_is_there(tmp_path: Path, up: Start) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()

    code, out, complaint = ended(up(disk, "--existing"))
    assert (code, out) == (1, "")
    assert complaint.startswith(
        f"there is no home of a node in {disk}: join a mesh with `mesh --home {disk} join CODE` first"
    )
    assert list(disk.iterdir()) == []

    first = up(disk, "--json")
    assert next_event(first)["new"] is True
    first.terminate()
    ended(first)

    assert next_event(up(disk, "--existing", "--json"))["new"] is False


def test_prints_each_notice_once(tmp_path: Path, up: Start) -> None:
    node = up(tmp_path, "--peer", "127.0.0.1:1")
    while "cannot reach 127.0.0.1:1" not in next_line(node):
        pass
    node.terminate()

    assert ended(node)[2] == ""


def test_two_nodes_connect_share_an_event_and_disconnect(tmp_path: Path, up: Start) -> None:
    kitchen = up(tmp_path / "kitchen", "--name", "kitchen", "--json")
    first = next_event(kitchen)
    study = up(tmp_path / "study", "--name", "study", "--peer", f"127.0.0.1:{first['port']}")
    assert "a new node, study~" in next_line(study)
    assert "study~" in next_line(study)
    assert OPEN_LINK in next_line(study)
    met = [next_event(kitchen), next_event(kitchen)]

    run(tmp_path / "study", "add", '{"type": "milk"}')
    command = arguments(tmp_path / "kitchen", "log", "-f")
    follower = ForkedProcess(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment())
    assert select.select([follower.stdout], [], [], DEADLINE_SECONDS)[0]
    shared = follower.stdout.readline()
    stopped = run(tmp_path / "study", "stop")
    parting = next_event(kitchen)
    follower.kill()
    follower.communicate()

    assert [event["event"] for event in met] == ["connected", "synchronized"]
    assert str(met[0]["node_id"]).startswith("study~")
    assert str(met[0]["text"]).startswith("connected to study~")
    assert shared.split()[2:] == ["study", "milk"]
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "", "")
    assert (parting["event"], parting["node_id"]) == ("left", met[0]["node_id"])
    lines = ended(study)[1].splitlines()
    assert [re.sub(r"^\S+  (\S+ \S+).*$", r"\1", line) for line in lines][:2] == [
        "connected to",
        "synchronized with",
    ]
    assert lines[-1].endswith(" stopped")


def test_stop_returns_when_the_home_is_free_again(tmp_path: Path, up: Start) -> None:
    first = next_event(up(tmp_path, "--json"))

    stopped = run(tmp_path, "stop")
    again = next_event(up(tmp_path, "--json"))

    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert again["node_id"] == first["node_id"]


def test_finds_its_log_after_a_restart(tmp_path: Path, up: Start) -> None:
    first_run = up(tmp_path, "--json")
    next_event(first_run)
    run(tmp_path, "add", '{"type": "milk"}')
    first_run.terminate()
    ended(first_run)

    next_event(up(tmp_path, "--json"))

    assert run(tmp_path, "log").stdout.split()[-1] == "milk"


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path, up: Start) -> None:
    kitchen = up(tmp_path / "kitchen", "--name", "kitchen", "--json")
    first = next_event(kitchen)
    study = up(tmp_path / "study", "--name", "study", "--json", "--peer", f"127.0.0.1:{first['port']}")
    while next_event(study)["event"] != "synchronized":
        pass
    kitchen.send_signal(signal.SIGSTOP)  # so that the goodbye takes long

    study.send_signal(signal.SIGINT)
    while handles_interrupts(study.pid):
        time.sleep(0.005)
    study.send_signal(signal.SIGINT)

    assert ended(study)[0] == -signal.SIGINT
    kitchen.send_signal(signal.SIGCONT)


def handles_interrupts(pid: int) -> bool:
    """Whether a process has a handler of its own for SIGINT."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    caught = re.search(r"^SigCgt:\s*(\w+)$", status, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) & 1 << signal.SIGINT - 1)


def test_goes_on_when_its_output_is_not_read(tmp_path: Path, up: Start) -> None:
    node = up(tmp_path, "--json")
    next_event(node)
    assert node.stdout is not None
    node.stdout.close()
    other = up(
        tmp_path / "other", "--peer", f"127.0.0.1:{json.loads(run(tmp_path, 'status', '--json').stdout)['port']}"
    )
    while "synchronized" not in next_line(other):
        pass

    other.terminate()
    other.wait(DEADLINE_SECONDS)

    assert json.loads(run(tmp_path, "peers", "--json").stdout)[0]["state"] == "left"


def test_a_second_node_does_not_start_in_the_same_home(tmp_path: Path, up: Start) -> None:
    next_event(up(tmp_path, "--json"))

    code, out, complaint = ended(up(tmp_path))

    assert (code, out) == (1, "")
    assert complaint.startswith(f"a node runs in {tmp_path} already (process ")
    assert len(complaint.splitlines()) == 1


def test_does_not_start_where_the_port_is_taken(tmp_path: Path, up: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        code, out, complaint = ended(up(tmp_path, "--listen", f"127.0.0.1:{port}"))

    assert (code, out) == (1, "")
    assert complaint.startswith(
        f"127.0.0.1:{port} is in use on this machine: stop the program that uses it, or choose "
    )


@pytest.mark.parametrize("option", ["--name", "--mesh"])
def test_does_not_start_with_another_name_than_that_of_the_home(tmp_path: Path, up: Start, option: str) -> None:
    first = up(tmp_path, "--json")
    next_event(first)
    first.terminate()
    ended(first)

    code, out, complaint = ended(up(tmp_path, option, "other"))

    assert (code, out) == (1, "")
    assert complaint.startswith(f"this home's {option[2:]} is ")


def test_does_not_start_on_a_damaged_log_and_does_not_change_it(tmp_path: Path, up: Start) -> None:
    (tmp_path / "log.sqlite").write_bytes(b"not a log" * 1000)

    code, out, complaint = ended(up(tmp_path))

    assert (code, out) == (1, "")
    assert len(complaint.splitlines()) == 1
    assert "log.sqlite" in complaint
    assert (tmp_path / "log.sqlite").read_bytes() == b"not a log" * 1000


def test_does_not_start_in_a_home_that_is_no_folder(tmp_path: Path, up: Start) -> None:
    home = tmp_path / "file"
    home.write_text("")

    code, out, complaint = ended(up(home))

    assert (code, out) == (1, "")
    assert complaint.startswith(f"the home {home} cannot be used: ")
