"""One step of the real configuration before anything is written, so that what cannot work is told at the start."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from timm.utils import NativeScaler
from torch import Tensor, nn

from daas.errors import BadInput
from daas.models.logits import fault
from daas.randomness import capture, restore
from daas.train import build
from daas.train.augmentation import mixed_when_loaded
from daas.train.batches import Batch, Place
from daas.train.effects import wrong_way
from daas.train.options import TrainOptions
from daas.train.step import step
from daas.train.training import Training

_MOSTLY = 0.5  # share of the first weights in a moving average from which it is said
_SAMPLED = 500  # updates at which the schedule is looked at


def try_out(run: Training) -> int:
    """Takes one step forward, backward and with an optimizer of its own on random images, and undoes it to the bit.

    Args:
        run: Is afterwards what it was: weights, statistics, modes, random streams.

    Returns:
        Bytes that such a step needs: weights, gradients, the optimizer's state, and what the backward pass keeps.

    Raises:
        BadInput: The step fails, and why; or the schedule does, or there are more processes than validation images.
    """
    if run.batches.val_images < run.place.world:
        raise BadInput(
            f"{run.place.world} processes share {run.batches.val_images} validation images, so that some have none. "
            "Use fewer processes, or more images."
        )
    _try_schedule(run)
    _look_at_average(run)
    model = run.learner.model
    if run.place.world > 1:
        model = copy.deepcopy(model)  # gradients of the other one are exchanged between the processes
    optimizer = build.optimizer(run.options, model, run.place.world)
    if getattr(optimizer, "is_second_order", False):
        raise BadInput(
            f"--opt {run.options.opt} takes second derivatives and draws random numbers that no checkpoint holds; it "
            "is not supported. Choose adamw, lamb or another one of timm's."
        )
    with _as_it_was(model, run.place.device), _Kept(model) as kept:
        _try_step(run, model, optimizer)
    if run.options.torchcompile:
        with _as_it_was(model, run.place.device):
            _try_compiled(run, model, optimizer)
    _refuse_unkept(run.options, optimizer)
    state = (v for values in optimizer.state_dict()["state"].values() for v in values.values())
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    gradients = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    return int(weights + gradients + sum(v.nbytes for v in state if isinstance(v, Tensor)) + kept.bytes)


def _try_step(run: Training, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One step with the sizes of the training.

    Raises:
        BadInput: It fails.
    """
    options, classes = run.options, _classes(run)
    outputs: list[Any] = []
    hook = model.register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        images = _take_step(run, model, model, optimizer)
    except BadInput:
        raise
    except (Exception, MemoryError) as error:  # models of all kinds raise anything on sizes that they are not made for
        raise BadInput(_said(run, error)) from error
    finally:
        hook.remove()
        optimizer.zero_grad()
    logits = outputs[-1][0] if isinstance(outputs[-1], tuple) else outputs[-1]
    wrong = fault(logits, len(images), classes)
    if wrong:
        raise BadInput(f"--model {options.model} answers {len(images)} images with {wrong}")


