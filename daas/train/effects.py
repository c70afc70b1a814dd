"""Options that timm's script takes silently: those that change nothing, since what they belong to is off, and rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from timm.optim import get_optimizer_info

from daas.train.augmentation import mixes
from daas.train.options import AugmentationOptions, LossOptions, OptimizerOptions, ScheduleOptions, TrainOptions

_CYCLES = ("cosine", "tanh", "poly")
_ALL = (*_CYCLES, "step", "multistep", "plateau", "wsd", "rsqrt", "constant")
_READ_BY = {
    "decay_epochs": ("step", "wsd", "rsqrt"), "decay_milestones": ("multistep",),
    "decay_rate": ("step", "multistep", "poly", "plateau"), "patience_epochs": ("plateau",),
    "min_lr": (*_CYCLES, "plateau", "wsd", "rsqrt", "onecycle"), "cooldown_epochs": _CYCLES,
    "lr_cycle_limit": _CYCLES, "lr_cycle_mul": _CYCLES, "lr_cycle_decay": _CYCLES, "lr_k_decay": ("cosine", "poly"),
    **dict.fromkeys(("warmup_epochs", "warmup_lr", "warmup_prefix", "lr_noise", "lr_noise_pct", "lr_noise_std"), _ALL),
}  # fmt: skip
"""By option of a schedule: the schedules that read it."""
_OF_IMAGES = (
    "aa", "aa_in_workers", "scale", "ratio", "hflip", "hflip_swap", "vflip", "crop_padding", "color_jitter",
    "color_jitter_prob", "grayscale_prob", "gaussian_blur_prob", "train_interpolation", "cutout", "reprob",
)  # fmt: skip

_NAMED = 6  # at most so many in a sentence
_READ_BY_VALIDATION = {"train_crop_mode", "bn_eps"}
_OF_TRAININGS = (
    "resume", "pretrained", "pretrained_path", "initial_checkpoint", "grad_accum_steps", "torchcompile",
    *(
        option.name
        for group in (OptimizerOptions, ScheduleOptions, AugmentationOptions, LossOptions)
        for option in fields(group) if option.name not in _READ_BY_VALIDATION
    ),
)  # fmt: skip
"""What changes a training, and nothing about the accuracy of weights that are there."""


def without_effect(options: TrainOptions, auxiliary: bool = False) -> list[str]:
    """Sentences about options that differ from their defaults and change nothing.

    Args:
        options: The run's.
        auxiliary: Whether the network has an auxiliary classifier.

    >>> without_effect(TrainOptions(bce_sum=True, bce_target_thresh=0.2))
    ['--bce-sum and --bce-target-thresh have no effect without --bce-loss.']
    """
    default, said, seen = TrainOptions(), [], set[str]()
    for why, names in _off(options, auxiliary):
        idle = [name for name in names if name not in seen and _given(options, default, name)]
        seen.update(idle)
        if idle:
            said.append(_sentence(idle, why))
    if (options.lr_base if options.lr is None else options.lr) == 0:
        said.append("The learning rate is 0: nothing is learned.")
    return said


def beside_validation(options: TrainOptions) -> str:
    """A sentence about options of a training beside ``--validate``, which trains nothing; empty where there are none.

    >>> beside_validation(TrainOptions(validate="best.safetensors", mixup=0.2, pretrained=True))
    '--pretrained and --mixup have no effect with --validate.'
    """
    default = TrainOptions()
    idle = [name for name in _OF_TRAININGS if _given(options, default, name)]
    return _sentence(idle, "with --validate") if idle else ""


def _sentence(names: Sequence[str], why: str) -> str:
    flags = ["--" + name.replace("_", "-") for name in names]
    if len(flags) > _NAMED:
        flags = [*flags[: _NAMED - 1], f"{len(flags) - _NAMED + 1} others"]
    several = f"{', '.join(flags[:-1])} and {flags[-1]} have" if len(flags) > 1 else f"{flags[0]} has"
    return f"{several} no effect {why}."


def wrong_way(options: TrainOptions, lr: float) -> list[str]:
    """Sentences about ends of a schedule between which the learning rate moves the other way.

    Args:
        options: The run's.
        lr: The learning rate, as ``build.learning_rate`` has it.

    >>> wrong_way(TrainOptions(min_lr=0.1), 0.001)
    ['--min-lr 0.1 is above the learning rate 0.001, which rises to it where it should fall.']
    """
    said = []
    if options.min_lr > lr > 0 and options.sched in _READ_BY["min_lr"]:
        said.append(
            f"--min-lr {options.min_lr:g} is above the learning rate {lr:g}, which rises to it where it should fall."
        )
    if options.warmup_lr > lr > 0 and options.warmup_epochs and options.sched in _READ_BY["warmup_lr"]:
        said.append(
            f"--warmup-lr {options.warmup_lr:g} is above the learning rate {lr:g}, to which the warm-up falls where it "
            "should rise."
        )
    return said


def _given(options: TrainOptions, default: TrainOptions, name: str) -> bool:
    """Whether an option asks for something: what switches off (0, False) does not."""
    value: Any = getattr(options, name)
    return bool(value) and value != getattr(default, name)


def _off(options: TrainOptions, auxiliary: bool) -> Iterator[tuple[str, Sequence[str]]]:
    """(Why, which options): what cannot have an effect, whether it is given or not."""
    mixing = options.mixup and (options.cutmix or options.cutmix_minmax)
    needs: tuple[tuple[Any, str, Sequence[str]], ...] = (
        (options.amp, "--amp", ("amp_dtype",)),
        (options.torchcompile, "--torchcompile", ("torchcompile_mode",)),
        (options.layer_decay, "--layer-decay", ("layer_decay_min_scale", "layer_decay_no_opt_scale")),
        (options.clip_grad, "--clip-grad", ("clip_mode",)),
        (options.warmup_epochs, "--warmup-epochs", ("warmup_lr", "warmup_prefix")),
        (options.lr_noise, "--lr-noise", ("lr_noise_pct", "lr_noise_std")),
        (options.lr_cycle_limit > 1, "--lr-cycle-limit above 1", ("lr_cycle_mul", "lr_cycle_decay")),
        (options.reprob, "--reprob", ("remode", "recount")),
        (mixes(options), "--mixup or --cutmix", ("mixup_prob", "mixup_switch_prob", "mixup_mode", "mixup_off_epoch")),
        (mixing, "both --mixup and --cutmix", ("mixup_switch_prob",)),
        (options.bce_loss, "--bce-loss", ("bce_sum", "bce_target_thresh", "bce_pos_weight")),
        (options.model_ema, "--model-ema", ("model_ema_decay", "model_ema_warmup", "model_ema_force_cpu")),
        (options.hflip, "--hflip", ("hflip_swap",)),
        (options.log_wandb, "--log-wandb", ("wandb_project", "wandb_tags", "wandb_resume_id")),
        (auxiliary, "an auxiliary classifier (--model-kwargs aux_head=True)", ("aux_weight",)),
    )
    if options.no_aug:
        yield "beside --no-aug", _OF_IMAGES
    if options.aa and (options.aa.startswith("daas:") or "3a" not in options.aa):
        yield "beside --aa", ("color_jitter", "color_jitter_prob")
    if options.input_size:
        yield "beside --input-size", ("img_size",)
    if options.val_dir:
        yield "beside --val-dir", ("val_split",)
    if options.lr is not None:
        yield "beside --lr", ("lr_base", "lr_base_size", "lr_base_scale")
    if options.torchcompile and options.torchcompile != "inductor":
        yield f"with --torchcompile {options.torchcompile}", ("torchcompile_mode",)
    if options.sched in (*_ALL, "onecycle", "none"):
        yield f"with --sched {options.sched}", [name for name, by in _READ_BY.items() if options.sched not in by]
    yield f"with --opt {options.opt}", _of_other_optimizers(options.opt)
    yield from ((f"without {flag}", names) for on, flag, names in needs if not on)


def _of_other_optimizers(name: str) -> list[str]:
    """The options of optimizers that one does not read; none where it is not known."""
    try:
        info = get_optimizer_info(name.lower().removeprefix("lookahead_"))
    except ValueError:  # it is refused, with the names near it, where it is made
        return []
    reads = {"momentum": info.has_momentum, "opt_betas": info.has_betas, "opt_eps": info.has_eps}
    return [option for option, read in reads.items() if not read]
