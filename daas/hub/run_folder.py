"""Reads what a training leaves in its folder: result.json, the options, the weights."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import timm
from torch import nn

from daas.augment import Policy, PolicySchedule
from daas.errors import BadInput
from daas.models import CellNet, Genotype
from daas.models.stems import CifarStem
from daas.models.weights import load_weights
from daas.reading import read_json, read_yaml
from daas.repository import CURVES, GENOTYPE, POLICY, SCHEDULE
from daas.train.output import RESULT, RESULT_FORMAT

_Named = TypeVar("_Named", Policy, PolicySchedule, Genotype)
Which = Literal["best", "last"]
_KEYS: dict[str, Any] = {
    "model": str, "model_kwargs": dict, "num_classes": int, "class_names": list, "input_size": list, "mean": list,
    "std": list, "interpolation": str, "crop_pct": float, "crop_mode": str, "data": dict, "epochs": int, "seed": int,
    "best": dict, "last": dict, "time": dict, "versions": dict, "written": str,
}  # fmt: skip
_HERE = (
    "output", "experiment", "resume", "device", "device_modules", "workers", "pin_mem", "validate", "config",
    "data_dir", "val_dir", "recovery_interval", "log_interval", "save_images", "tensorboard", "log_wandb",
    "wandb_project", "wandb_tags", "wandb_resume_id",
)  # fmt: skip
"""Options that say where and on what a run was made, not what it was."""

_PATHS = ("initial_checkpoint", "pretrained_path", "class_map")
"""Options that are paths, also where they are relative."""
_FOLDERS = re.compile(r"(?:(?<=^)|(?<=[\s:=(,'\"]))(?:~|[A-Za-z]:)?[/\\\\](?:[^/\\\\\s:'\",]+[/\\\\])+")  # in a text
_SHAPING = {"gp": "global_pool", "bn_eps": "bn_eps"}
"""Options that change what the network computes, and the constructor's arguments that they become."""


