"""The report's pictures, as inline SVG or PNG: curves, heat maps, augmented images."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

_STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in somebody's name is a $
}  # fmt: skip
MEANING = {
    "alpha": "alpha: operation of an edge",
    "beta": "beta: edges of a node",
    "pi": "pi: which operations",
    "p": "p: how often applied",
    "delta": "delta: how strong",
}
"""What the symbols of the distributions stand for."""
_Curves = dict[str, Sequence[float | None]]
_SIZE = (4.9, 2.7)  # inches of a plot over the epochs: two beside each other on a desk, one on a phone


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def losses(lines: Sequence[dict[str, Any]]) -> str:
    """Training and validation loss over the epochs."""
    return _over_epochs(lines, "loss (cross-entropy)", {
        "training (augmented)": [line["train_loss"] for line in lines],
        "validation": [line["val_loss"] for line in lines],
    })  # fmt: skip


def accuracies(lines: Sequence[dict[str, Any]]) -> str:
    """Accuracy of the sampled networks and of the derived one; of a fixed network a step ahead, and as it is."""
    fixed = "skip_share" not in lines[-1]
    return _over_epochs(lines, "accuracy (percent)", {
        "training (augmented)": [line["train_accuracy"] for line in lines],
        f"validation, {'a step ahead' if fixed else 'sampled networks'}": [line["val_accuracy"] for line in lines],
        f"validation, {'the network' if fixed else 'derived network'}": [line["derived_accuracy"] for line in lines],
    })  # fmt: skip


def learning_rates(lines: Sequence[dict[str, Any]]) -> str:
    """Learning rate of the weights over the epochs."""
    return _over_epochs(lines, "learning rate of the weights", {"": [line["lr"] for line in lines]})


def entropies(lines: Sequence[dict[str, Any]]) -> str:
    """How decided each distribution is, and the share of skip connections, over the epochs."""
    values: _Curves = {
        MEANING.get(name, name): [line["entropy"][name] for line in lines] for name in lines[-1]["entropy"]
    }
    if "skip_share" in lines[-1]:
        values["share of skips"] = [line["skip_share"] for line in lines]
    return _over_epochs(lines, "entropy (1 = undecided, 0 = decided)", values, limits=(-0.03, 1.05))


def signals(lines: Sequence[dict[str, Any]]) -> str:
    """Signal-to-noise ratio of gamma's gradient over the joint epochs; noise alone has 1."""
    joint = [line for line in lines if line.get("policy_signal")]
    if not joint:
        return ""
    values: _Curves = {
        MEANING.get(name, name): [line["policy_signal"].get(name) for line in joint]
        for name in joint[-1]["policy_signal"]
    }
    return _over_epochs(joint, "signal / noise of the policy's gradient", values, level=1.0)


def gains(lines: Sequence[dict[str, Any]]) -> str:
    """How much lower the validation loss is after a step under the policy than under a uniform one, +- 2 errors."""
    joint = [line for line in lines if "policy_gain" in line]
    if not joint:
        return ""
    with mpl.rc_context(_STYLE):
        figure = _figure(*_SIZE)
        axis = figure.subplots()
        axis.errorbar(
            [line["epoch"] for line in joint],
            [line["policy_gain"]["mean"] for line in joint],
            yerr=[2 * line["policy_gain"]["se"] for line in joint],
            marker=".",
            capsize=2,
        )
        axis.axhline(0.0, color="#888", linestyle="--", linewidth=1)
        axis.set_title("policy beside a uniform one (above 0: better)")
        _finish(axis, None)
        return _svg(figure)


def shares(lines: Sequence[dict[str, Any]]) -> str:
    """The expected use of each operation over the epochs; the six most used at the end are named."""
    last = lines[-1]["operation_share"]
    top = sorted(last, key=last.get, reverse=True)[:6]
    with mpl.rc_context(_STYLE):
        figure = _figure(*_SIZE)
        axis = figure.subplots()
        for name in last:
            style: dict[str, Any] = {"label": name, "marker": "."} if name in top else {"color": "#ccc", "zorder": 0}
            axis.plot([line["epoch"] for line in lines], [line["operation_share"][name] for line in lines], **style)
        axis.set_title("expected applications per image")
        figure.legend(fontsize=8, ncols=3, loc="outside lower center", frameon=False)
        _finish(axis, _start(lines))
        return _svg(figure)


