"""The options of a search: one frozen dataclass, presets, and the command line made from both."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from daas.data.given import meant
from daas.errors import BadInput
from daas.options import add_options, o, typed
from daas.parser import Parser
from daas.ranges import RANGES, SOME_RATE, Range, check_ranges
from daas.search.algorithm.estimators import AugEstimator, PolicyPasses, RewardRule
from daas.search.algorithm.method import SINGLE_SAMPLE, WITHOUT_REWARDS, check_method
from daas.search.budget.words import MILLISECOND, with_amounts
from daas.search.derivation import Derive
from daas.search.report import board
from daas.search.spaces.cells import ArchEstimator
from daas.search.values import duration, seed_list

# The groups of --help.
_IMAGES = "Images"
_WHAT = "What is searched"
_POLICY = "Policy"
_CELLS = "Cells"
_BUDGET = "Limits of the found network"
_LENGTH = "Length"
_WEIGHTS = "Weights"
_RUN = "Run"
_ANSWER = "What stands around the search"


@dataclass(frozen=True, init=False)
class SearchConfig:
    """Options of ``daas search``; the presets set what differs between scales.

    What is given wins, the preset fills in, and the defaults of the fields do the rest.

    >>> SearchConfig(preset="demo", epochs=3).batch_size
    32
    """

    dataset: str = o(
        "",
        "A timm data set name (torch/cifar10, hfds/..., wds/...) or digits, which is embedded",
        group=_IMAGES,
    )
    data_dir: Path | None = o(
        None,
        "A folder of class folders, a .tar of one, or where --dataset is stored",
        group=_IMAGES,
    )
    val_dir: Path | None = o(
        None,
        "validation images of your own (the conditions in which the network will be used), with the same "
        "class folders; otherwise half of the training images",
        group=_IMAGES,
    )
    out: Path | None = o(
        Path("runs/search"),
        "output folder: genotype.json, policy.json, summary.json, metrics.jsonl, report.html, checkpoints",
        group=_RUN,
    )
    preset: Literal["demo", "cpu", "finetune", "paper-cifar10", "paper-cifar100", "paper-imagenet"] = o(
        "cpu",
        "defaults of all other options",
        group=_WHAT,
    )
    mode: Literal["joint", "arch", "aug", "independent", "one-level"] = o(
        "joint",
        "search both together; the architecture alone; the policy alone, for the network named by --model; "
        "first the architecture and then a policy for it (independent); or both on one set of images, without "
        "a validation half (one-level)",
        group=_WHAT,
    )
    aug_estimator: AugEstimator = o(
        "policy-gradient",
        "gradient of the policy parameters: policy-gradient is the paper's (eq. 9), one policy per batch; "
        "per-image draws one policy per image and rewards each by a directional derivative; straight-through "
        "is DADA's; uniform learns nothing and augments uniformly",
        group=_POLICY,
    )
    baseline: Literal["auto", "none", "leave-one-out"] = o(
        "auto",
        "subtract from each reward the mean of others: of all N * M policies (policy-gradient), or of the "
        "batch and of the same image's other draws (per-image). auto: leave-one-out where an iteration has "
        "several rewards; eq. 9 as printed has none",
        group=_POLICY,
    )
    reward: RewardRule = o(
        "jvp",
        "rewards of single images (per-image): the derivative along v of the image's own loss, exact by "
        "forward-mode differentiation (jvp) or by a one-sided finite difference (fd), which is faster; or, by "
        "a finite difference, of its influence on the loss of the batch, which counts what it does to other "
        "images through batch norm",
        group=_POLICY,
    )
    reward_batches: int = o(
        0,
        "R, further batches of policies per architecture that only serve for rewards (per-image)",
        group=_POLICY,
    )
    policy_passes: PolicyPasses = o(
        "sequential",
        "how the M policies of an architecture run (policy-gradient): one after the other (sequential), or as one "
        "batch in which batch norm takes its statistics policy by policy, with all rewards from one forward-mode pass "
        "(batched), which are the same up to rounding and, on CPUs, slower",
        group=_POLICY,
    )
    policy_parameters: Literal["per-policy", "shared"] = o(
        "per-policy",
        "probabilities and magnitudes for each of the 225 policies (the paper), or shared by slot and operation",
        group=_POLICY,
    )
    apply_rate: Literal["always", "learned"] = o(
        "always",
        "whether every image gets its policy, or with a probability that is learned from the rewards of the same "
        "images with and without it, at the cost of a pass without (policy-gradient, per-image)",
        group=_POLICY,
    )
    confidence_penalty: float = o(
        0.0,
        "weight of a penalty in the rewards for policies under which the network is sure and wrong: calibrated "
        "confidence minus accuracy, against the same images without a policy, times the squared norm of v "
        "(policy-gradient, per-image)",
        group=_POLICY,
    )
    derive: Derive = o(
        "printed",
        "the policy at the end: printed is the paper's (every policy with its product weight, the arg-max magnitudes); "
        "decided removes the operations, and the halves of their magnitudes, whose rewards are significantly below the "
        "others', and leaves the rest as likely as it began",
        group=_POLICY,
    )
    arch_estimator: ArchEstimator = o(
        "gumbel",
        "gumbel: two edges per node, one operation on each, N samples (the paper); gdas: one sample, one "
        "operation on every edge; darts: all operations on all edges, weighted, first order",
        group=_CELLS,
    )
    primitives: str = o(
        "paper",
        "candidate operations of an edge: paper (DARTS's without none), darts (with none), or names joined by commas",
        group=_CELLS,
    )
    policy: str = o(
        "",
        "with --mode arch: augment training images with this policy, a shipped one or a file; crop and flip otherwise",
        group=_WHAT,
    )
    model: str = o(
        "",
        "with --mode aug: the timm model to search a policy for, also hf-hub:user/name and local-dir:FOLDER",
        group=_WHAT,
    )
    model_kwargs: tuple[str, ...] = o(
        (),
        "with --mode aug: constructor arguments of that model, NAME=VALUE",
        group=_WHAT,
    )
    pretrained: bool = o(
        False,
        "with --mode aug: begin with the model's pretrained weights, and with its normalisation",
        group=_WHAT,
    )
    pretrained_path: str = o(
        "",
        "with --mode aug: a file (.safetensors) that is loaded as if it were the pretrained weights",
        group=_WHAT,
    )
    initial_checkpoint: str = o(
        "",
        "with --mode aug: begin with these weights of your classes (.safetensors)",
        group=_WHAT,
    )
    amp: bool = o(
        False,
        "run the network in bfloat16 where that is safe (torch.autocast), for GPUs that have it; forward-mode "
        "passes stay in float32",
        group=_RUN,
    )
    graph: Literal["auto", "on", "off"] = o(
        "off",
        "capture the search's passes as CUDA graphs, which has never run on a GPU yet: auto does so on CUDA with fixed "
        "networks (--mode aug), on with sampled cells too; results are the same up to rounding",
        group=_RUN,
    )
    screen: bool = o(
        False,
        "before the search, one training under everything says which operations change the labels: the search leaves "
        "them out and stays within the safe magnitudes of others, and all trainings flip only where that is harmless; "
        "in OUT/screen. The presets demo and cpu do it, unless --max-steps cuts the search short",
        group=_ANSWER,
    )
    race: int = o(
        0,
        "after the search, at most this many whole trainings choose among what was found, what the screen leaves, what "
        "is on the shelf and none; in OUT/race. 0 for none. The preset demo takes 8, cpu 12, unless "
        "--max-steps cuts the search short",
        group=_ANSWER,
    )
    race_epochs: int | None = o(
        None,
        "of every training of the race, and of the one that is printed; by default enough for 1500 updates, from 30 "
        "to 60; the preset demo takes 12",
        group=_ANSWER,
    )
    race_workers: int | None = o(
        None,
        "trainings of the race at a time; by default one per core on a CPU and one on a GPU, from Python one",
        group=_ANSWER,
    )
    resume: str = o(
        "",
        "go on: from the checkpoint in --out (auto, or no word), or from the checkpoint named",
        const="auto",
        group=_RUN,
    )
    seed: int = o(0, "of every random choice", group=_RUN)
    seeds: str = o(
        "",
        "for example 0,1,2,3: one search per seed, in OUT/seed-N, and a table of all; the best by validation is named",
        group=_RUN,
    )
    time_budget: str = o(
        "",
        "for example 90m or 1h30m: stop after this wall-clock time (of each search), and derive what there is "
        "by then; a resumed run goes on for as long again",
        group=_LENGTH,
    )
    save_every: float = o(120.0, "seconds between checkpoints; one is also written after every epoch", group=_RUN)
    tensorboard: bool = o(False, "write the metrics for TensorBoard too, to OUT/tensorboard", group=_RUN)
    device: str = o("auto", "cpu, cuda, ...; auto takes a GPU if there is one", group=_RUN)
    workers: int = o(4, "threads that decode images", group=_IMAGES)
    image_size: int | None = o(
        None,
        "side in pixels to which images are resized; by default it follows the images",
        group=_IMAGES,
    )
    skip_bad_images: bool = o(
        False,
        "leave out images that cannot be read, and count them, instead of stopping",
        group=_IMAGES,
    )
    max_images: int | None = o(
        None,
        "search on at most this many images, drawn evenly over the classes",
        group=_IMAGES,
    )
    max_classes: int | None = o(None, "search on this many classes only, drawn at random", group=_IMAGES)
    crop_padding: int | None = o(
        None,
        "zero padding before the random crop of training images; by default an eighth of the side",
        group=_IMAGES,
    )
    hflip: float | None = o(
        None,
        "probability of a horizontal flip of training images; by default 0.5 (digits: 0)",
        group=_IMAGES,
    )
    warmup_epochs: int = o(
        20,
        "epochs over the training half in which only weights and architecture learn",
        group=_LENGTH,
    )
    epochs: int = o(30, "epochs after the warm-up, in which everything learns", group=_LENGTH)
    max_steps: int | None = o(
        None,
        "stop after this many iterations, and derive what there is; schedules stay as planned. A trial: what a preset "
        "asks for before and behind the search (--screen, --race) is left out",
        group=_LENGTH,
    )
    batch_size: int = o(64, "images per batch, training and validation", group=_LENGTH)
    architectures: int = o(5, "N, sampled architectures per iteration; 1 with gdas and darts", group=_CELLS)
    policies: int = o(2, "M, sampled policies per architecture (per-image: batches of them)", group=_POLICY)
    channels: int = o(16, "initial channels of the supernet", group=_CELLS)
    layers: int = o(8, "cells of the supernet", group=_CELLS)
    nodes: int = o(4, "intermediate nodes of a cell", group=_CELLS)
    max_params: str = o(
        "",
        "for example 400k or 3.5M: most parameters of the network that is trained with the found cells, by the "
        "command that the search prints",
        group=_BUDGET,
    )
    max_macs: str = o("", "most multiply-adds of that network for one image: 40M", group=_BUDGET)
    max_latency: float | None = o(
        None,
        "most milliseconds that it takes on this device, measured at the start",
        group=_BUDGET,
    )
    latency_batch: int = o(1, "images at a time, for --max-latency", group=_BUDGET)
    latency_threads: int = o(1, "threads of the CPU, for --max-latency", group=_BUDGET)
    cost_weight: float = o(
        1.0,
        "how hard alpha and beta are drawn below the limits: times log(expected cost / limit) where that is above "
        "0; with 0 the limits hold in the derivation alone",
        group=_BUDGET,
    )
    max_skips: int | None = o(
        None,
        "skip connections that each derived cell has at most, of its 8 edges with four nodes; by default any number; 2 "
        "with the presets demo and cpu; a run that goes on keeps what it began with",
        group=_BUDGET,
    )
    tau_max: float = o(10.0, "temperature of the Gumbel-softmax in the first epoch; it falls linearly", group=_CELLS)
    tau_min: float = o(0.1, "temperature in the last epoch", group=_CELLS)
    lr: float = o(0.025, "learning rate of the weights in the first epoch; it falls along a cosine", group=_WEIGHTS)
    min_lr: float = o(0.001, "learning rate of the weights in the last epoch", group=_WEIGHTS)
    momentum: float = o(0.9, "of the weights' SGD", group=_WEIGHTS)
    weight_decay: float = o(0.0003, "of the weights", group=_WEIGHTS)
    clip_grad: float = o(5.0, "largest norm of the weights' gradient; 0 for none", group=_WEIGHTS)
    arch_lr: float = o(0.0003, "Adam's learning rate for alpha and beta", group=_CELLS)
    arch_weight_decay: float = o(0.001, "Adam's weight decay for alpha and beta", group=_CELLS)
    aug_lr: float = o(0.01, "Adam's learning rate for gamma", group=_POLICY)

    def __init__(self, **given: Any) -> None:
        """Takes the fields by name.

        Raises:
            BadInput: An unknown name, or a value of another type.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        given = typed(type(self), with_amounts(given), "options")
        for name, value in {**defaults, **preset_values(given), **given}.items():
            object.__setattr__(self, name, value)

    @property
    def cost_limits(self) -> dict[str, int]:
        """By kind of cost, what the network may have at most: parameters, multiply-adds, nanoseconds of latency."""
        given = {"params": self.max_params, "macs": self.max_macs}
        found = {kind: int(text) for kind, text in given.items() if text}
        latency = {} if self.max_latency is None else {"latency": round(self.max_latency * MILLISECOND)}
        return found | latency

    @property
    def budget_seconds(self) -> float | None:
        """Seconds of --time-budget, None for no limit."""
        return duration(self.time_budget) if self.time_budget else None

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds of --seeds; empty without."""
        return seed_list(self.seeds) if self.seeds else ()

    def check(self, images_given: bool = False) -> None:
        """Raises BadInput for options that are out of range or contradict each other.

        Args:
            images_given: A program passes its images itself.
        """
        check_ranges(
            self,
            lr=SOME_RATE,
            layers=Range(3, RANGES["layers"].most),  # two reduction cells need at least 3
            batch_size=Range(2, RANGES["batch_size"].most),  # so does batch norm 2 images
            workers=Range(1, RANGES["workers"].most),
            clip_grad=Range(0, RANGES["clip_grad"].most),
        )
        if self.race == 1:
            raise BadInput("--race is 1; a race needs at least 2 trainings, one for each of two candidates; 0 is none.")
        check_method(self)
        if self.seeds and self.seed:
            raise BadInput(f"--seed {self.seed} and --seeds {self.seeds} contradict each other; give one of them.")
        several = "--seeds" if self.seeds else "--mode independent" if self.mode == "independent" else ""
        if several and self.resume not in ("", "auto"):
            raise BadInput(f"--resume {self.resume} is one run's; with {several} use --resume auto.")
        self.seed_numbers, self.budget_seconds  # noqa: B018  # both are checked when they are read
        if self.tensorboard:
            board.check()
        if images_given:
            return
        if not self.dataset and self.data_dir is None:
            raise BadInput(
                "No images: name a data set with --dataset (digits is embedded, torch/cifar10 downloads) or a folder "
                "of class folders with --data-dir."
            )
        if self.dataset == "digits" and self.data_dir is not None:
            raise BadInput(f"--dataset digits is embedded; leave it out to search on --data-dir {self.data_dir}.")


ANSWERS = ("screen", "race", "race_epochs")
"""What comes before and behind a search."""
PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "dataset": "digits", "warmup_epochs": 6, "epochs": 8, "batch_size": 32, "architectures": 4, "policies": 1,
        "channels": 8, "layers": 4, "lr": 0.1, "arch_lr": 3e-3, "aug_estimator": "per-image", "aug_lr": 0.03,
        "derive": "decided", "screen": True, "race": 8, "race_epochs": 12,
    },
    "cpu": {
        "warmup_epochs": 4, "epochs": 6, "max_images": 10_000, "architectures": 4, "channels": 8, "layers": 5,
        "lr": 0.1, "arch_lr": 3e-3, "aug_lr": 0.03, "derive": "decided", "screen": True, "race": 12,
    },
    "finetune": {
        "mode": "aug", "pretrained": True, "warmup_epochs": 5, "epochs": 15, "max_images": 10_000, "batch_size": 32,
        "lr": 0.005, "min_lr": 0.0005, "weight_decay": 1e-4, "aug_lr": 0.03,
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

MAX_SKIPS = {"demo": 2, "cpu": 2}
"""``max_skips`` of a new run where none is given, by preset; one that goes on keeps its own."""
NOT_PART_OF_THE_METHOD = frozenset(
    {
        "out", "resume", "device", "workers", "seeds", "time_budget", "max_steps", "save_every", "tensorboard",
        "max_skips", "policy_passes", "graph", "screen", "race", "race_epochs", "race_workers",
    }
)  # fmt: skip
"""Options that a resumed search may change; what a screen has said is in the policy space and in the flip."""
BEFORE_THERE_WERE: dict[str, Any] = {
    "pretrained": False, "pretrained_path": "", "initial_checkpoint": "", "max_params": "", "max_macs": "",
    "latency_batch": 1, "latency_threads": 1, "cost_weight": 1.0, "derive": "printed",
    "apply_rate": "always", "confidence_penalty": 0.0,
}  # fmt: skip
"""Options that checkpoints of earlier versions do not have, and what their runs did."""


def preset_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a preset fills in beside the options that are given.

    A data set that the preset names gives way to a folder; estimators of one sample take one; what has no rewards is
    derived as printed; a search that is cut short by ``max_steps`` is a trial, without a screen and a race.
    """
    values = dict(PRESETS.get(given.get("preset", SearchConfig.preset), {}))
    if given.get("data_dir"):
        values.pop("dataset", None)
    if given.get("arch_estimator") in SINGLE_SAMPLE:
        values["architectures"] = 1
    if given.get("aug_estimator") in WITHOUT_REWARDS:
        values.pop("derive", None)
    if given.get("max_steps") is not None:
        for name in ANSWERS:
            values.pop(name, None)
    return values


