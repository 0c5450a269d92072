"""The library: the scenarios in the folder `scenarios`, which the wheel contains."""

from __future__ import annotations

import ast
import sys
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from mesh.errors import MeshError
from mesh.lab.runner.folder import folder
from mesh.lab.runner.outcome import Outcome
from mesh.lab.runner.scenario import Scenario


def titles() -> dict[str, str]:
    """What happens in each scenario, by its name. None of them is loaded."""
    return {path.stem: _title(path) for path in sorted(folder().glob("*.py"))}


def load(name: str) -> Scenario:
    """Load a scenario by its name. Raises MeshError if there is none."""
    path = folder() / f"{name}.py"
    if name not in titles():
        near = get_close_matches(name, titles(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise MeshError(f"there is no scenario {name!r}: {hint}`mesh scenario --list` shows all")
    spec = spec_from_file_location(f"mesh_scenario_{name}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    story = vars(module).get(name)
    if not isinstance(story, Scenario):
        raise MeshError(f"{path} has no scenario {name}: a story has the name of its file")
    return story


def play_briefly(which: tuple[str, int]) -> Outcome:
    """Play a scenario, given by its name and a seed, without frames in its trace; returns the outcome in brief."""
    name, seed = which
    return load(name).run(seed, traces=False).brief()


def _title(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].removesuffix(".")