def _try_compiled(run: Training, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """The step that works as it is, compiled: without a hook, so that the training has no more to compile.

    Raises:
        BadInput: It fails, as without a compiler.
    """
    runner = run.learner.runner
    if run.place.world > 1:  # that one exchanges gradients with the other processes
        runner = build.wrapped(run.options, model, Place(run.place.device))
    try:
        _take_step(run, model, runner, optimizer)
    except (Exception, MemoryError) as error:  # compilers of all kinds raise anything
        text = " ".join((str(error) or repr(error)).strip().splitlines()[:2])[:300]  # the first names the backend
        raise BadInput(
            f"--torchcompile {run.options.torchcompile}: --model {run.options.model} takes a step as it is, and none "
            f"when it is compiled ({text.rstrip('.')}). Leave --torchcompile out, or name another backend."
        ) from error


def _take_step(run: Training, model: nn.Module, runner: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    """One step on random images: those, as the network saw them."""
    options, place = run.options, Place(run.place.device)
    scaler = None if run.learner.scaler is None else NativeScaler(device=place.device.type)
    learner = replace(run.learner, model=model, runner=runner, optimizer=optimizer, scaler=scaler)
    model.train()
    images, targets = run.augmentation(_random_batch(run, _classes(run)))
    if options.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    step(learner, images, targets, True, options.grad_accum_steps, options, place)
    return images


def _refuse_unkept(options: TrainOptions, optimizer: torch.optim.Optimizer) -> None:
    """Raises BadInput where an optimizer has made a step and knows something that no checkpoint holds."""
    whole, kept = optimizer.state_dict(), (Tensor, int, float)
    odd = set(whole) - {"state", "param_groups"}
    odd |= {name for slots in whole["state"].values() for name, v in slots.items() if not isinstance(v, kept)}
    if odd:
        raise BadInput(
            f"--opt {options.opt} keeps what no checkpoint holds ({', '.join(sorted(map(str, odd)))}), so that it "
            "could not go on after an interruption; it is not supported. Choose adamw, lamb or another one of timm's."
        )


def _classes(run: Training) -> int:
    """Outputs that the network should have."""
    return run.options.num_classes or len(run.batches.class_names)


def _random_batch(run: Training, classes: int) -> Batch:
    """What a batch of the training looks like."""
    options, device = run.options, run.place.device
    shape = (options.batch_size, *run.batches.transform["input_size"])
    images = torch.randint(256, shape, dtype=torch.uint8).to(device)
    labels = torch.arange(options.batch_size, device=device) % len(run.batches.class_names)
    if mixed_when_loaded(options):
        labels = nn.functional.one_hot(labels, classes).float()
    held = run.augmentation.held
    return Batch(images if held or not options.no_prefetcher else images / 255.0, labels, 0 if held else None)


def _said(run: Training, error: BaseException) -> str:
    """Why a step failed, and what to do."""
    options, text = run.options, (str(error) or repr(error)).strip().splitlines()[0][:300]
    _, height, width = run.batches.transform["input_size"]
    batch = f"a batch of {options.batch_size} images of {height} x {width} pixels"
    smaller = "Are the images too small for it? Take another --img-size, or a model that takes this one (some need "
    smaller += "--model-kwargs img_size=...)"
    known = {
        "more than 1 value per channel": "Batch norm needs more than one value per channel: take a larger "
        "--batch-size, or larger images",
        "does not require grad": "Nothing in this model has a gradient: choose one that can be trained",
        **dict.fromkeys(("kernel size", "output size", "input height", "input size", "shapes cannot"), smaller),
    }
    out = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    way = next(
        (way for word, way in known.items() if word in text.lower()), "Choose another model, image size or --opt"
    )
    if out:
        way = "Take a smaller --batch-size (and --grad-accum-steps for the rest), smaller images (--img-size), --amp, "
        way += "or --grad-checkpointing"
    return f"--model {options.model} cannot take a step on {batch} with --opt {options.opt}: {text.rstrip('.')}. {way}."


def _look_at_average(run: Training) -> None:
    """Says where a moving average that is validated and saved will mostly be the weights that a training began with."""
    ema = run.learner.ema
    if ema is None or run.options.model_ema_force_cpu or not run.place.first:
        return
    share, updates = 1.0, run.epochs * run.learner.updates_per_epoch
    for update in range(2, updates + 1):  # the first one is taken over whole
        share *= ema.get_decay(update)
        if share < _MOSTLY:
            return
    print(
        f"Warning: after all {updates} updates the moving average (--model-ema-decay {run.options.model_ema_decay:g}), "
        f"which is validated and saved, still consists to {100 * share:.0f}% of the weights that it began with. Take a "
        "smaller decay, --model-ema-warmup, or no --model-ema.", file=sys.stderr
    )  # fmt: skip


def _try_schedule(run: Training) -> None:
    """Asks a schedule of its own for the learning rates of the whole training.

    Raises:
        BadInput: It has none somewhere.
    """
    options: TrainOptions = run.options
    updates, lr = run.learner.updates_per_epoch, build.learning_rate(options, run.place.world)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    for text in wrong_way(options, lr) if run.place.first else ():
        print(f"Warning: {text}", file=sys.stderr)
    try:
        schedule, epochs = build.schedule(options, optimizer, updates)
        if schedule is None:
            return
        if run.place.first and options.sched != "onecycle" and options.warmup_epochs >= epochs:
            print(
                f"Warning: the warm-up (--warmup-epochs {options.warmup_epochs}) takes up all {epochs} epochs, and the "
                "learning rate stays below what it should reach. Shorten it, or train for longer.", file=sys.stderr
            )  # fmt: skip
        every = max(1, epochs * updates // _SAMPLED)
        for update in (*range(0, epochs * updates, every), epochs * updates):
            schedule.step_update(num_updates=update, metric=1.0)
            _number(optimizer)
        for epoch in range(epochs + 1):
            schedule.step(epoch, 1.0)
            _number(optimizer)
    except (ArithmeticError, TypeError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"--sched {options.sched} with these options has no learning rate somewhere in {options.epochs} epochs "
            f"({str(error).rstrip('.')}). Look at --epochs, --warmup-epochs, --decay-*, --lr-cycle-* and --lr-k-decay."
        ) from error


def _number(optimizer: torch.optim.Optimizer) -> None:
    value = optimizer.param_groups[0]["lr"]
    if isinstance(value, complex) or not 0 <= value < float("inf"):
        raise ValueError(f"it is {value}")


@contextmanager
def _as_it_was(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Weights, buffers, modes, gradients and the global random streams are afterwards what they were."""
    streams = capture(device)
    modes = [(module, module.training) for module in model.modules()]
    tensors = [*model.parameters(), *model.buffers()]
    values = [tensor.detach().to("cpu", copy=True) for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)
        for parameter in model.parameters():
            parameter.grad = None
        for module, mode in modes:
            module.training = mode
        restore(streams, device)


class _Kept:
    """Counts the bytes, without the model's own, that the forward pass keeps for the backward pass."""

    def __init__(self, model: nn.Module) -> None:
        self._seen: dict[int, int] = {}
        self._own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
        self._hooks: Any = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self._seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def bytes(self) -> int:
        """Of different pieces of memory."""
        return sum(size for place, size in self._seen.items() if place not in self._own)

    def __enter__(self) -> _Kept:
        self._hooks.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._hooks.__exit__(*raised)
