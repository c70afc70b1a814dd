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

mpl.use("Agg")
_STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"}


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def curves(lines: Sequence[dict[str, Any]]) -> str:
    """Loss, accuracy and learning rate over the epochs; the end of the warm-up is marked."""
    epochs = [line["epoch"] for line in lines]
    start = next((line["epoch"] - 0.5 for line in lines if line["phase"] == "joint"), None)
    with mpl.rc_context(_STYLE):
        figure = _figure(10, 2.8)
        axes = figure.subplots(1, 3)
        for axis, name, unit in ((axes[0], "loss", "cross-entropy"), (axes[1], "accuracy", "percent")):
            axis.plot(epochs, [line[f"train_{name}"] for line in lines], marker=".", label="training (augmented)")
            axis.plot(epochs, [line[f"val_{name}"] for line in lines], marker=".", label="validation")
            axis.set_ylabel(unit)
            axis.set_title(name)
        axes[0].legend(fontsize=8)
        axes[2].plot(epochs, [line["lr"] for line in lines], marker=".", color="#555")
        axes[2].set_title("learning rate of the weights")
        _finish(axes, start)
        return _svg(figure)


def entropies(lines: Sequence[dict[str, Any]]) -> str:
    """How decided each distribution is, over the epochs."""
    epochs = [line["epoch"] for line in lines]
    start = next((line["epoch"] - 0.5 for line in lines if line["phase"] == "joint"), None)
    with mpl.rc_context(_STYLE):
        figure = _figure(5, 2.6)
        axis = figure.subplots()
        for name in lines[-1]["entropy"]:
            axis.plot(epochs, [line["entropy"][name] for line in lines], marker=".", label=name)
        axis.set_ylim(-0.03, 1.05)
        axis.set_title("entropy (1 = undecided, 0 = decided)")
        axis.legend(fontsize=8, ncols=3)
        _finish([axis], start)
        return _svg(figure)


def shares(lines: Sequence[dict[str, Any]]) -> str:
    """The expected use of each operation over the epochs; the six most used at the end are named."""
    epochs = [line["epoch"] for line in lines]
    last = lines[-1]["operation_share"]
    top = sorted(last, key=last.get, reverse=True)[:6]
    with mpl.rc_context(_STYLE):
        figure = _figure(5, 2.6)
        axis = figure.subplots()
        for name in last:
            style = {"label": name} if name in top else {"color": "#ccc", "zorder": 0}
            axis.plot(epochs, [line["operation_share"][name] for line in lines], **style)
        axis.set_title("expected applications per image")
        axis.legend(fontsize=8, ncols=2)
        _finish([axis], next((line["epoch"] - 0.5 for line in lines if line["phase"] == "joint"), None))
        return _svg(figure)


def _finish(axes: Any, start: float | None) -> None:
    for axis in axes:
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        if start is not None:
            axis.axvline(start, color="#bbb", linestyle=":", linewidth=1)


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
