"""The options of a search: one frozen dataclass, presets, and the command line made from both."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from daas.errors import BadInput
from daas.search.algorithm.method import SINGLE_SAMPLE, check_method
from daas.search.algorithm.state import AugEstimator, RewardRule
from daas.search.report import board
from daas.search.spaces.cells import ArchEstimator
from daas.search.values import duration, seed_list


@dataclass(frozen=True)
class SearchConfig:
    """Options of ``python -m daas.search``; the presets set what differs between scales."""

    dataset: str = ""
    """A timm data set name (torch/cifar10, hfds/..., wds/...) or digits, which is embedded."""
    data_dir: Path | None = None
    """A folder of class folders, a .tar of one, or where --dataset is stored."""
    val_dir: Path | None = None
    """Validation images of your own (the conditions in which the network will be used), with the same class folders;
    otherwise half of the training images."""
    out: Path = Path("runs/search")
    """Output folder: genotype.json, policy.json, summary.json, metrics.jsonl, report.html, checkpoints."""
    preset: Literal["demo", "cpu", "paper-cifar10", "paper-cifar100", "paper-imagenet"] = "cpu"
    """Defaults of all other options."""
    mode: Literal["joint", "arch", "aug", "independent", "one-level"] = "joint"
    """Search both together; the architecture alone; the policy alone, for the network named by --model; first the
    architecture and then a policy for it (independent); or both on one set of images, without a validation half
    (one-level)."""
    aug_estimator: AugEstimator = "policy-gradient"
    """Gradient of the policy parameters: policy-gradient is the paper's (eq. 9), one policy per batch; per-image draws
    one policy per image and rewards each by a directional derivative; straight-through is DADA's; uniform learns
    nothing and augments uniformly."""
    baseline: Literal["auto", "none", "leave-one-out"] = "auto"
    """Subtract from each reward the mean of others: of all N * M policies (policy-gradient), or of the batch and of the
    same image's other draws (per-image). auto: leave-one-out where an iteration has several rewards; eq. 9 as printed
    has none."""
    reward: RewardRule = "jvp"
    """Rewards of single images (per-image): the derivative along v of the image's own loss, exact by forward-mode
    differentiation (jvp) or by a one-sided finite difference (fd), which is faster; or, by a finite difference, of its
    influence on the loss of the batch, which counts what it does to other images through batch norm."""
    reward_batches: int = 0
    """R, further batches of policies per architecture that only serve for rewards (per-image)."""
    policy_parameters: Literal["per-policy", "shared"] = "per-policy"
    """Probabilities and magnitudes for each of the 225 policies (the paper), or shared by slot and operation."""
    arch_estimator: ArchEstimator = "gumbel"
    """gumbel: two edges per node, one operation on each, N samples (the paper); gdas: one sample, one operation on
    every edge; darts: all operations on all edges, weighted, first order."""
    primitives: str = "paper"
    """Candidate operations of an edge: paper (DARTS's without none), darts (with none), or names joined by commas."""
    policy: str = ""
    """With --mode arch: augment training images with this policy, a shipped one or a file; crop and flip otherwise."""
    model: str = ""
    """With --mode aug: the timm model to search a policy for."""
    model_kwargs: tuple[str, ...] = ()
    """With --mode aug: constructor arguments of that model, NAME=VALUE ..."""
    amp: bool = False
    """Run the network in bfloat16 where that is safe (torch.autocast), for GPUs that have it; forward-mode passes
    stay in float32."""
    resume: str = ""
    """auto: go on from the checkpoint in --out; or the path of a checkpoint."""
    seed: int = 0
    """Of every random choice."""
    seeds: str = ""
    """For example 0,1,2,3: one search per seed, in OUT/seed-N, and a table of all; the best by validation is named."""
    time_budget: str = ""
    """For example 90m or 1h30m: stop after this wall-clock time (of each search), and derive what there is by then; a
    resumed run goes on for as long again."""
    save_every: float = 120.0
    """Seconds between checkpoints; one is also written after every epoch."""
    tensorboard: bool = False
    """Write the metrics for TensorBoard too, to OUT/tensorboard."""
    device: str = "auto"
    """cpu, cuda, ...; auto takes a GPU if there is one."""
    workers: int = 4
    """Threads that decode images."""

    image_size: int | None = None
    """Side in pixels to which images are resized; by default it follows the images."""
    skip_bad_images: bool = False
    """Leave out images that cannot be read, and count them, instead of stopping."""
    max_images: int | None = None
    """Search on at most this many images, drawn evenly over the classes."""
    max_classes: int | None = None
    """Search on this many classes only, drawn at random."""
    crop_padding: int | None = None
    """Zero padding before the random crop of training images; by default an eighth of the side."""
    hflip: float | None = None
    """Probability of a horizontal flip of training images; by default 0.5 (digits: 0)."""

    warmup_epochs: int = 20
    """Epochs over the training half in which only weights and architecture learn."""
    epochs: int = 30
    """Epochs after the warm-up, in which everything learns."""
    max_steps: int | None = None
    """Stop after this many iterations, and derive what there is; schedules stay as planned."""
    batch_size: int = 64
    """Images per batch, training and validation."""
    architectures: int = 5
    """N, sampled architectures per iteration; 1 with gdas and darts."""
    policies: int = 2
    """M, sampled policies per architecture (per-image: batches of them)."""

    channels: int = 16
    """Initial channels of the supernet."""
    layers: int = 8
    """Cells of the supernet."""
    nodes: int = 4
    """Intermediate nodes of a cell."""
    tau_max: float = 10.0
    """Temperature of the Gumbel-softmax in the first epoch; it falls linearly."""
    tau_min: float = 0.1
    """Temperature in the last epoch."""

    lr: float = 0.025
    """Learning rate of the weights in the first epoch; it falls along a cosine."""
    min_lr: float = 0.001
    """Learning rate of the weights in the last epoch."""
    momentum: float = 0.9
    """Of the weights' SGD."""
    weight_decay: float = 3e-4
    """Of the weights."""
    clip_grad: float = 5.0
    """Largest norm of the weights' gradient; 0 for none."""
    arch_lr: float = 3e-4
    """Adam's learning rate for alpha and beta."""
    arch_weight_decay: float = 1e-3
    """Adam's weight decay for alpha and beta."""
    aug_lr: float = 0.01
    """Adam's learning rate for gamma."""

    @property
    def budget_seconds(self) -> float | None:
        """Seconds of --time-budget, None for no limit."""
        return duration(self.time_budget) if self.time_budget else None

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds of --seeds; empty without."""
        return seed_list(self.seeds) if self.seeds else ()

    def check(self) -> None:
        """Raises BadInput for options that are out of range or contradict each other."""
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise BadInput(f"{_flag(name)} is {value}; it must be greater than 0.")
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise BadInput(f"{_flag(name)} is {value}; it must be a number that is at least 0.")
        if self.hflip is not None and not 0 <= self.hflip <= 1:
            raise BadInput(f"--hflip is {self.hflip}; a probability lies between 0 and 1.")
        if self.layers < 3:
            raise BadInput(f"--layers is {self.layers}; two reduction cells need at least 3.")
        if self.batch_size < 2:
            raise BadInput("--batch-size is 1; batch norm needs at least 2 images.")
        check_method(self)
        if self.seeds and self.seed:
            raise BadInput(f"--seed {self.seed} and --seeds {self.seeds} contradict each other; give one of them.")
        several = "--seeds" if self.seeds else "--mode independent" if self.mode == "independent" else ""
        if several and self.resume not in ("", "auto"):
            raise BadInput(f"--resume {self.resume} is one run's; with {several} use --resume auto.")
        self.seed_numbers, self.budget_seconds  # noqa: B018  # both are checked when they are read
        if self.tensorboard:
            board.check()
        if not self.dataset and self.data_dir is None:
            raise BadInput(
                "No images: name a data set with --dataset (digits is embedded, torch/cifar10 downloads) or a folder "
                "of class folders with --data-dir."
            )
        if self.dataset == "digits" and self.data_dir is not None:
            raise BadInput(f"--dataset digits is embedded; leave it out to search on --data-dir {self.data_dir}.")


_POSITIVE = (
    "epochs", "max_steps", "batch_size", "architectures", "policies", "channels", "layers", "nodes", "workers",
    "image_size", "max_images", "max_classes", "lr", "tau_max", "tau_min",
)  # fmt: skip
_NOT_NEGATIVE = (
    "warmup_epochs", "crop_padding", "clip_grad", "seed", "min_lr", "momentum", "weight_decay", "arch_lr",
    "arch_weight_decay", "aug_lr", "reward_batches", "save_every",
)  # fmt: skip

PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "dataset": "digits", "warmup_epochs": 6, "epochs": 8, "batch_size": 32, "architectures": 4, "policies": 1,
        "channels": 8, "layers": 4, "lr": 0.1, "arch_lr": 3e-3, "aug_estimator": "per-image", "aug_lr": 0.03,
    },
    "cpu": {
        "warmup_epochs": 4, "epochs": 6, "max_images": 10_000, "architectures": 4, "channels": 8, "layers": 5,
        "lr": 0.1, "arch_lr": 3e-3, "aug_lr": 0.03,
    },
    "paper-cifar10": {"dataset": "torch/cifar10"},
    "paper-cifar100": {"dataset": "torch/cifar100"},
    "paper-imagenet": {
        "dataset": "torch/imagenet", "image_size": 224, "max_classes": 120, "warmup_epochs": 30, "epochs": 20,
    },
}  # fmt: skip
"""What each preset sets. The paper's presets otherwise keep the defaults: the paper's where it says (8 cells, 16
channels, N = 5, M = 2, momentum 0.9, Adam betas (0.5, 0.999)), DARTS's where it does not (batch size, learning rates,
weight decay, clipping), GDAS's for the temperature, and our own for gamma's learning rate."""

NOT_PART_OF_THE_METHOD = frozenset(
    {"out", "resume", "device", "workers", "seeds", "time_budget", "max_steps", "save_every", "tensorboard"}
)
"""Options that a resumed run may change."""


def options(config: SearchConfig) -> dict[str, Any]:
    """The options as JSON values."""
    return {key: _json_value(value) for key, value in dataclasses.asdict(config).items()}


def _json_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def parse(argv: Sequence[str]) -> SearchConfig:
    """Command line -> checked options: the preset's, overridden by what is given.

    Args:
        argv: Arguments without the program's name.

    Raises:
        SystemExit: With code 2 for an unknown option or value (after saying which are known), with 0 after --help.
        BadInput: Options out of range, or that contradict each other.
    """
    arguments = _resume_alone_is_auto(argv)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag in ("--preset", "--dataset", "--data-dir", "--arch-estimator"):
        first.add_argument(flag)
    given, _ = first.parse_known_args(arguments)
    values = dict(PRESETS.get(given.preset or SearchConfig.preset, {}))
    if given.data_dir and not given.dataset and values.get("dataset") == "digits":
        del values["dataset"]  # images of one's own at the scale of the demo
    if given.arch_estimator in SINGLE_SAMPLE:
        values["architectures"] = 1
    config = tyro.cli(
        SearchConfig,
        args=arguments,
        default=SearchConfig(**values),
        prog="python -m daas.search",
        description="Search a network and the augmentation policy it should be trained with, together.",
    )
    config.check()
    return config


def _resume_alone_is_auto(argv: Sequence[str]) -> list[str]:
    arguments = list(argv)
    for index, argument in enumerate(arguments):
        if argument == "--resume" and (index + 1 == len(arguments) or arguments[index + 1].startswith("--")):
            arguments.insert(index + 1, "auto")
            break
    return arguments


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
