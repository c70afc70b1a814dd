"""The learning rate of every update of a training, as a table."""

from __future__ import annotations

from array import array

import torch
from torch import Tensor

from daas.train import build
from daas.train.options import TrainOptions


def rates_of(options: TrainOptions, optimizer: torch.optim.Optimizer, updates_per_epoch: int) -> Tensor:
    """What the schedule sets before each update, computed with a schedule of its own.

    Args:
        options: The run's; not with ``--sched plateau``, which follows what the training comes to.
        optimizer: The run's, with or without a schedule on it; it is not changed.
        updates_per_epoch: Optimizer steps.

    Returns:
        [updates, groups] float64: of update ``epoch * updates_per_epoch + n``, both from 0.

    >>> import torch
    >>> from daas.train.options import TrainOptions
    >>> sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    >>> rates_of(TrainOptions(epochs=3, warmup_epochs=0, sched="step", decay_epochs=1), sgd, 2).flatten()
    tensor([0.1000, 0.1000, 0.0100, 0.0100, 0.0010, 0.0010], dtype=torch.float64)
    """
    stand_in = torch.optim.SGD([_group(group) for group in optimizer.param_groups], lr=0.0)
    schedule, epochs = build.schedule(options, stand_in, updates_per_epoch)
    rates = array("d")  # millions of updates are usual
    for epoch in range(epochs):
        for update in range(updates_per_epoch):
            rates.extend(group["lr"] for group in stand_in.param_groups)
            if schedule is not None:
                schedule.step_update(num_updates=epoch * updates_per_epoch + update + 1)
        if schedule is not None:
            schedule.step(epoch + 1)
    return torch.frombuffer(rates, dtype=torch.float64).view(-1, len(stand_in.param_groups))


def _group(of: dict[str, object]) -> dict[str, object]:
    """A parameter group of one number, with what schedules read of another one."""
    kept = {"lr": of.get("initial_lr", of["lr"]), **({"lr_scale": of["lr_scale"]} if "lr_scale" in of else {})}
    return {"params": [torch.nn.Parameter(torch.zeros(1))], **kept}
