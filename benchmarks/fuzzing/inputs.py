"""Hypothesis strategies for hostile and damaged files: JSON trees, texts, bytes."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1, 2, 7, 2**31, 2**63 - 1, -(2**63), 2**64, 10**400, 0.5, -0.0, 1e-300, 1e308,
    float("nan"),
    float("inf"), "", " ", "x", "x" * 3000, "\x1b[2J\x07", "\u202e", "\ud800", "\0", "../../etc/passwd", "/dev/zero",
    "a\nb",
    "<script>alert(1)</script>", "{{ 1 + 1 }}", "${HOME}", "__import__('os').system('true')", "none", "skip_connect",
    "Rotate",
    [], {}, [[]], [None], [0] * 3000, {"": {}}, {"format": 1}, [["sep_conv_3x3", 0]] * 100, "hf-hub:../..",
    "local-dir:/",
]  # fmt: skip
"""Values that are put in the place of good ones."""


def _places(tree: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [way] if way else []
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:40]) if isinstance(tree, list) else ()
    for key, value in items:
        found += _places(value, (*way, key))
    return found


@st.composite
def trees(draw: Any, good: Any) -> Any:
    """A JSON tree of which some parts are replaced, left out, added or doubled."""
    tree = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(tree)
        if not places:
            return draw(st.sampled_from(HOSTILE))
        *way, last = draw(st.sampled_from(places))
        parent = tree
        for key in way:
            parent = parent[key]
        action = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add", "double"]))
        if action == "replace":
            parent[last] = copy.deepcopy(draw(st.sampled_from(HOSTILE)))
        elif action == "remove":
            del parent[last]
        elif action == "add" and isinstance(parent, dict):
            parent[draw(st.text(max_size=9))] = copy.deepcopy(draw(st.sampled_from(HOSTILE)))
        elif isinstance(parent, list):
            parent.insert(0, copy.deepcopy(parent[last]))
    return tree


@st.composite
def damaged(draw: Any, good: bytes) -> bytes:
    """Bytes of which some are changed, cut off, put in or repeated."""
    content = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        action = draw(st.sampled_from(["flip", "flip", "cut", "insert", "repeat", "zero"]))
        if action == "flip" and content:
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif action == "cut":
            del content[place:]
        elif action == "insert":
            content[place:place] = draw(st.binary(max_size=12))
        elif action == "repeat":
            content[place:place] = content[place : place + 40] * draw(st.integers(1, 50))
        else:
            content[place : place + 8] = bytes(8)
    return bytes(content)


def texts(good: str) -> st.SearchStrategy[bytes]:
    """A damaged text, any text, deep nesting, wrong encodings."""
    nested = st.sampled_from(["[", '{"a":', "(", "- ", "[[", "'", "&a [*a, *a]\n"]).flatmap(
        lambda unit: st.integers(1, 40_000).map(lambda times: (unit * times)[:200_000].encode())
    )
    encoded = st.sampled_from(["utf-16", "utf-8-sig", "utf-32", "latin-1"]).map(
        lambda name: good.encode(name, "replace")
    )
    return st.one_of(
        damaged(good.encode()), damaged(good.encode()), st.text(max_size=300).map(lambda t: t.encode("utf-8",
        "replace")),
        nested, encoded, st.binary(max_size=200),
    )  # fmt: skip


def json_files(good: Any) -> st.SearchStrategy[bytes]:
    """A JSON file: hostile values in a good tree, or a damaged text."""
    text = json.dumps(good)
    written = trees(good).map(lambda tree: json.dumps(tree).encode("utf-8", "surrogatepass"))
    return st.one_of(written, written, written, texts(text))