@dataclass(frozen=True)
class Run:
    """A finished, or at least once validated, training.

    Attributes:
        folder: Where it is.
        which: Whose weights are meant: of the best or of the last epoch.
        result: result.json.
        options: args.yaml, without what belongs to the computer it ran on.
        policy: What its images were augmented with; None without one, and where a schedule takes its place.
        schedule: One policy after another, over the epochs; None without one.
        measured_on: What the validation images are called, and their split (empty where they were named by
            themselves).
    """

    folder: Path
    which: Which
    result: dict[str, Any]
    options: dict[str, Any]
    policy: Policy | None
    schedule: PolicySchedule | None
    measured_on: tuple[str, str]

    @classmethod
    def load(cls, folder: Path, which: Which = "best") -> Run:
        """Reads a run folder.

        Raises:
            BadInput: No run folder, or a file of it that cannot be used.
        """
        path = folder / RESULT
        if not os.path.isfile(path):
            raise BadInput(
                f"{folder} is no run folder of daas train: {RESULT} is missing. A training writes it after "
                "its first epoch."
            )
        result = read_json(path, "result")
        if not isinstance(result, dict) or result.get("format") != RESULT_FORMAT:
            raise BadInput(f"{path}: this version reads the format {RESULT_FORMAT!r}.")
        wrong = [key for key, kind in _KEYS.items() if not isinstance(result.get(key), kind)]
        if wrong:
            raise BadInput(
                f"{path}: {wrong[0]!r} is {result.get(wrong[0])!r}; it must be a {_KEYS[wrong[0]].__name__}."
            )
        parts = {
            "data": ("name", "train_images", "val_images"),
            which: ("epoch", "loss", "top1", "weights"),
            "time": ("seconds",),
        }
        absent = [f"{key}.{name}" for key, names in parts.items() for name in names if name not in result[key]]
        if absent:
            raise BadInput(f"{path}: {', '.join(absent)} is missing.")
        if not os.path.isfile(folder / CURVES):
            raise BadInput(f"{folder / CURVES} is missing; a training writes it after its first epoch.")
        result["data"]["name"] = without_folders(str(result["data"]["name"]))
        policy, schedule = result.get("policy"), result.get("policy_schedule")
        aa = f"daas:{POLICY}" if policy else f"daas:{SCHEDULE}" if schedule else None
        options = _read_options(folder)
        own = Path(str(options.get("val_dir") or "")).name
        split = str(options.get("val_split") or "validation")
        return cls(
            folder, which, result, _published(options, aa),
            policy=_homeless(Policy.from_dict(policy)) if policy else None,
            schedule=_homeless(PolicySchedule.from_dict(schedule)) if schedule else None,
            measured_on=(own, "") if own else (str(result["data"]["name"]), split),
        )  # fmt: skip

    @property
    def metrics(self) -> dict[str, Any]:
        """``epoch`` (from 0), ``loss``, ``top1``, ``top5`` and ``weights`` of the chosen epoch."""
        found: dict[str, Any] = self.result[self.which]
        return found

    def model(self) -> tuple[nn.Module, dict[str, Any]]:
        """The trained network without an auxiliary head, on the CPU.

        A cell network becomes ``daas_cell_cifar`` or ``daas_cell_imagenet`` with its genotype inline, so that it can be
        built where its own name is not registered.

        Returns:
            The model, and the arguments that timm needs beyond its name.

        Raises:
            BadInput: It cannot be built, or the weights are of another network.
        """
        name, kwargs = self.result["model"], dict(self.result["model_kwargs"])
        kwargs.pop("aux_head", None)
        given = {argument: self.options.get(option) for option, argument in _SHAPING.items()}
        kwargs |= {argument: value for argument, value in given.items() if value is not None}
        built: Any = self._build(name, kwargs)
        if isinstance(built, CellNet):
            stem = "cifar" if isinstance(built.stem, CifarStem) else "imagenet"
            kwargs |= {
                "genotype": _homeless(built.genotype).to_dict(), "channels": built.channels, "layers": len(built.cells),
            }  # fmt: skip
            built = self._build(f"daas_cell_{stem}", kwargs)
        load_weights(built, self.folder / str(self.metrics.get("weights")))
        return built, kwargs

    def _build(self, name: str, kwargs: dict[str, Any]) -> nn.Module:
        source, _, place = name.partition(":")
        if place and source in ("hf-hub", "hf_hub", "local-dir"):
            raise BadInput(
                f"{self.folder}: model {name!r} is another repository, to which this one cannot refer. Train the "
                "architecture that its config.json names, with --pretrained-path for the weights."
            )
        if not timm.is_model(name):
            raise BadInput(
                f"{self.folder}: model {name!r} is registered neither with timm nor by daas. If it is a genotype of "
                "your own, train daas_cell_cifar or daas_cell_imagenet with --model-kwargs genotype=FILE."
            )
        try:
            model: nn.Module = timm.create_model(name, num_classes=self.result["num_classes"], **kwargs)
        except (TypeError, ValueError, RuntimeError) as error:
            raise BadInput(f"{self.folder}: {name} cannot be built ({error}).") from error
        return model


def _homeless(found: _Named) -> _Named:
    """A policy, schedule or genotype whose source names no folder of this computer."""
    return replace(found, source=str(without_folders(found.source)))


def _read_options(folder: Path) -> dict[str, Any]:
    path = folder / "args.yaml"
    if not os.path.isfile(path):
        raise BadInput(f"{path} is missing.")
    options = read_yaml(path, "options")
    if not isinstance(options, dict):
        raise BadInput(f"{path} holds no options; found {str(options)[:80]}.")
    return options


def _published(options: dict[str, Any], aa: str | None) -> dict[str, Any]:
    """args.yaml for a repository folder: policy and genotype are the files there, other paths lose their folders."""
    options = {key: without_folders(value) for key, value in options.items() if key not in _HERE}
    options |= {key: Path(options[key]).name for key in _PATHS if options.get(key)}
    if aa:
        options["aa"] = aa
    if "genotype" in (options.get("model_kwargs") or {}):
        options["model_kwargs"]["genotype"] = GENOTYPE
    return options


def without_folders(value: Any) -> Any:
    """Options and texts without the folders of the computer that they were written on: paths keep their last part."""
    if isinstance(value, dict):
        return {name: without_folders(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if os.path.isabs(os.path.expanduser(value)):
        return Path(value).name
    return _FOLDERS.sub("", value)
