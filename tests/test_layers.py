"""The house: imports go down the floors only, and no two modules import each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import daas

ROOT = Path(daas.__file__).parent
FLOORS = (("data", "models"), ("augment",), ("search", "train"), ("screen",), ("race",), ("whole",), ("hub",))
"""Above the ground floor, which is the modules beside them; a package may use those below it."""
DOORS = ("daas", "daas.__main__", "daas.search.__main__")
"""Where people come in; they lead to any floor, and nothing is built on them."""


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def _imports(tree: ast.AST, everywhere: bool) -> Iterator[str]:
    """Modules of the package that code imports, when it is loaded or anywhere; not those that only types need."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "daas")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "daas":
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imports(node, everywhere)


@lru_cache
def _imported(module: str, everywhere: bool) -> frozenset[str]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return frozenset(_imports(tree, everywhere)) - {module}


def _floor(module: str) -> int:
    parts = module.split(".")
    room = parts[1] if len(parts) > 1 else ""
    return next((number for number, rooms in enumerate(FLOORS, start=1) if room in rooms), 0)


@pytest.mark.parametrize("module", [name for name in MODULES if name not in DOORS])
def test_no_arrow_goes_up(module: str) -> None:
    up = [other for other in _imported(module, everywhere=True) if other != "daas" and _floor(other) > _floor(module)]
    assert not up, f"{module} imports from above: {up}"


def test_nothing_is_built_on_a_door() -> None:
    for module in MODULES:
        behind = _imported(module, everywhere=True) & {door for door in DOORS if door != "daas"}
        assert not behind, f"{module} imports {behind}"


def test_rooms_of_one_floor_do_not_import_each_other() -> None:
    for module in MODULES:
        for other in _imported(module, everywhere=True):
            same = _floor(module) == _floor(other) > 0
            assert not same or module.split(".")[1] == other.split(".")[1], f"{module} imports {other}"


def test_no_modules_import_each_other_when_they_are_loaded() -> None:
    graph = {module: _imported(module, everywhere=False) for module in MODULES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a cycle: {' -> '.join(error.args[1])}")
