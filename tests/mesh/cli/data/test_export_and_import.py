"""`mesh export` and `mesh import` in a shell: what goes out comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mesh import Node
from mesh.control.archive import log_reader
from mesh.settings.home import Home
from tests.support.commands import run
from tests.support.mesh_of_homes import homes_of_one_mesh
from tests.support.street import SECONDS, wait_until


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with opened(tmp_path / "home") as made:
        made.log.add({"type": "milk", "litres": 2}, {"reasons": ["shop"], "indexes": ["list"], "by": "ada"}).get(
            SECONDS
        )
        made.log.add({"type": "bread"}, {"time": 1_000}).get(SECONDS)
        yield made


def opened(home: Path, **options: Any) -> Node:
    return Node("kitchen", home=home, listen="127.0.0.1:0", mdns=False, **{"open": True, **options})


def resealed(archive: bytes) -> bytes:
    """As a forger makes it, who changes an archive and knows its format."""
    content = archive[: archive.rindex(b"end ")]
    return content + b"end %b\n" % sha256(content).hexdigest().encode()


def lines_of(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(home, "log", "--json").stdout.splitlines()]


def log_of(home: Path) -> tuple[Any, Any]:
    """Order, events and metas but `added`; and the vector, whose heads stand for all signed entries."""
    events = [(line["event"], line["meta"] | {"added": 0}) for line in lines_of(home)]
    reader = log_reader(home)
    reader.open()
    try:
        return events, {epoch: (end, reader.signature(epoch)) for epoch, end in reader.ends().items()}
    finally:
        reader.close()


def test_lines_are_those_of_the_log_of_a_running_and_of_a_stopped_node(node: Node, tmp_path: Path) -> None:
    file, later = tmp_path / "a.jsonl", tmp_path / "b.jsonl"

    done = run(node.home, "export", str(file))
    printed = run(node.home, "export", "-", "--type", "milk")
    node.stop()
    again = run(node.home, "export", "--json", str(later))

    assert done.stdout.decode() == f"{file}: 2 events, {file.stat().st_size} bytes\n"
    assert file.read_bytes() == run(node.home, "log", "--json").stdout == later.read_bytes()
    assert json.loads(printed.stdout)["event"] == {"type": "milk", "litres": 2}
    assert json.loads(again.stdout) == {
        "file": str(later),
        "is_archive": False,
        "count": 2,
        "bytes": later.stat().st_size,
    }


@pytest.mark.parametrize("is_running", [True, False])
def test_lines_become_new_events_once_however_often_they_are_imported(
    node: Node, tmp_path: Path, is_running: bool
) -> None:
    file, other = tmp_path / "a.jsonl", tmp_path / "other"
    run(node.home, "export", str(file))
    with opened(other) as second:
        second_id = second.node_id
        if not is_running:
            second.stop()
        done = [run(other, "import", str(file)) for _ in range(2)]

    assert [each.stdout.decode() for each in done] == [
        f"{file}: 2 events, of which 2 are new here\n",
        f"{file}: 2 events, of which 0 are new here\n",
    ]
    bread, milk = lines_of(other)
    assert (bread["event"], bread["meta"]["time"]) == ({"type": "bread"}, 1_000)
    assert milk["meta"]["reasons"] == ["shop"]
    assert milk["meta"]["indexes"] == ["list"]
    assert milk["meta"]["by"] == "ada"
    assert milk["meta"]["origin"] == second_id != node.node_id


def test_what_is_undone_stays_undone_as_lines(node: Node, tmp_path: Path) -> None:
    meta = node.log.add({"type": "typo"}).get(SECONDS)
    node.log.undo(meta, "typed twice").get(SECONDS)
    run(node.home, "export", str(tmp_path / "a.jsonl"))
    with opened(tmp_path / "other"):
        pass

    for _ in range(2):
        assert run(tmp_path / "other", "import", str(tmp_path / "a.jsonl")).returncode == 0

    assert [line["event"]["type"] for line in lines_of(tmp_path / "other") if line.get("undone")] == ["typo"]
    assert len(lines_of(tmp_path / "other")) == 4


def test_the_last_of_two_writers_both_stay_when_their_lines_become_events_of_one(tmp_path: Path) -> None:
    lines = [
        {
            "event": {"type": "price", "of": name},
            "meta": {"created": [ms, name, 0], "keep_last": "price", "reasons": ["price"]},
        }
        for ms, name in ((1, "kitchen"), (2, "study"))
    ]
    with opened(tmp_path / "home"):
        pass

    done = run(tmp_path / "home", "import", "-", given="\n".join(map(json.dumps, lines)).encode())

    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["event"]["of"] for line in lines_of(tmp_path / "home")] == ["kitchen", "study"]


def test_channels_that_only_an_earlier_release_took_keep_no_line_out(node: Node) -> None:
    lines = [
        b'{"event": {"type": "a"}, "meta": {"created": [1, "x", 0], "channels": "stock", "by": "ada"}}',
        b'{"event": {"type": "b"}, "meta": {"created": [2, "x", 0], "channels": null}}',
        b'{"event": {"type": "c"}, "meta": {"created": [3, "x", 0], "channels": ["stock"]}}',
    ]

    done = run(node.home, "import", "-", given=b"\n".join(lines))

    assert (done.returncode, done.stderr) == (0, b"")
    metas = {event["type"]: meta for event, meta in node.log.each()}
    assert [metas[kind].get("channels") for kind in "abc"] == [None, None, ["stock"]]
    assert metas["a"]["by"] == "ada"


def test_a_bad_line_is_refused_with_its_number_and_keeps_out_no_other(node: Node) -> None:
    lines = [
        b'{"event": {"type": "a"}, "meta": {"created": [1, "x", 0]}}',
        b'{"type": "alone"}',
        b"",
        b'{"event": {"type": "b"}, "meta": {}}',
        b'{"event": {"no": "type"}, "meta": {"created": [2, "x", 0]}}',
        b'{"event": {"type": "c"}, "meta": {"created": [3, "x", 0]}}',
        b'{"event": {"type": "half',
    ]

    done = run(node.home, "import", "-", given=b"\n".join(lines))

    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stderr.decode().splitlines()] == [
        f"line {number} is not imported" for number in (2, 4, 7, 5)
    ]
    assert done.stdout == b"standard input: 2 events, of which 2 are new here; 4 lines were refused\n"


@pytest.fixture
def tills(tmp_path: Path) -> list[Path]:
    """Homes of one mesh: the first one has events of its own and of the second."""
    homes = homes_of_one_mesh(tmp_path, "kitchen", "study", "attic")
    with Node("kitchen", home=homes[0], listen="127.0.0.1:0", mdns=False) as kitchen:
        with Node("study", home=homes[1], listen="127.0.0.1:0", mdns=False) as study:
            kitchen.add_peer(f"127.0.0.1:{study.port}").get(SECONDS)
            kitchen.log.add({"type": "milk"}).get(SECONDS)
            kitchen.synchronized(peers=1).get(SECONDS)
            for number in range(20):
                study.log.add({"type": "n", "number": number}, {"by": "ada"}).get(SECONDS)
            study.synchronized(peers=1).get(SECONDS)
        meta = kitchen.log.add({"type": "typo"}).get(SECONDS)
        kitchen.log.undo(meta).get(SECONDS)
    return homes


@pytest.mark.parametrize("is_running", [True, False])
def test_an_archive_brings_every_event_order_and_signature_into_another_home_of_the_mesh(
    tills: list[Path], tmp_path: Path, is_running: bool
) -> None:
    kitchen, _, attic = tills
    file = tmp_path / "kitchen.archive"
    made = run(kitchen, "export", "--archive", str(file))
    assert (made.returncode, made.stderr) == (0, b"")
    assert made.stdout.decode() == f"{file}: 23 entries with signatures, {file.stat().st_size} bytes\n"
    second = Node("attic", home=attic, listen="127.0.0.1:0", mdns=False)
    if is_running:
        second.start()

    done = run(attic, "import", str(file))
    again = run(attic, "import", "--json", str(file))
    second.stop()

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"23 entries of the log of kitchen~" in done.stdout
    assert b", of which 23 are new here, with 23 events to show" in done.stdout
    assert json.loads(again.stdout)["new"] == 0
    assert log_of(attic) == log_of(kitchen)


def test_an_archive_brings_all_that_a_node_wrote_before_it_left(tills: list[Path], tmp_path: Path) -> None:
    _, study, attic = tills
    with Node("study", home=study, listen="127.0.0.1:0", mdns=False) as left:
        left.log.add_batch([({"type": "n"}, None)] * 600).get(
            SECONDS
        )  # more than one run: only both lead to what the leave names
    assert run(study, "leave", "--yes").returncode == 0
    run(study, "export", "--archive", str(tmp_path / "archive"))

    done = run(attic, "import", "-", given=(tmp_path / "archive").read_bytes())  # which is read once

    assert (done.returncode, done.stderr) == (0, b"")
    assert log_of(attic) == log_of(study)


def test_what_an_archive_brings_goes_on_to_the_neighbours(node: Node, tmp_path: Path) -> None:
    run(node.home, "export", "--archive", str(tmp_path / "archive"))
    with opened(tmp_path / "attic") as attic, opened(tmp_path / "study") as study:
        attic.add_peer(f"127.0.0.1:{study.port}").get(SECONDS)

        assert run(attic.home, "import", str(tmp_path / "archive")).returncode == 0
        wait_until(lambda: study.log.last_added == 2, "the neighbour has what was imported")

        assert [meta["origin"] for _, meta in study.log.each()] == [node.node_id] * 2


def test_an_archive_of_another_mesh_is_refused_and_says_how_its_events_can_be_added(
    tills: list[Path], node: Node, tmp_path: Path
) -> None:
    file = tmp_path / "kitchen.archive"
    run(tills[0], "export", "--archive", str(file))
    before = lines_of(node.home)

    done = run(node.home, "import", str(file))

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"of the mesh with the key" in done.stderr
    assert b"call `mesh export FILE` on a node of that mesh, without --archive" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert lines_of(node.home) == before


def test_of_a_changed_archive_nothing_changed_is_taken(tills: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "kitchen.archive"
    run(tills[0], "export", "--archive", str(file))
    file.write_bytes(resealed(file.read_bytes().replace(b'"number":7}', b'"number":8}')))

    done = run(tills[2], "import", str(file))

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"an entry in it is not what its writer signed: take another copy of it" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert [line for line in lines_of(tills[2]) if line["event"] == {"type": "n", "number": 8}] == []


def test_half_of_an_archive_leaves_what_came_before_and_the_whole_one_brings_the_rest(
    tills: list[Path], tmp_path: Path
) -> None:
    file, half = tmp_path / "kitchen.archive", tmp_path / "half"
    run(tills[0], "export", "--archive", str(file))
    half.write_bytes(file.read_bytes()[:-20])

    cut = run(tills[2], "import", str(half))
    whole = run(tills[2], "import", str(file))

    assert (cut.returncode, whole.returncode) == (1, 0)
    assert cut.stderr.decode().startswith(f"{half}: it was cut short, from byte ")
    assert log_of(tills[2]) == log_of(tills[0])


def test_entries_of_a_key_that_is_not_in_the_mesh_are_left_out(tills: list[Path], tmp_path: Path) -> None:
    stranger, file = tmp_path / "stranger", tmp_path / "forged.archive"
    with opened(stranger) as node:
        node.log.add({"type": "forged"}).get(SECONDS)
    run(tills[0], "export", "--archive", str(file))
    mesh = json.loads(file.read_bytes().splitlines()[0])["mesh"]
    run(stranger, "export", "--archive", str(tmp_path / "own.archive"))
    own = (tmp_path / "own.archive").read_bytes()
    forged = resealed(own.replace(b'"mesh":""', b'"mesh":"%b"' % mesh.encode()))

    done = run(tills[0], "import", "-", given=forged)

    assert done.returncode == 1
    assert b"left out, since they are of keys of which nothing counts in this mesh: 1 entry\n" in done.stderr
    assert [line for line in lines_of(tills[0]) if line["event"]["type"] == "forged"] == []


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        (["export", "{home}/x"], 1, "{home}/x is in the home itself"),
        (["export", "{tmp}"], 1, "{tmp} is a folder: name a file in it, as in {tmp}/mesh.export"),
        (["export", "--archive", "--type", "a", "{tmp}/x"], 2, "--archive has the whole log"),
        (["export", "--json", "-"], 2, "--json says what was written"),
        (["import", "{tmp}/none"], 1, "cannot read {tmp}/none: No such file or directory"),
    ],
)
def test_a_mistake_is_a_sentence(node: Node, tmp_path: Path, command: list[str], code: int, sentence: str) -> None:
    places = {"home": str(node.home), "tmp": str(tmp_path)}

    done = run(node.home, *[word.format(**places) for word in command])

    assert (done.returncode, done.stdout) == (code, b"")
    assert sentence.format(**places) in done.stderr.decode()


def test_where_no_home_is_nothing_is_imported(tmp_path: Path) -> None:
    done = run(tmp_path / "none", "import", "-", given=b"")

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no node runs in" in done.stderr
    assert not (tmp_path / "none").exists()


def test_a_home_is_in_use_while_another_command_imports(tmp_path: Path) -> None:
    with opened(tmp_path / "home"):
        pass
    held = Home(tmp_path / "home")
    try:
        done = run(tmp_path / "home", "import", "-", given=b"")
    finally:
        held.close()

    assert done.returncode == 1
    assert b"just starting or stopping" in done.stderr