def options(config: SearchConfig) -> dict[str, Any]:
    """The options as JSON values."""
    return {key: _json_value(value) for key, value in dataclasses.asdict(config).items()}


def _json_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _meant(word: str) -> str:
    """What a word without an option was probably meant for: the folder of a search, or images."""
    searched = any(os.path.exists(Path(word) / name) for name in ("summary.json", "checkpoint.safetensors"))
    return f"--out {shlex.quote(word)} --resume auto" if searched else meant(word)


def parse(argv: Sequence[str]) -> SearchConfig:
    """Command line -> checked options: the preset's, overridden by what is given.

    Args:
        argv: Arguments without the program's name.

    Raises:
        SystemExit: With code 0, after --help.
        BadInput: Unknown options, values out of range, or options that contradict each other.
    """
    first = Parser(add_help=False)
    for name in ("preset", "dataset", "data_dir", "arch_estimator", "aug_estimator", "max_steps"):
        first.add_argument(*dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}")))
    given = {name: value for name, value in vars(first.parse_known_args(argv)[0]).items() if value is not None}
    values = preset_values(given)
    parser = Parser(
        meant=_meant,
        prog="daas search",
        usage="daas search [--preset NAME] [--data-dir FOLDER] [--out FOLDER] [options]",
        description="Search a network and the augmentation policy it should be trained with, together.",
        epilog="Exit codes: 0 done, 1 the loss diverged, 2 bad input, 130 interrupted (go on with --resume auto).",
    )
    add_options(parser, SearchConfig)
    parser.set_defaults(**values)
    config = SearchConfig(**vars(parser.parse_args(argv)))
    config.check()
    return config
