"""What the documents for contributors say: the files that they name exist, and their examples run."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from peers import InlineDisk, LocalPair, Log, ManualClock, MemoryStore
from tests.support.guide import PAGES
from tests.support.root import ROOT

DOCUMENTS = ("README.md", "mesh/README.md", "peers/README.md", "scenarios/README.md", ".github/CONTRIBUTING.md")
GUIDE = [f"mesh/docs/{path.name}" for path in PAGES]
ENDINGS = (".py", ".md", ".yml", "/")


def named_paths(text: str) -> list[str]:
    """Words in backticks that are files or folders of the project."""
    words = [word for quoted in re.findall(r"`([^`\n]+)`", text) for word in quoted.split()]
    return [word for word in words if "/" in word and "*" not in word and re.fullmatch(r"[\w./{},-]+", word)]


def places(word: str, document: str) -> list[Path]:
    """Where a path of a document may be: from the root, or from the document's own folder."""
    return [ROOT / word, (ROOT / document).parent / word]


@pytest.mark.parametrize("document", [*DOCUMENTS, *GUIDE])
def test_the_files_that_a_document_names_exist(document: str) -> None:
    words = [word for word in named_paths((ROOT / document).read_text()) if word.endswith(ENDINGS) and "{" not in word]

    assert [word for word in words if not any(place.exists() for place in places(word, document))] == []


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / ".github" / "CONTRIBUTING.md").read_text(), re.S)


def example(name: str) -> Any:
    """A class of the examples."""
    (code,) = [code for code in examples() if f"class {name}" in code]
    names: dict[str, Any] = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), names)
    return names[name]


def test_the_message_of_the_example_arrives() -> None:
    world: dict[str, Any] = {"clock": ManualClock(0), "random": Random(1)}

    pair, role = LocalPair(), example("RemarkSync")
    logs = [Log.open(InlineDisk(MemoryStore()), name, **world).get() for name in ("kitchen", "study")]
    left, right = role("kitchen", logs[0], pair.left, **world), role("study", logs[1], pair.right, **world)
    heard: list[tuple[str, str]] = []
    right.on("remark", lambda who, text: heard.append((who, text)))

    pair.left.connect()
    left.send_remark("the milk is out")

    assert heard == [("kitchen", "the milk is out")]


def test_the_store_of_the_example_counts_commits() -> None:
    store = example("CountingStore")()
    log = Log.open(InlineDisk(store), "kitchen", clock=ManualClock(0), random=Random(1)).get()
    before = store.commits

    log.add({"type": "milk"}).get()
    log.add({"type": "bread"}).get()

    assert store.commits == before + 2
    assert [entry.event["type"] for entry in store.each()] == ["milk", "bread"]
