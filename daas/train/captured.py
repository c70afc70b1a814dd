"""A training step as one piece that is launched at once: from bytes to changed weights, without a wait.

What the step reads lies in memory of its own, which is filled before each launch: the batch, the policy's draw, and the
number of the update, by which it finds its learning rate in a table on the device.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from daas.augment import Draw
from daas.errors import BadInput
from daas.recording import CUDAGraph, Eager, Recorder, Uncapturable, why_not_tried
from daas.sending import sent
from daas.train.augmentation import BatchAugmentation, Ready
from daas.train.batches import Place
from daas.train.options import TrainOptions
from daas.train.rates import rates_of
from daas.train.step import autocast, clip, loss_of
from daas.train.training import Learner

_FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Optimizers with a form that reads its learning rate on the device, on every kind of device."""


def why_eager(options: TrainOptions, place: Place, optimizer: torch.optim.Optimizer) -> str | None:
    """Why the steps of a training are not captured; None: they are.

    Raises:
        BadInput: ``--graph on``, and they cannot be.
    """
    if options.graph == "off":
        return "--graph off"
    reason = None if place.device.type == "cuda" else f"CUDA graphs are for CUDA, and the device is {place.device}"
    reason = reason or _against(options, place, optimizer)
    if reason is not None and options.graph == "on":
        raise BadInput(f"--graph on: {reason}. Leave --graph out, or change that.")
    if reason is None and options.graph == "auto" and (trace := why_not_tried()) is not None:
        return f"{trace} (--graph on tries it all the same, and ends there)"
    return reason


def _against(options: TrainOptions, place: Place, optimizer: torch.optim.Optimizer) -> str | None:
    """The first option that does not go with a captured step."""
    fused = type(optimizer) in _FUSED
    found = {
        f"{place.world} processes exchange gradients within a step": place.world > 1,
        "--torchcompile launches steps in its own way (--torchcompile-mode reduce-overhead)": options.torchcompile,
        "--grad-accum-steps makes some steps differ from others": options.grad_accum_steps > 1,
        "--grad-checkpointing keeps random states on the host": options.grad_checkpointing,
        "--amp-dtype float16 needs a scaler that decides from step to step (bfloat16 needs none)": options.amp
        and options.amp_dtype == "float16",
        "--sched plateau follows what the training comes to": options.sched == "plateau",
        f"--opt {options.opt} reads its learning rate on the host (sgd, momentum, adam and adamw do not)": not fused,
        "--opt-kwargs may name what a captured optimizer does not have": options.opt_kwargs,
    }
    return next((reason for reason, holds in found.items() if holds), None)


def captured_step(
    learner: Learner, augmentation: BatchAugmentation, options: TrainOptions, place: Place, alone: bool = True
) -> CapturedStep:
    """A captured step of a training for which ``why_eager`` is None.

    Args:
        learner: Before it has learned, or taken from a checkpoint.
        augmentation: Its batches' way into the network.
        options: The run's.
        place: This process.
        alone: Whether no other training runs beside it in this process.
    """
    return CapturedStep(learner, augmentation, options, place, recorder(place.device, alone))


def recorder(device: torch.device, alone: bool) -> Recorder:
    """What keeps steps on a device."""
    return CUDAGraph(device, alone) if device.type == "cuda" else Eager()


class CapturedStep:
    """Forward, backward, clipping and an update, all of them in one launch.

    The moving average is not among them: it follows as after any step, in a few launches of its own.

    Args:
        learner: What learns; its optimizer is one of ``_FUSED`` and takes its fused form from here on.
        augmentation: Its batches' way into the network.
        options: The run's.
        place: This process.
        recorder: Keeps the step.
    """

    def __init__(
        self,
        learner: Learner,
        augmentation: BatchAugmentation,
        options: TrainOptions,
        place: Place,
        recorder: Recorder,
    ) -> None:
        self.learner: Learner = weakref.proxy(learner)  # which has this
        self.augmentation, self.options, self.place = augmentation, options, place
        self.recorder = recorder
        rates = rates_of(options, learner.optimizer, learner.updates_per_epoch)
        self._table = rates.to(place.device, torch.float32)
        self._update = torch.zeros(1, dtype=torch.int64, device=place.device)
        self._rates = torch.zeros(1, rates.shape[1], device=place.device)
        self._loss = torch.zeros((), device=place.device)
        self._batch: tuple[Tensor, ...] = ()
        self._of: tuple[object, ...] | None = None
        for group in learner.optimizer.param_groups:
            group.update(fused=True, foreach=False)

    def start_at(self, update: int) -> None:
        """Says which update of the whole training comes next, from 0."""
        self._update.fill_(update)

    def forget(self) -> None:
        """Before the next step it is captured anew, since the network or the policy is another one."""
        self._of = None

    def __call__(self, ready: Ready) -> Tensor:
        """Takes a step.

        Args:
            ready: Images with the policy and normalisation still to do, or normalised.

        Returns:
            The loss, a scalar that nobody has waited for.

        Raises:
            Uncapturable: The step cannot be captured; nothing has changed.
        """
        draw = () if ready.draw is None else (ready.draw.op, ready.draw.value, ready.draw.center)
        given = (ready.images, ready.targets, *draw)
        of = tuple((tensor.shape, tensor.dtype, tensor.stride()) for tensor in given)
        if of != self._of:
            self._batch = tuple(torch.empty_like(tensor, device=self.place.device) for tensor in given)
        for mine, tensor in zip(self._batch, given, strict=True):
            mine.copy_(sent(tensor, mine.device))
        if of != self._of:
            self._record()
            self._of = of
        self.recorder.replay()
        return self._loss.clone()

    def _record(self) -> None:
        model, optimizer = self.learner.model, self.learner.optimizer
        try:
            self.recorder.record(self._step, [*model.parameters(), *model.buffers(), self._update], optimizer)
        except Uncapturable:
            optimizer.zero_grad()  # which warming up left behind, and the next backward pass would add to
            raise

    def _step(self) -> None:
        """What is captured: reads and writes memory that stays where it is."""
        learner, options = self.learner, self.options
        images, targets, *draw = self._batch
        images = self.augmentation.finish(images, Draw(*draw) if draw else None)
        if options.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with autocast(options, self.place.device, cache=False):
            loss = loss_of(learner, images, targets, options)
        learner.optimizer.zero_grad()  # so that the graph has gradients of its own
        loss.backward()
        clip(options, learner.model)
        row = self._update.clamp(max=len(self._table) - 1)  # warming up near the end goes beyond it
        torch.index_select(self._table, 0, row, out=self._rates)
        with _rates_on_device(learner.optimizer, self._rates[0]):
            learner.optimizer.step()
        self._update.add_(1)
        self._loss.copy_(loss.detach())


@contextmanager
def _rates_on_device(optimizer: torch.optim.Optimizer, rates: Tensor) -> Iterator[None]:
    """Within the block the optimizer reads learning rates from a tensor, [groups]; outside they are numbers.

    So schedule, logs and checkpoints see what they see without a graph.
    """
    groups = optimizer.param_groups
    before: list[dict[str, object]] = [
        {key: group[key] for key in ("lr", "capturable") if key in group} for group in groups
    ]
    try:
        for group, rate in zip(groups, rates.unbind(), strict=True):
            group["lr"] = rate
            if "capturable" in group:
                group["capturable"] = True
        yield
    finally:
        for group, kept in zip(groups, before, strict=True):
            group.update(kept)
