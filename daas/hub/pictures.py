"""The pictures of a model card: the policy's operations, and what the policy makes of a test card."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from torch import Tensor

from daas.augment import DAASPolicy, Policy
from daas.files import written
from daas.seeds import generator

_COLUMNS, _ROWS, _SIDE = 6, 4, 64


def policy_picture(policy: Policy, path: Path) -> None:
    """Draws how often each operation is applied, and 23 augmented copies of a test card beside the card itself.

    Args:
        policy: The policy.
        path: A PNG file to write.
    """
    share = policy.operation_share()
    names = sorted(share, key=lambda name: share[name])
    card = _test_card()
    count, transform = _COLUMNS * _ROWS - 1, DAASPolicy(policy)
    copies = transform.apply(card.expand(count, -1, -1, -1).contiguous(), transform.sample(count, generator(0)))
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 4), layout="constrained")
        grid = figure.add_gridspec(_ROWS, 2 * _COLUMNS)
        axis = figure.add_subplot(grid[:, :_COLUMNS])
        axis.barh(names, [share[name] for name in names], color="#5b8db8")
        axis.set_xlabel("expected applications per image")
        for index, image in enumerate(torch.cat([card, copies])):
            tile = figure.add_subplot(grid[index // _COLUMNS, _COLUMNS + index % _COLUMNS])
            tile.imshow(image.permute(1, 2, 0).numpy())
            tile.set_xticks([])
            tile.set_yticks([])
            if index == 0:
                tile.set_title("unchanged", fontsize=8)
        with written(path) as aside:
            figure.savefig(aside, format="png", dpi=110, metadata={"Software": None})


def _test_card() -> Tensor:
    """[1, 3, 64, 64] uint8: a colour gradient with a bright disc, a dark bar and a white frame."""
    axis = torch.linspace(0, 1, _SIDE)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    image = torch.stack([x, 0.25 + 0.5 * y, 1 - x])
    disc = (x - 0.36).square() + (y - 0.4).square() < 0.05
    bar = (y - 0.78).abs() + (x - 0.55).abs() * 0.15 < 0.07
    frame = (x - 0.5).abs().maximum((y - 0.5).abs()) > 0.47
    image[:, disc] = torch.tensor([0.98, 0.8, 0.2]).view(3, 1)
    image[:, bar] = 0.1
    image[:, frame] = 1.0
    return (image * 255).round().to(torch.uint8).unsqueeze(0)
