"""Genotypes in logs: read without running anything, or refused in a line."""

from __future__ import annotations

import ast
import json
import re
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm

from daas.errors import BadInput
from daas.models import Genotype
from daas.models.__main__ import main
from daas.models.darts import read_darts
from daas.models.zoo import find_genotype

# DARTS (Liu et al., ICLR 2019), second order, as its repository prints it
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
OTHER = DARTS_V2.replace("dil_conv_3x3", "dil_conv_5x5").replace("[2, 3, 4, 5]", "range(2, 6)")


def load(folder: Path, text: str, name: str = "") -> Genotype:
    (folder / "log.txt").write_text(text)
    return Genotype.load(folder / "log.txt", name)


@pytest.mark.parametrize(
    "text",
    [
        DARTS_V2,
        f"2019-01-01 12:00 INFO genotype = {DARTS_V2}\n2019-01-01 12:01 valid_acc 97.1\n",
        f"from collections import namedtuple\nGenotype = namedtuple('Genotype', 'a b')\nMINE = {DARTS_V2}\n",
        f"{OTHER}\nepoch 2\n{DARTS_V2}\n",
        DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)"),
        DARTS_V2.replace("[2, 3, 4, 5]", "list(range(2, 6))").replace(", ", ",\n    "),
        DARTS_V2.replace("normal=", "")
        .replace("normal_concat=", "")
        .replace("reduce=", "")
        .replace("reduce_concat=", ""),
    ],
)
def test_the_cells_of_darts_come_out_of_any_text(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).diff(find_genotype("darts_v2")) == []


def test_one_of_several_by_its_name(tmp_path: Path) -> None:
    text = f"FIRST = {OTHER}\nSECOND = {DARTS_V2}\n"
    assert load(tmp_path, text, "FIRST").diff(load(tmp_path, text)) != []
    assert load(tmp_path, text, "SECOND").name == "SECOND"
    with pytest.raises(BadInput, match="named 'THIRD' is in there; it has FIRST, SECOND"):
        load(tmp_path, text, "THIRD")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DARTS_V2[:-40], "cut off"),
        ("Genotype(normal=[('skip_connect', 0)])", "it needs normal, normal_concat, reduce, reduce_concat"),
        (DARTS_V2.replace("[2, 3, 4, 5]", "__import__('os').system('true')"), "no list of literals"),
        (DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 10**9)"), "no list of literals"),
        (DARTS_V2.replace("[2, 3, 4, 5]", "range(0, 99)"), "different states"),
        (DARTS_V2.replace("('skip_connect', 0), ('dil", "('dil"), "7 edges"),
        (DARTS_V2.replace("skip_connect", "identity"), "unknown primitive 'identity'"),
        ("Genotype(" + "[" * 100_000, "cut off"),
        ("Genotype(normal=[[[[[[[[[1]]]]]]]]], reduce=1)", "cut off"),
        ("Genotype(1 +)", "no Python"),
        ("nothing at all", "no JSON"),
    ],
)
def test_what_is_no_genotype_is_refused_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        load(tmp_path, text)
    assert "log.txt: " in str(caught.value)


def test_the_command_converts_draws_and_writes_over_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, out = tmp_path / "search.log", tmp_path / "mine.json"
    log.write_text(f"A = {OTHER}\nB = {DARTS_V2}\n")
    assert main(["convert", str(log), str(out), "--name", "A"]) == 0
    assert Genotype.load(out).name == "A"
    assert f"genotype={out}" in capsys.readouterr().out
    assert main(["--diff", str(out), str(log)]) == 0
    assert "dil_conv_5x5" in capsys.readouterr().out
    assert main(["--draw", str(log), str(tmp_path / "cell.svg")]) == 0
    assert main(["convert", str(log), str(out)]) == 2
    assert "nothing is written over" in capsys.readouterr().err
    assert main(["convert", str(log), str(tmp_path / "x.txt")]) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda text: re.sub(r", (\d)\)", r", np.int64(\1))", text),
        lambda text: re.sub(r"\('(\w+)', (\d)\)", r"(np.str_('\1'), numpy.int64(\2))", text),
        lambda text: re.sub(r", (\d)\)", r", tensor(\1, device='cuda:0'))", text),
        lambda text: text.replace("[2, 3, 4, 5]", "array([2, 3, 4, 5])"),
        lambda text: re.sub(r", (\d)\)", r", \1, 0.17)", text),
        lambda text: text.replace("sep_conv", "dua_sepc").replace("dil_conv", "dil_sepc"),
        lambda text: text.replace("reduce_concat=[2, 3, 4, 5]", "reduce_concat=[2, 3, 4, 5], connects=None"),
    ],
)
def test_what_numpy_torch_and_autodl_print_otherwise_is_taken(change: Callable[[str], str], tmp_path: Path) -> None:
    text = change(DARTS_V2)
    assert text != DARTS_V2
    assert load(tmp_path, text).diff(find_genotype("darts_v2")) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("|nor_conv_3x3~0|+|skip_connect~0|none~1|", "an architecture of NAS-Bench-201"),
        ('{"normal/op_2_0": "sep_conv_3x3", "normal/input_2_0": [0]}', "as NNI exports it"),
        ('{"normal_n2_p0": "maxpool", "normal_n2_switch": ["normal_n2_p0"]}', "as NNI exports it"),
        ("{'NetworkSelectorDatasetInfo:darts:edge_normal_0': 'sep_conv_3x3'}", "as NAS-Bench-301 exports it"),
        ("Genotype(recurrent=[('tanh', 0)], concat=range(1, 9))", "the fields concat, recurrent; it needs normal"),
    ],
)
def test_architectures_of_other_programs_are_named(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said):
        load(tmp_path, text)


