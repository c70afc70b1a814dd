"""Values in the text of other programs, read without running anything."""

from __future__ import annotations

import ast
from typing import Any

_WRAPPERS = ("int64", "int32", "int_", "intp", "float64", "float32", "str_", "array", "tensor")


def literal(node: ast.expr) -> Any:
    """The value of a literal, also where NumPy and torch print something around it: ``np.int64(0)``, ``tensor(2)``.

    Raises:
        ValueError: Something else.
        TypeError: Something else.
        SyntaxError: Something else.
        RecursionError: Nested too deeply.
        MemoryError: Nested too deeply.

    >>> literal(ast.parse("[('ShearX', np.float64(0.5))]", mode="eval").body)
    [('ShearX', 0.5)]
    """
    return ast.literal_eval(_Plain().visit(node))


class _Plain(ast.NodeTransformer):
    """Takes off what is printed around values."""

    def visit_Call(self, node: ast.Call) -> ast.AST:  # the name that ast calls
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return node.args[0] if len(node.args) == 1 and name in _WRAPPERS else node
