"""What people watch while a training runs: lines, TensorBoard, Weights & Biases, pictures of batches."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torchvision.utils import save_image

from daas.errors import BadInput
from daas.files import make_folder
from daas.train.options import TrainOptions
from daas.train.output import as_json


class Logs:
    """Everything that is asked for; made in the first process alone.

    Args:
        options: The run's.
        folder: Of the run.
        step: Batch at which a resumed run goes on, so that curves do not run twice.

    Raises:
        BadInput: A library that is not installed, or a folder that cannot be made.
    """

    def __init__(self, options: TrainOptions, folder: Path, step: int) -> None:
        self.options, self.folder = options, folder
        self.board: Any = None
        self.wandb: ModuleType | None = _wandb() if options.log_wandb else None
        make_folder(folder, "--output")
        if options.tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise BadInput(f"--tensorboard: {error}. pip install 'timm-daas[tensorboard]'.") from error
            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)
        if self.wandb is not None:
            self.wandb.init(
                project=options.wandb_project, name=options.experiment or folder.name, config=as_json(vars(options)),
                tags=list(options.wandb_tags), resume="must" if options.wandb_resume_id else None,
                id=options.wandb_resume_id or None, dir=str(folder),
            )  # fmt: skip

    def batch(self, step: int, epoch: int, batch: int, total: int, loss: float, lr: float, images: Tensor) -> None:
        """Logs within an epoch, every ``--log-interval`` batches.

        Args:
            step: Batches since the start.
            epoch: From 0.
            batch: Batches of this epoch that are done.
            total: Batches of an epoch.
            loss: Mean of this epoch so far.
            lr: Learning rate.
            images: [B, 3, H, W], as the network saw them.
        """
        if batch % self.options.log_interval:
            return
        if not sys.stderr.isatty():  # otherwise the progress bar says it
            print(f"epoch {epoch}  batch {batch}/{total}  loss {loss:.4f}  lr {lr:.3g}", file=sys.stderr, flush=True)
        if self.board is not None:
            self.board.add_scalar("batch/loss", loss, step)
            self.board.add_scalar("batch/lr", lr, step)
        if self.options.save_images:
            save_image(images.float(), self.folder / f"train-batch-{step}.jpg", padding=0, normalize=True)

    def epoch(self, step: int, values: Mapping[str, float]) -> None:
        """Logs after an epoch.

        Args:
            step: Batches since the start.
            values: Curve name -> value.
        """
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"epoch/{name}", value, step)

    def close(self) -> None:
        """Writes what is still in memory."""
        if self.board is not None:
            self.board.close()
        if self.wandb is not None:
            self.wandb.finish()


def _wandb() -> ModuleType:
    try:
        import wandb  # type: ignore[import-not-found,unused-ignore]  # an extra of the user's
    except ImportError as error:
        raise BadInput("--log-wandb: Weights & Biases is not installed. pip install wandb.") from error
    return wandb  # type: ignore[no-any-return,unused-ignore]


def mean_lr(optimizer: torch.optim.Optimizer) -> float:
    """Mean learning rate of the parameter groups, as timm logs it."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    return sum(rates) / len(rates)
