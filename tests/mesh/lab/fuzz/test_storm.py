"""Random scripts of all faults and writes: none breaks a promise, each can be repeated, and a failing one is shortened."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from mesh.lab.fuzz.player import VERBS
from mesh.lab.fuzz.script import Script, draw, step
from mesh.lab.fuzz.shrinking import Shrinking
from mesh.lab.fuzz.storm import main, play, read_nodes, run_storms, shrink, storm, storm_table
from peers.codec.messages import Synced
from peers.codec.run_messages import Pieces
from peers.events.entry import Entry
from peers.roles.run_peer import RunPeerSync
from tests.support.root import ROOT

STORMS = int(os.environ.get("STORMS", "30"))
"""How many are played: `STORMS=1000` for a night."""
HASHES = """
junk = [object() for _ in range({junk})]
from dataclasses import replace
from typing import Any
from mesh.lab.fuzz.script import draw
from mesh.lab.fuzz.storm import play
scripts = [replace(draw(seed, minutes=1), store="{store}") for seed in range(4)]
print(*[play(script, seed, traces=True).trace_hash for seed, script in enumerate(scripts)])
"""


def hashes(hash_seed: str, *, junk: int, store: str = "memory") -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HASHES.format(junk=junk, store=store)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("first", range(0, STORMS, 10))
def test_no_storm_breaks_a_promise(first: int) -> None:
    outcomes = run_storms(range(first, min(first + 10, STORMS)), minutes=1, processes=1)

    assert [f"seed {each.seed}: {each.failure}" for each in outcomes if each.failure is not None] == []


def test_storms_draw_every_verb() -> None:
    drawn = {each.verb for seed in range(40) for each in draw(seed).steps}

    assert drawn == set(VERBS)


def test_every_verb_has_a_row_of_its_own_in_the_table() -> None:
    outcome = replace(play(Script(("attic",), "air", ()), 1), verbs=dict.fromkeys(VERBS, 1))

    rows = [line for line in storm_table([outcome], 1.0).splitlines() if line.startswith("  ")]

    assert len(rows) == len(VERBS) - 1  # all but `wait`


def test_a_share_of_storms_is_played_on_real_files_and_a_share_with_clients() -> None:
    scripts = [draw(seed, minutes=0.1) for seed in range(200)]

    assert 15 <= sum(script.store == "sqlite" for script in scripts) <= 45
    assert 40 <= sum(bool(script.clients) for script in scripts) <= 80


def test_the_same_seed_on_real_files_gives_the_same_storm_in_other_processes() -> None:
    one = hashes("1", junk=0, store="sqlite")
    other = hashes("77", junk=100_001, store="sqlite")

    assert len(set(one.split())) == 4
    assert one == other


def test_the_same_seed_gives_the_same_storm_in_other_processes_whatever_their_hash_seeds_and_heaps() -> None:
    one = hashes("1", junk=0)
    other = hashes("77", junk=100_001)

    assert len(set(one.split())) == 4
    assert one == other


def test_many_processes_give_the_same_outcomes_as_one() -> None:
    alone = list(run_storms(range(4), nodes=(3, 4), minutes=0.5, processes=1))
    shared = list(run_storms(range(4), nodes=(3, 4), minutes=0.5, processes=2))

    assert alone == shared
    assert len({outcome.trace_hash for outcome in alone}) == 4


def test_a_script_can_be_kept_as_python() -> None:
    script = draw(5, minutes=1)

    copy = eval(script.source(), {"Script": Script, "step": step})  # it is our own

    assert copy == script
    assert play(copy, 5).trace_hash == play(script, 5).trace_hash


def test_a_step_that_makes_no_sense_is_left_out() -> None:
    script = Script(
        ("attic", "bath"),
        "air",
        (
            step("restart", "attic"),
            step("thaw", "bath"),
            step("write", "cellar", 1),
            step("restore", "bath", "attic"),
            step("write", "attic", 1),
        ),
    )

    outcome = play(script, 1)

    assert outcome.failure is None
    assert outcome.verbs == {"write": 1}
    assert outcome.events == 1


def deaf_to_cellar(patch: pytest.MonkeyPatch) -> None:
    """Break the code: no node sends what the cellar wrote."""
    send = RunPeerSync.send

    def is_of_cellar(message: Any) -> bool:
        pieces = message.pieces if isinstance(message, Pieces) else ()
        items = [item for piece in pieces for item in piece.items]
        return any(isinstance(item, Entry) and item.created[1].startswith("cellar") for item in items)

    def send_others(self: RunPeerSync, message: Any) -> None:
        if not is_of_cellar(message):
            send(self, message)

    patch.setattr(RunPeerSync, "send", send_others)


def test_a_failing_storm_is_shortened_to_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf_to_cellar(monkeypatch)
    failing = next(outcome for seed in range(20) if (outcome := storm(seed, minutes=1)).failure is not None)

    short = shrink(failing)

    assert short.failure is not None
    assert short.script.steps == (step("write", "cellar", 1),)
    assert len(short.script.rooms) == 2


def test_a_script_that_fails_in_memory_too_is_shown_without_files_and_with_a_plain_crash() -> None:
    crash = step("crash", "attic", 5)
    script = Script(("attic", "bath"), "air", (crash, step("wait", 1.0)), (), "sqlite")

    def fails(smaller: Script) -> bool:
        return any(each.verb == "crash" for each in smaller.steps)

    short = Shrinking(fails).shrink(script)

    assert short == Script(("attic",), "air", (step("crash", "attic"),))


def test_shrinking_plays_no_more_often_than_allowed() -> None:
    script = draw(1)
    played: list[Script] = []

    def fails(smaller: Script) -> bool:
        played.append(smaller)
        return False

    assert Shrinking(fails, max_plays=25).shrink(script) == script
    assert len(played) == 25


def test_the_short_script_is_printed_as_a_test_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deaf_to_cellar(monkeypatch)

    code = main(seed=0, seeds=8, nodes=(3, 3), minutes=0.5, processes=1)

    printed = capsys.readouterr().out
    seed = next(line for line in printed.splitlines() if line.startswith("seed ")).split()[1].rstrip(":")
    assert code == 1
    assert f"replay: mesh scenario storm --seed {seed} --seeds 1 --nodes 3..3 --minutes 0.5" in printed
    kept: dict[str, object] = {}
    source = printed[printed.index("from mesh.lab.fuzz.script") :].partition("\n\n\nseed ")[0].partition("\nseed ")[0]
    exec(source, kept)  # it is our own
    test = kept[f"test_a_storm_found_with_seed_{seed}"]
    assert callable(test)
    with pytest.raises(AssertionError):
        test()


def test_many_storms_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(seed=3, seeds=3, nodes=(3, 3), minutes=0.2, processes=1)

    table = capsys.readouterr().out
    rows = dict(line.rsplit(maxsplit=1) for line in table.splitlines())
    assert code == 0
    assert rows["runs"] == "3"
    assert rows["violations"] == "0"
    assert int(rows["events acknowledged"]) > 0


def test_an_error_of_the_product_is_a_failure_of_the_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    send = RunPeerSync.send

    def broken(self: RunPeerSync, message: Any) -> None:
        if isinstance(message, Synced):
            raise KeyError("a bug")
        send(self, message)

    monkeypatch.setattr(RunPeerSync, "send", broken)

    outcome = play(Script(("attic", "bath"), "air", (step("write", "attic", 1), step("wait", 100.0))), 1)

    assert outcome.failure is not None
    assert "a bug" in outcome.failure


@pytest.mark.parametrize(("text", "nodes"), [("3..9", (3, 9)), ("4", (4, 4))])
def test_a_number_of_nodes_is_one_or_a_range(text: str, nodes: tuple[int, int]) -> None:
    assert read_nodes(text) == nodes


@pytest.mark.parametrize("text", ["", "9..3", "0", "3..99", "many"])
def test_another_number_of_nodes_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of nodes: write one from 1 to 9"):
        read_nodes(text)
