"""Options that do not go together are refused before anything is read."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from daas.errors import BadInput
from daas.models.weights import check_ending
from daas.processes import refuse_in_a_pool
from daas.ranges import Range, check_ranges
from daas.train.options import TrainOptions

_LOADER_ONLY = (
    "class_map", "crop_pct", "interpolation", "worker_seeding", "pin_mem", "no_prefetcher", "scale", "ratio", "vflip",
    "color_jitter", "color_jitter_prob", "grayscale_prob", "gaussian_blur_prob", "train_interpolation",
    "aa_in_workers",
)  # fmt: skip
_PAD_ONLY = ("crop_padding", "hflip_swap")
_SEED = Range(0, 2**32 - 2**16)  # NumPy takes 32 bits, and each process adds its number
_PAIRS: dict[str, tuple[float, float]] = {
    "crop_pct": (0.1, 2), "scale": (0, 1), "ratio": (0.01, 100), "cutmix_minmax": (0, 1)
}  # fmt: skip
"""What one number, or the first and the second of two, may be."""
_RESAMPLING = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


def holds_images(options: TrainOptions) -> bool:
    """Whether the images are held on the device, and not loaded by timm's loader."""
    return options.train_crop_mode == "pad" or (options.train_crop_mode is None and options.dataset == "digits")


def check(options: TrainOptions) -> None:
    """Refuses what cannot be.

    Raises:
        BadInput: Which option, and what to do.
    """
    check_ranges(options, seed=_SEED)
    _check_pairs(options)
    for name in ("initial_checkpoint", "pretrained_path", "validate"):
        path = getattr(options, name)
        if path:
            check_ending(_flag(name), path)
    if options.recovery_interval % options.grad_accum_steps:
        raise BadInput(
            f"--recovery-interval {options.recovery_interval}: a checkpoint comes after an update, so it must be a "
            f"multiple of --grad-accum-steps {options.grad_accum_steps}."
        )
    _check_images(options)


def _check_pairs(options: TrainOptions) -> None:
    """What timm takes without a word, or stops at with the first image."""
    for name, (least, most) in _PAIRS.items():
        value = getattr(options, name)
        pair = value if isinstance(value, tuple) else (value, value)
        if value is not None and not (len(pair) == 2 and least <= pair[0] <= pair[1] <= most and pair[1]):
            two = isinstance(value, tuple)
            several = "two numbers, the smaller first, the larger above 0, " if two else "a number "
            said = " ".join(map(str, value)) if two else value
            raise BadInput(f"{_flag(name)} {said}: expected {several}from {least} to {most}.")
    for name in ("mean", "std"):
        value = getattr(options, name)
        if value is not None and len(value) not in (1, 3):
            raise BadInput(f"{_flag(name)} {' '.join(map(str, value))}: expected one number, or three numbers.")
    for name, more in (("interpolation", ()), ("train_interpolation", ("random",))):
        value = getattr(options, name)
        if value and value not in (*_RESAMPLING, *more):
            raise BadInput(f"{_flag(name)} {value}: it is one of {', '.join((*_RESAMPLING, *more))}.")


def _check_images(options: TrainOptions) -> None:
    defaults: dict[str, Any] = {f.name: f.default for f in fields(TrainOptions)}
    held = holds_images(options)
    if options.workers and not held:
        refuse_in_a_pool(f"--workers {options.workers}", "workers=0")
    wrong = [name for name in (_LOADER_ONLY if held else _PAD_ONLY) if getattr(options, name) != defaults[name]]
    if held and options.aa and not options.aa.startswith("daas:"):
        raise BadInput(
            f"--aa {options.aa} is timm's, which works image by image in timm's loader (--train-crop-mode rrc). For "
            "images that are held on the device name a policy: daas:randaugment, daas:autoaugment_cifar10, daas:PATH."
        )
    if held and options.input_size is not None and len(set(options.input_size[1:])) > 1:
        raise BadInput(f"--input-size {options.input_size}: images that are held on the device are square.")
    if wrong and held:
        raise BadInput(
            f"{', '.join(map(_flag, wrong))}: these belong to timm's loader, and the images are held on the device "
            "(--train-crop-mode pad): leave them out, or choose --train-crop-mode rrc."
        )
    if wrong:
        raise BadInput(f"{', '.join(map(_flag, wrong))}: these belong to --train-crop-mode pad.")
    if options.dataset == "digits" and not held:
        raise BadInput(f"--train-crop-mode {options.train_crop_mode}: digits are held in memory; leave it out.")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
