"""Draws a cell as a self-contained SVG: states are circles, each with its operations in front of it, left to right."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Literal

from daas.models.genotype import Genotype, Node
from daas.models.primitives import drawn_as

_CHIP_WIDTH, _CHIP_HEIGHT, _RADIUS = 106, 22, 17
_COLUMN_GAP, _ROW_GAP, _MARGIN, _LANE = 78, 18, 16, 2.0
_OTHER = "#f5f5f5"
_LONG = 15  # characters that fit into a box as they are
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


@dataclass(frozen=True)
class _Layout:
    """Columns by depth (longest way from an input); in each, states and the lanes of edges that pass them.

    Attributes:
        depth: Column of each state.
        boxes: Where each state stands.
        lanes: By (state, column), the height at which edges from that state pass that column.
        spans: Left and right end of each column.
        width: To the right end of the last column.
        height: Of the drawing.
    """

    depth: list[int]
    boxes: list[_Box]
    lanes: dict[tuple[int, int], float]
    spans: list[tuple[float, float]]
    width: float
    height: float


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
    layout = _layout(nodes, concat)
    boxes, height = layout.boxes, layout.height
    out_x, out_y = layout.width + _COLUMN_GAP, height / 2
    parts = []
    for state, node in enumerate(nodes, start=2):
        for (_, source), (x, y) in zip(node, boxes[state].chips, strict=True):
            parts.append(_path(layout, source, layout.depth[state], x, y + _CHIP_HEIGHT / 2))
    parts += [_path(layout, state, len(layout.spans), out_x, out_y, dashed=True) for state in concat]
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
        inner = _layout(nodes, genotype.normal_concat if cell == "normal" else genotype.reduce_concat)
        label = escape(f"{genotype.name}: {'normal' if cell == 'normal' else 'reduction'} cell")
        parts.append(f'<text x="{_MARGIN}" y="{height + 20}">{label}</text>')
        parts.append(f'<svg x="0" y="{height + 28}"{cell_svg(genotype, cell).removeprefix("<svg")}')
        width = max(width, inner.width + _COLUMN_GAP + 62 + _MARGIN)
        height += inner.height + 28
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} '
        f'{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="14" font-weight="bold">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _layout(nodes: tuple[Node, ...], concat: tuple[int, ...]) -> _Layout:
    depth = [0, 0]
    for node in nodes:
        depth.append(1 + max(depth[source] for _, source in node))
    columns = max(depth) + 1
    heights = {state: max(2.0 * _RADIUS, _chips_height(node)) for state, node in enumerate(nodes, start=2)}
    heights |= {0: 2.0 * _RADIUS, 1: 2.0 * _RADIUS}
    passing = _passing(nodes, concat, depth)
    standing = [[s for s in range(len(depth)) if depth[s] == column] for column in range(columns)]
    tall = max(
        sum(heights[s] for s in here) + _LANE * len(by) + _ROW_GAP * (len(here) + len(by) - 1)
        for here, by in zip(standing, passing, strict=True)
    )
    tall = max(tall, 120.0)
    boxes: list[_Box] = [_Box(0, 0, ())] * len(depth)
    lanes: dict[tuple[int, int], float] = {}
    spans: list[tuple[float, float]] = []
    at: dict[int, float] = {}  # the height at which edges from a state leave the columns so far
    left = float(_MARGIN)
    for column in range(columns):
        chip_width = 0 if column == 0 else _CHIP_WIDTH + 14
        spans.append((left, left + chip_width + 2 * _RADIUS))
        items = [(_wish(nodes, s, at), s, heights[s]) for s in standing[column]]
        items += [(at[s], s, _LANE) for s in passing[column]]
        gap = (tall - sum(height for _, _, height in items)) / (len(items) + 1)
        y = _MARGIN + gap
        for _, state, height in sorted(items):
            at[state] = y + height / 2
            if depth[state] < column:
                lanes[state, column] = at[state]
            else:
                edges = len(nodes[state - 2]) if state >= 2 else 0
                top = at[state] - _chips_height(nodes[state - 2]) / 2 if edges else 0.0
                chips = tuple((left, top + k * (_CHIP_HEIGHT + 4)) for k in range(edges))
                boxes[state] = _Box(left + chip_width + _RADIUS, at[state], chips)
            y += height + gap
        left = spans[-1][1] + _COLUMN_GAP
    return _Layout(depth, boxes, lanes, spans, spans[-1][1], tall + 2 * _MARGIN)


def _passing(nodes: tuple[Node, ...], concat: tuple[int, ...], depth: list[int]) -> list[list[int]]:
    """Per column, the states from which an edge goes past it."""
    columns = max(depth) + 1
    reach = dict.fromkeys(concat, columns)  # the furthest column to which edges from a state go
    for state, node in enumerate(nodes, start=2):
        for _, source in node:
            reach[source] = max(reach.get(source, 0), depth[state])
    return [[state for state in reach if depth[state] < column < reach[state]] for column in range(columns)]


def _chips_height(node: Node) -> float:
    return len(node) * (_CHIP_HEIGHT + 4.0) - 4


def _wish(nodes: tuple[Node, ...], state: int, at: dict[int, float]) -> float:
    """The height at which a state's edges would be shortest: the mean of where they come from."""
    if state < 2:
        return float(state)
    return sum(at[source] for _, source in nodes[state - 2]) / len(nodes[state - 2])


def _path(layout: _Layout, state: int, column: int, x: float, y: float, dashed: bool = False) -> str:
    """An edge from a state to a point in front of a column, past the columns between on its lanes."""
    here = (layout.boxes[state].x + _RADIUS, layout.boxes[state].y)
    parts = [f"M{here[0]:.1f} {here[1]:.1f}"]
    for passed in range(layout.depth[state] + 1, column):
        left, right = layout.spans[passed]
        lane = layout.lanes[state, passed]
        parts.append(f"{_bend(*here, left, lane)} H{right:.1f}")
        here = (right, lane)
    parts.append(_bend(*here, x, y))
    style = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<path d="{" ".join(parts)}" fill="none" stroke="#888" stroke-width="1.4"{style}/>'


def _bend(x0: float, y0: float, x1: float, y1: float) -> str:
    bend = (x1 - x0) / 2
    return f"C{x0 + bend:.1f} {y0:.1f} {x1 - bend:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"


def _chip(primitive: str, x: float, y: float, box: _Box) -> str:
    colour = _COLOURS.get(drawn_as(primitive), _OTHER)
    fit = f' textLength="{_CHIP_WIDTH - 8}" lengthAdjust="spacingAndGlyphs"' if len(primitive) > _LONG else ""
    middle = y + _CHIP_HEIGHT / 2
    return (
        f'<path d="M{x + _CHIP_WIDTH} {middle:.1f} L{box.x - _RADIUS:.1f} {box.y:.1f}" stroke="#888" '
        f'stroke-width="1.4"/><rect x="{x}" y="{y:.1f}" width="{_CHIP_WIDTH}" height="{_CHIP_HEIGHT}" rx="4" '
        f'fill="{colour}" stroke="#999"/>'
        f'<text x="{x + _CHIP_WIDTH / 2}" y="{middle + 4:.1f}" text-anchor="middle"{fit}>{escape(primitive)}</text>'
    )


def _circle(box: _Box, label: str, fill: str) -> str:
    return (
        f'<circle cx="{box.x:.1f}" cy="{box.y:.1f}" r="{_RADIUS}" fill="{fill}" stroke="#555"/>'
        f'<text x="{box.x:.1f}" y="{box.y + 4:.1f}" text-anchor="middle">{label}</text>'
    )
