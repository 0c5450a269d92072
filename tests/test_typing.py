"""What a type checker and an editor see of the public API."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from shutil import copytree

from tests.support.guide import PAGES, README, blocks
from tests.support.root import ROOT

WRONG = {
    'Node("till", client="127.0.0.1:8080")': 'Unexpected keyword argument "client" for "Node"',
    'Node("till", clients=8080)': 'Argument "clients" to "Node" has incompatible type "int"',
    'Node("till", peers=7)': 'Argument "peers" to "Node" has incompatible type "int"',
    'Node("till").log.add("sale")': "No overload variant",
    'Node("till").log.add({"type": "sale"}).get()["crated"]': 'TypedDict "EventMeta" has no key "crated"',
    'Node("till").status().get()["event"]': 'TypedDict "Status" has no key "event"',
}
RIGHT = """
import asyncio
from datetime import datetime
from mesh import EventMeta, Node, Status


async def main(node: Node) -> None:
    add = node.log.add
    first, second = await asyncio.gather(add({"type": "a"}), add({"type": "b"}, key="b-1"))
    third = await asyncio.wait_for(add({"type": "c"}, {"shop": "north"}, key="c-1"), 10)
    metas: list[EventMeta] = [first, second, third, await asyncio.shield(add({"type": "d"}))]
    metas.append(await asyncio.ensure_future(add({"type": "e"})))
    maybe = await add({"type": "f"}, {"created": [1, "till", 0]})
    if maybe is not None:
        metas.append(maybe)
    ms, node_id, n = metas[0]["created"]
    print(f"{ms + n} {node_id} {metas[1].get('shop')}")
    async for event, meta in node.log.each(since=first):
        print(event["type"], meta["added"] + meta["time"], meta.get("vouched"))
    entry = await node.log.find(first["created"])
    print(entry and entry.meta["origin"], await node.log.page(after=first, before=datetime.now()))
    status: Status = await node.status()
    print([peer["node_id"] for peer in status["peers"]], status["store_error"])


Node("till", peers="127.0.0.1:7101", clients="127.0.0.1:8080")
Node("till", peers=["127.0.0.1:7101"])
"""


def complaints(paths: list[Path], cache: Path) -> list[str]:
    """What `mypy --strict` says of these files, a line each."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", "--no-pretty"]
    done = subprocess.run(
        [*command, "--config-file=", f"--cache-dir={cache}", *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert not done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if ": error:" in line]


def test_the_readme_and_the_guide_are_typed_and_wrong_uses_are_errors(tmp_path: Path) -> None:
    """One run of mypy for all: it reads the whole package first, or what an earlier check of the package has left of that."""
    with suppress(FileNotFoundError):
        copytree(ROOT / ".mypy_cache", tmp_path / "cache")
    shown = [block for path in (README, *PAGES) for block in blocks(path, "python")]
    for number, block in enumerate([*shown, RIGHT]):
        (tmp_path / f"right_{number}.py").write_text(block)
    for number, use in enumerate(WRONG):
        (tmp_path / f"wrong_{number}.py").write_text(f"from mesh import Node\n\n{use}\n")

    found = complaints(sorted(tmp_path.glob("*.py")), tmp_path / "cache")

    assert len(shown) >= 10
    assert [line for line in found if "wrong_" not in line] == []
    for number, sentence in enumerate(WRONG.values()):
        (own,) = [line for line in found if f"wrong_{number}.py" in line]
        assert sentence in own
