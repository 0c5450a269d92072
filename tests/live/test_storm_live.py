"""A storm over real processes: members of a mesh write, are stopped and are killed; then they agree on log and views."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mesh.lab.live.homes import FoundedMesh
from tests.support.street import free_port

SECONDS = 60.0
SIZES = (1, 20, 700)
SCRIPT = Path(__file__).with_name("storm_node.py")


class StormProcess:
    """One member: its home stays, and its process is started again and again."""

    def __init__(self, home: Path, address: str, peers: list[str]) -> None:
        self._home, self._address, self._peers = home, address, peers
        self.process: subprocess.Popen[str] | None = None

    def start(self, seed: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT, self._home, self._home.name, str(seed), self._address, *self._peers],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.answer()

    def tell(self, command: str, **options: Any) -> None:
        assert self.process is not None and self.process.stdin is not None
        print(json.dumps([command, options]), file=self.process.stdin, flush=True)

    def answer(self) -> Any:
        assert self.process is not None and self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        if self.process is not None:
            with self.process:
                self.process.kill()
            self.process = None


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[StormProcess]]:
    mesh = FoundedMesh()
    addresses = {f"n{number}": f"127.0.0.1:{free_port()}" for number in range(3)}
    for name in addresses:
        mesh.make_home(tmp_path / name, name)
    found = [
        StormProcess(tmp_path / name, address, [other for other in addresses.values() if other != address])
        for name, address in addresses.items()
    ]
    yield found
    for member in found:
        member.kill()


@pytest.mark.parametrize("rounds", [24, pytest.param(600, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def test_members_that_are_stopped_and_killed_while_they_write_agree(members: list[StormProcess], rounds: int) -> None:
    random = Random(rounds)
    for member in members:
        member.start(random.getrandbits(32))

    for number in range(rounds):
        member = random.choice(members)
        fate = random.random()
        member.tell("write", events=random.choice(SIZES), key=f"{number}")
        if fate < 0.1:
            time.sleep(random.random() * 0.2)  # somewhere in the write
            member.kill()
            member.start(random.getrandbits(32))
        elif fate < 0.2:
            assert member.process is not None
            member.process.send_signal(signal.SIGSTOP)
            others = [other for other in members if other is not member]
            for other in others:
                other.tell("write", events=20, key=f"{number} meanwhile")
            for other in others:
                other.answer()
            member.process.send_signal(signal.SIGCONT)
            member.answer()
        else:
            member.answer()

    for member in members:
        member.tell("agree", peers=2, seconds=SECONDS)
    found = [member.answer() for member in members]
    assert found[0]["shown"] > rounds
    assert found == [found[0]] * 3