def _over_epochs(
    lines: Sequence[dict[str, Any]],
    title: str,
    values: _Curves,
    limits: tuple[float, float] | None = None,
    level: float | None = None,
) -> str:
    """Curves over the epochs, named where there are several; a dashed line at ``level``."""
    with mpl.rc_context(_STYLE):
        figure = _figure(*_SIZE)
        axis = figure.subplots()
        for name, row in values.items():
            numbers = [np.nan if value is None else value for value in row]
            axis.plot([line["epoch"] for line in lines], numbers, marker=".", label=name or None)
        if level is not None:
            axis.axhline(level, color="#888", linestyle="--", linewidth=1)
        if limits is not None:
            axis.set_ylim(*limits)
        axis.set_title(title)
        if len(values) > 1:
            figure.legend(fontsize=8, ncols=2, loc="outside lower center", frameon=False)  # beside, not on, the curves
        _finish(axis, _start(lines))
        return _svg(figure)


def _start(lines: Sequence[dict[str, Any]]) -> float | None:
    """Where the warm-up ends, if the lines show it."""
    if lines[0]["phase"] == "joint":
        return None
    return next((line["epoch"] - 0.5 for line in lines if line["phase"] == "joint"), None)


def _finish(axis: Any, start: float | None) -> None:
    axis.set_xlabel("epoch")
    axis.xaxis.get_major_locator().set_params(integer=True)
    if start is not None:
        axis.axvline(start, color="#bbb", linestyle=":", linewidth=1)


def cost_against_accuracy(
    costs: Sequence[float], accuracies: Sequence[float], chosen: int, limit: float | None, unit: str
) -> str:
    """Networks by what they cost and how well they do; the chosen one is marked, the limit a line.

    Args:
        costs: One per network.
        accuracies: Percent.
        chosen: Which network.
        limit: None for none.
        unit: Of the cost, for the axis.
    """
    with mpl.rc_context(_STYLE):
        figure = _figure(*_SIZE)
        axis = figure.subplots()
        others = [index for index in range(len(costs)) if index != chosen]
        axis.scatter([costs[i] for i in others], [accuracies[i] for i in others], s=14, color="#89a", label="drawn")
        axis.scatter([costs[chosen]], [accuracies[chosen]], s=110, marker="*", color="#c33", label="chosen", zorder=3)
        if limit is not None:
            axis.axvline(limit, color="#888", linestyle="--", linewidth=1, label="limit")
        axis.set_title("accuracy (percent), weights of the search")
        axis.set_xlabel(unit)
        axis.legend(fontsize=8)
        return _svg(figure)


def heat_map(values: Any, rows: Sequence[str], columns: Sequence[str], title: str, size: tuple[float, float]) -> str:
    """A matrix with named rows and columns."""
    with mpl.rc_context({**_STYLE, "axes.spines.left": False, "axes.spines.bottom": False}):
        figure = _figure(*size)
        axis = figure.subplots()
        image = axis.imshow(np.asarray(values, dtype=float), cmap="viridis", aspect="auto")
        axis.set_xticks(range(len(columns)), columns, rotation=60, ha="right")
        axis.set_yticks(range(len(rows)), rows)
        axis.set_title(title)
        figure.colorbar(image, ax=axis, shrink=0.8)
        return _svg(figure)


def picture(image: Tensor, size: int = 96) -> str:
    """[3, H, W] uint8 -> PNG data URI, enlarged without smoothing."""
    array = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    factor = max(1, size // array.width)
    buffer = io.BytesIO()
    array.resize((array.width * factor, array.height * factor), Image.Resampling.NEAREST).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def small_picture(image: Tensor, size: int = 32) -> str:
    """[3, H, W] uint8 -> JPEG data URI of a kilobyte or so, for pages with very many."""
    found = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    found.thumbnail((size, size))
    buffer = io.BytesIO()
    found.save(buffer, format="JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
