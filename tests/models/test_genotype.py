"""Genotypes: JSON both ways, random ones, and a clear refusal of everything that describes no network."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from daas.errors import BadInput
from daas.models import Genotype, find_genotype
from daas.models.primitives import PRIMITIVE_NAMES

GOOD = find_genotype("darts_v2").to_dict()


@given(seed=st.integers(0, 2**32), nodes=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_random_genotypes_survive_json_both_ways(seed: int, nodes: int) -> None:
    genotype = Genotype.random(torch.Generator().manual_seed(seed), nodes)
    assert Genotype.from_dict(json.loads(json.dumps(genotype.to_dict()))) == genotype
    for cell in (genotype.normal, genotype.reduce):
        assert len(cell) == nodes
        assert all(len({source for _, source in node}) == 2 for node in cell)


def test_files(tmp_path: Path) -> None:
    genotype = find_genotype("darts_v2")
    genotype.save(tmp_path / "g.json")
    assert Genotype.load(tmp_path / "g.json") == genotype
    assert find_genotype(tmp_path / "g.json") == genotype
    assert find_genotype(genotype.to_dict()) == genotype


def edited(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    values = copy.deepcopy(GOOD)
    change(values)
    return values


def _set(cell: str, node: int, edge: int, position: int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        values[cell][node][edge][position] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("normal", 1, 0, 0, "conv_9x9"), r"normal cell, node 3, edge 0: unknown primitive 'conv_9x9'; known are"),
        (_set("reduce", 0, 1, 1, 7), r"reduce cell, node 2, edge 1: input 7 .* loop"),
        (_set("normal", 2, 1, 1, 4), r"normal cell, node 4, edge 1: input 4 is the node itself"),
        (_set("normal", 2, 1, 1, -1), r"node 4, edge 1: input -1; an input is a whole number from 0 to 3"),
        (_set("normal", 0, 0, 1, "0"), r"node 2, edge 0: input '0'"),
        (lambda v: v["normal"].__setitem__(0, []), r"normal cell, node 2: .*at least one"),
        (lambda v: v.__setitem__("reduce", []), r"reduce cell: expected a list of nodes"),
        (lambda v: v.__setitem__("normal_concat", [2, 9]), r"normal_concat.*from 0 to 5"),
        (lambda v: v.__setitem__("reduce_concat", [0, 2]), r"reduce_concat.*from 2 to 5"),
        (lambda v: v.__setitem__("format", "other/3"), r"format is 'other/3'"),
        (lambda v: v.pop("source"), r"missing keys \['source'\]"),
        (lambda v: v.__setitem__("extra", 1), r"unknown keys \['extra'\]"),
        (lambda v: v.__setitem__("name", 3), r"name is 3"),
    ],
)
def test_what_describes_no_network_is_refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Genotype.from_dict(edited(change))


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such genotype file"):
        Genotype.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(BadInput, match=r"bad\.json: no JSON"):
        Genotype.load(tmp_path / "bad.json")
    with pytest.raises(BadInput, match="neither a file nor registered"):
        find_genotype("no_such_cell")


def test_diff_names_every_change() -> None:
    genotype = find_genotype("darts_v2")
    other = Genotype.from_dict(edited(_set("normal", 0, 0, 0, "sep_conv_5x5")))
    assert genotype.diff(genotype) == []
    twice = Genotype("twice", "test", ((("skip_connect", 0),) * 2,), (2,), genotype.reduce, genotype.reduce_concat)
    once = Genotype("once", "test", ((("skip_connect", 0),),), (2,), genotype.reduce, genotype.reduce_concat)
    assert twice.diff(once) == ["normal node 2: - skip_connect from 0"]
    assert genotype.diff(other) == ["normal node 2: - sep_conv_3x3 from 0", "normal node 2: + sep_conv_5x5 from 0"]


@st.composite
def cells(draw: st.DrawFn, first: int) -> tuple[list[list[list[Any]]], list[int]]:
    """Nodes with one to three edges from anywhere before them, and an output of one state or more."""
    nodes = draw(st.integers(1, 5))
    edge = lambda state: st.tuples(st.sampled_from(PRIMITIVE_NAMES), st.integers(0, state - 1)).map(list)  # noqa: E731
    found = [draw(st.lists(edge(state), min_size=1, max_size=3)) for state in range(2, nodes + 2)]
    return found, draw(st.lists(st.integers(first, nodes + 1), min_size=1, unique=True))


def test_scripted_cells_with_the_same_steps_in_another_order_are_not_mixed_up() -> None:
    """TorchScript shares types, and with them the order of steps, within a process."""
    for first, second in (([["sep_conv_3x3", 0], ["sep_conv_3x3", 0]], [["sep_conv_3x3", 1]]),
                          ([["sep_conv_3x3", 0], ["sep_conv_3x3", 1]], [["sep_conv_3x3", 0]])):  # fmt: skip
        cell = [first, second]
        values = {"format": "daas-genotype/1", "name": "any", "source": "test", "normal": cell,
                  "normal_concat": [2, 3], "reduce": cell, "reduce_concat": [2, 3]}  # fmt: skip
        genotype = Genotype.from_dict(values)
        torch.manual_seed(0)
        model = timm.create_model("daas_cell_cifar", genotype=genotype, channels=2, layers=3, num_classes=3).eval()
        x = torch.randn(2, 3, 8, 8)
        torch.testing.assert_close(torch.jit.script(model)(x), model(x))


@given(normal=cells(0), reduce=cells(2), data=st.data())
@settings(max_examples=12, deadline=None)
def test_any_genotype_builds_runs_scripts_and_travels(normal: Any, reduce: Any, data: st.DataObject) -> None:
    values = {
        "format": "daas-genotype/1", "name": "any", "source": "test", "normal": normal[0], "normal_concat": normal[1],
        "reduce": reduce[0], "reduce_concat": reduce[1],
    }  # fmt: skip
    genotype = Genotype.from_dict(json.loads(json.dumps(values)))
    assert Genotype.from_dict(json.loads(json.dumps(genotype.to_dict()))) == genotype
    torch.manual_seed(0)
    model = timm.create_model("daas_cell_cifar", genotype=genotype, channels=2, layers=3, num_classes=3)
    x = torch.randn(2, 3, 8, 8)
    model(x).sum().backward()
    model.eval()
    torch.testing.assert_close(torch.jit.script(model)(x), model(x))

    cell = data.draw(st.sampled_from(["normal", "reduce"]))
    node = data.draw(st.integers(0, len(values[cell]) - 1))
    edge = data.draw(st.integers(0, len(values[cell][node]) - 1))
    wrong = [
        ["no_such_op", 0], [None, 0], [["skip_connect"], 0], ["skip_connect", node + 2], ["skip_connect", node + 7],
        ["skip_connect", -1], ["skip_connect", "0"], ["skip_connect", 0.0], ["skip_connect", True],
        ["skip_connect", None], ["skip_connect"], ["skip_connect", 0, 0], "skip_connect", None, 3, {},
    ]  # fmt: skip
    edges = values[cell][node]
    values[cell][node] = [*edges[:edge], data.draw(st.sampled_from(wrong)), *edges[edge + 1 :]]
    with pytest.raises(BadInput, match=f"{cell} cell, node {node + 2}, edge {edge}"):
        Genotype.from_dict(values)
    values[cell][node] = data.draw(st.sampled_from([[], None, "skip_connect", 5]))
    with pytest.raises(BadInput, match=f"{cell} cell, node {node + 2}: expected"):
        Genotype.from_dict(values)
    values[cell][node] = edges
    nodes = len(values[cell])
    values[f"{cell}_concat"] = data.draw(
        st.sampled_from([[nodes + 2], [-1], [2, 2], [], None, ["2"], [True], 2, [2.0]])
    )
    with pytest.raises(BadInput, match=f"{cell}_concat"):
        Genotype.from_dict(values)


def test_whole_numbers_of_numpy_are_whole_numbers(tmp_path: Path) -> None:
    """A cell from argmax and argsort."""
    plain = find_genotype("darts_v2")
    of_numpy = {
        cell: [[[np.str_(op), np.int64(state)] for op, state in node] for node in getattr(plain, cell)]
        for cell in ("normal", "reduce")
    }
    concat = np.arange(2, 6)
    found = Genotype("n", "s", of_numpy["normal"], tuple(concat), of_numpy["reduce"], tuple(concat))
    assert plain.diff(found) == []
    found.save(tmp_path / "g.json")
    assert Genotype.load(tmp_path / "g.json") == found
    assert "np." not in repr(found)