def test_a_sum_without_an_end_is_told_in_a_line() -> None:
    with pytest.raises(BadInput, match=r"no list of literals|no Python"):
        read_darts(f"Genotype(normal={'1+' * 700}1, normal_concat=[2], reduce=[], reduce_concat=[2])")


def as_dict() -> dict[str, Any]:
    """DARTS's cells as a dict of its own four fields."""
    read = {key: str(value) for key, value in re.findall(r"(\w+)=(\[.*?\])", DARTS_V2)}
    return {key: ast.literal_eval(value) for key, value in read.items()}


def test_a_dict_of_the_four_fields_is_read_in_python_and_json(tmp_path: Path) -> None:
    given = as_dict()
    for text in (str(given), f"epoch 7 {given}", json.dumps(given), json.dumps({"epoch": 7, "genotype": given})):
        assert load(tmp_path, text).diff(find_genotype("darts_v2")) == []
    assert load(tmp_path, json.dumps({"epoch": 7, "genotype": DARTS_V2})).diff(find_genotype("darts_v2")) == []
    with pytest.raises(BadInput, match="the fields normal, normal_concat; it needs normal, normal_concat, reduce"):
        load(tmp_path, str({key: given[key] for key in ("normal", "normal_concat")}))


def test_the_named_tuple_of_darts_is_a_genotype() -> None:
    given = namedtuple("Genotype", as_dict())(**as_dict())  # type: ignore[misc]  # its fields are not known to mypy
    assert timm.create_model("daas_cell_cifar", genotype=given, channels=4, layers=3).genotype.diff(
        find_genotype("darts_v2")
    ) == []  # fmt: skip
    assert find_genotype(DARTS_V2).diff(find_genotype("darts_v2")) == []
    own = find_genotype("darts_v2").to_dict()
    assert find_genotype({"normal": own.pop("normal"), **own}) == find_genotype("darts_v2")  # in any order
    for wrong in (("darts_v2",), None, 3.0):
        with pytest.raises(BadInput, match="neither a file nor registered"):
            find_genotype(wrong)  # type: ignore[arg-type]


def test_comments_are_no_part_of_a_genotype(tmp_path: Path) -> None:
    text = DARTS_V2.replace(", reduce=", ",  # the normal cell (four nodes\n reduce=")
    assert load(tmp_path, f"BEST = {text}  # 97%").diff(find_genotype("darts_v2")) == []


def test_an_edge_that_is_none_is_left_out_of_its_node(tmp_path: Path) -> None:
    found = load(
        tmp_path, DARTS_V2.replace("('sep_conv_3x3', 0), ('sep_conv_3x3', 1),", "('none', 0), ('sep_conv_3x3', 1),", 1)
    )
    assert found.normal[0] == (("sep_conv_3x3", 1),)
    assert (found.normal[1:], found.reduce) == (find_genotype("darts_v2").normal[1:], find_genotype("darts_v2").reduce)
    with pytest.raises(BadInput, match="node 2 of reduce has no edge but none"):
        load(tmp_path, DARTS_V2.replace("('max_pool_3x3', 0), ('max_pool_3x3', 1)", "('none', 0), ('none', 1)"))


def test_edges_that_name_their_node_as_fairdarts_prints_them(tmp_path: Path) -> None:
    # FairDARTS (Chu et al., ECCV 2020), a: node 3 of the normal cell has no edges
    text = (
        "A = Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_5x5', 2, 1), ('max_pool_3x3', 4, 0), "
        "('sep_conv_3x3', 5, 0)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 2, 0), ('avg_pool_3x3', 2, 1), "
        "('avg_pool_3x3', 3, 0), ('dil_conv_5x5', 3, 1), ('avg_pool_3x3', 4, 0), ('sep_conv_5x5', 4, 1), "
        "('skip_connect', 5, 0), ('skip_connect', 5, 1)], reduce_concat=range(2, 6))"
    )
    assert load(tmp_path, text).diff(find_genotype("fairdarts_a")) == []
    moved = load(tmp_path, text.replace("('sep_conv_3x3', 5, 0)", "('sep_conv_3x3', 5, 4), ('skip_connect', 5, 3)"))
    assert moved.normal[2] == (("sep_conv_3x3", 3),)  # node 4 is the second one here; node 3 is nothing
    for wrong, said in (("5, -1)", "input -1"), ("5, 5)", "the node itself or a later one")):
        with pytest.raises(BadInput, match=said):
            load(tmp_path, text.replace("5, 0)", wrong, 1))
    with pytest.raises(BadInput, match="different states"):
        load(tmp_path, text.replace("normal_concat=range(2, 6)", "normal_concat=[[2], 4]"))
    with pytest.raises(BadInput, match="an edge to node 1; nodes begin with 2"):
        load(tmp_path, text.replace("2, 0", "1, 0"))
