"""What a training is about to do, in a few lines, before it begins."""

from __future__ import annotations

from daas.data import MemoryImages
from daas.train.batches import MemoryBatches
from daas.train.options import TrainOptions
from daas.train.training import Training

_GIB = 2**30


def start_summary(run: Training) -> str:
    """Images, network and length, for people; said before the first step is tried out, which may take long.

    Args:
        run: That is about to start, or to go on.
    """
    options, batches = run.options, run.batches
    _, height, width = batches.transform["input_size"]
    parameters = sum(parameter.numel() for parameter in run.learner.model.parameters())
    left = (run.epochs - run.progress.epoch) * batches.per_epoch - run.progress.batch
    processes = f" in each of {run.place.world} processes" if run.place.world > 1 else ""
    begun = "" if not run.progress.epoch and not run.progress.batch else f", {left:,} of them left"
    return (
        f"images    {batches.name}: {batches.train_images:,} for training, {batches.val_images:,} for validation; "
        f"{len(batches.class_names)} classes; {height} x {width} pixels\n"
        f"network   {options.model}: {parameters / 1e6:.2f} million parameters\n"
        f"training  {run.epochs} epochs of {batches.per_epoch:,} iterations with {options.batch_size} images{processes}"
        f": {run.epochs * batches.per_epoch:,} iterations{begun}{_compiled(options)}"
    )


def _compiled(options: TrainOptions) -> str:
    """Of compiled steps, that they are."""
    if not options.torchcompile:
        return ""
    return f"\nsteps     compiled by {options.torchcompile}, which takes minutes where it optimises"


def cost_summary(run: Training, step_bytes: int) -> str:
    """Memory, and how steps run.

    Args:
        run: As of ``start_summary``.
        step_bytes: What one step needs, from ``try_out``.
    """
    return f"memory    about {(step_bytes + _held(run)) / _GIB:.2f} GiB on {run.place.device}{_steps(run)}"


def _steps(run: Training) -> str:
    """On CUDA, how steps are launched, and why."""
    if run.options.torchcompile or run.place.device.type != "cuda":
        return ""
    how = "one CUDA graph each" if run.learner.eager is None else f"operation by operation: {run.learner.eager}"
    return f"\nsteps     {how}"


def _held(run: Training) -> int:
    """Bytes of the images that are held."""
    if not isinstance(run.batches, MemoryBatches):
        return 0
    sets = {id(data): data for data in (run.batches.train, run.batches.val)}.values()
    return sum(data.images.nbytes for data in sets if isinstance(data, MemoryImages))
