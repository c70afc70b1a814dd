"""Drawings of cells: well-formed, complete, and nothing on top of anything else."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
import torch

from daas.models import Genotype, find_genotype
from daas.models.drawing import cell_svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("nodes", [1, 4, 6])
def test_every_edge_has_a_label_and_no_two_overlap(seed: int, nodes: int) -> None:
    genotype = Genotype.random(torch.Generator().manual_seed(seed), nodes)
    root = ET.fromstring(cell_svg(genotype, "normal"))
    chips = [r for r in root.iter(f"{SVG}rect") if r.get("rx") == "4"]
    assert len(chips) == 2 * nodes
    labels = sorted(t.text or "" for t in root.iter(f"{SVG}text"))
    for node in genotype.normal:
        for primitive, _ in node:
            assert primitive in labels
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    boxes = [tuple(float(r.get(k, 0)) for k in ("x", "y", "width", "height")) for r in chips]
    circles = [tuple(float(c.get(k, 0)) for k in ("cx", "cy", "r")) for c in root.iter(f"{SVG}circle")]
    boxes += [(x - r, y - r, 2 * r, 2 * r) for x, y, r in circles]
    for a, b in itertools.combinations(boxes, 2):
        apart = a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]
        assert apart, (a, b)
    lanes = 0
    for path in root.iter(f"{SVG}path"):
        for x0, y0, x1 in re.findall(r"([\d.]+) ([\d.]+) H([\d.]+)", path.get("d", "")):
            lanes += 1
            for x, y, w, h in boxes:
                assert not (float(x0) < x + w and x < float(x1) and y < float(y0) < y + h), "an edge runs behind a box"
    assert lanes > 0 or nodes == 1
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)


def test_names_are_escaped() -> None:
    values = {**find_genotype("darts_v2").to_dict(), "name": "<b>&"}
    assert "&lt;b&gt;&amp;" in cell_svg(Genotype.from_dict(values), "reduce")
