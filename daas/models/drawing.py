"""Draws a cell as a self-contained SVG: states are circles, each with its operations in front of it, left to right."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Literal

from daas.models.genotype import Genotype, Node

_CHIP_WIDTH, _CHIP_HEIGHT, _RADIUS = 106, 22, 17
_COLUMN_GAP, _ROW_GAP, _MARGIN = 78, 26, 16
_COLOURS = {
    "sep": "#cfe3f7", "dil": "#d8eed3", "conv": "#e3d9f2", "max": "#fbe1c3", "avg": "#fbf0c3", "skip": "#e8e8e8",
}  # fmt: skip


@dataclass(frozen=True)
class _Box:
    """Where a state stands.

    Attributes:
        x: Centre of its circle.
        y: The same.
        chips: Top left corner of each of its operations.
    """

    x: float
    y: float
    chips: tuple[tuple[float, float], ...]


def cell_svg(genotype: Genotype, cell: Literal["normal", "reduce"] = "normal") -> str:
    """Draws one cell.

    Args:
        genotype: The cells.
        cell: Which one.

    Returns:
        An ``<svg>`` element with inline styles, which also stands alone as a file.
    """
    nodes: tuple[Node, ...] = genotype.normal if cell == "normal" else genotype.reduce
    concat = genotype.normal_concat if cell == "normal" else genotype.reduce_concat
    boxes, width, height = _layout(nodes)
    out_x, out_y = width + _COLUMN_GAP, height / 2
    parts = []
    for state, node in enumerate(nodes, start=2):
        for (_, source), (x, y) in zip(node, boxes[state].chips, strict=True):
            parts.append(_curve(boxes[source].x + _RADIUS, boxes[source].y, x, y + _CHIP_HEIGHT / 2))
    parts += [_curve(boxes[state].x + _RADIUS, boxes[state].y, out_x, out_y, dashed=True) for state in concat]
    for state, box in enumerate(boxes):
        node = nodes[state - 2] if state >= 2 else ()
        for (primitive, _), (x, y) in zip(node, box.chips, strict=True):
            parts.append(_chip(primitive, x, y, box))
        label = {0: "c<tspan dy='3' font-size='9'>k-2</tspan>", 1: "c<tspan dy='3' font-size='9'>k-1</tspan>"}
        parts.append(_circle(box, label.get(state, str(state)), "#f7d9dd" if state < 2 else "#ffffff"))
    parts.append(
        f'<rect x="{out_x}" y="{out_y - 15}" width="62" height="30" rx="5" fill="#f7d9dd" stroke="#555"/>'
        f'<text x="{out_x + 31}" y="{out_y + 4}" text-anchor="middle">concat</text>'
    )
    total = out_x + 62 + _MARGIN
    title = escape(f"{genotype.name}, {cell} cell")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {height:.0f}" width="{total:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{title}" font-family="Helvetica, Arial, sans-serif" '
        f'font-size="12" fill="#222">'
        f'<title>{title}</title><rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>'
    )


def genotype_svg(genotype: Genotype) -> str:
    """Draws both cells, the normal one above the reduction cell, each under its name.

    Args:
        genotype: The cells.

    Returns:
        A whole SVG file.
    """
    parts, width, height = [], 0.0, 0.0
    cells: tuple[Literal["normal", "reduce"], ...] = ("normal", "reduce")
    for cell in cells:
        nodes = genotype.normal if cell == "normal" else genotype.reduce
        _, inner_width, inner_height = _layout(nodes)
        label = escape(f"{genotype.name}: {'normal' if cell == 'normal' else 'reduction'} cell")
        parts.append(f'<text x="{_MARGIN}" y="{height + 20}">{label}</text>')
        parts.append(f'<svg x="0" y="{height + 28}"{cell_svg(genotype, cell).removeprefix("<svg")}')
        width = max(width, inner_width + _COLUMN_GAP + 62 + _MARGIN)
        height += inner_height + 28
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} '
        f'{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="14" font-weight="bold">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _layout(nodes: tuple[Node, ...]) -> tuple[list[_Box], float, float]:
    """Columns by depth (longest way from an input), rows from top to bottom: boxes, width, height."""
    depth = [0, 0]
    for node in nodes:
        depth.append(1 + max(depth[source] for _, source in node))
    heights = [2.0 * _RADIUS] * 2 + [max(2.0 * _RADIUS, len(node) * (_CHIP_HEIGHT + 4) - 4) for node in nodes]
    columns = [[state for state in range(len(depth)) if depth[state] == d] for d in range(max(depth) + 1)]
    tall = max(sum(heights[s] for s in column) + _ROW_GAP * (len(column) - 1) for column in columns)
    tall = max(tall, 120.0)
    boxes: list[_Box] = [_Box(0, 0, ())] * len(depth)
    x = float(_MARGIN)
    for d, column in enumerate(columns):
        free = tall - sum(heights[s] for s in column)
        gap = free / (len(column) + 1)
        y = _MARGIN + gap
        chip_width = 0 if d == 0 else _CHIP_WIDTH + 14
        for state in column:
            edges = len(nodes[state - 2]) if state >= 2 else 0
            middle = y + heights[state] / 2
            top = middle - (edges * (_CHIP_HEIGHT + 4) - 4) / 2
            chips = tuple((x, top + k * (_CHIP_HEIGHT + 4)) for k in range(edges))
            boxes[state] = _Box(x + chip_width + _RADIUS, middle, chips)
            y += heights[state] + gap
        x += chip_width + 2 * _RADIUS + _COLUMN_GAP
    return boxes, x - _COLUMN_GAP, tall + 2 * _MARGIN


def _curve(x0: float, y0: float, x1: float, y1: float, dashed: bool = False) -> str:
    bend = max(30.0, (x1 - x0) / 2)
    style = ' stroke-dasharray="4 3"' if dashed else ""
    return (
        f'<path d="M{x0:.1f} {y0:.1f} C{x0 + bend:.1f} {y0:.1f} {x1 - bend:.1f} {y1:.1f} {x1:.1f} {y1:.1f}" '
        f'fill="none" stroke="#888" stroke-width="1.4"{style}/>'
    )


def _chip(primitive: str, x: float, y: float, box: _Box) -> str:
    colour = _COLOURS[primitive.split("_")[0]]
    middle = y + _CHIP_HEIGHT / 2
    return (
        f'<path d="M{x + _CHIP_WIDTH} {middle:.1f} L{box.x - _RADIUS:.1f} {box.y:.1f}" stroke="#888" '
        f'stroke-width="1.4"/><rect x="{x}" y="{y:.1f}" width="{_CHIP_WIDTH}" height="{_CHIP_HEIGHT}" rx="4" '
        f'fill="{colour}" stroke="#999"/>'
        f'<text x="{x + _CHIP_WIDTH / 2}" y="{middle + 4:.1f}" text-anchor="middle">{escape(primitive)}</text>'
    )


def _circle(box: _Box, label: str, fill: str) -> str:
    return (
        f'<circle cx="{box.x:.1f}" cy="{box.y:.1f}" r="{_RADIUS}" fill="{fill}" stroke="#555"/>'
        f'<text x="{box.x:.1f}" y="{box.y + 4:.1f}" text-anchor="middle">{label}</text>'
    )
