"""One training run: model, images, epochs, outputs; a batch depends on (seed, step) alone, so runs resume exactly."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
import yaml
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3, update_summary
from torch import Tensor, nn

import daas  # registers the models
from daas import checkpoint
from daas.augment import DAASPolicy
from daas.data import BatchStream, ImageData, load_images
from daas.errors import BadInput
from daas.models import CellNet
from daas.train.loop import Recipe, train_epoch, validate
from daas.train.options import TrainOptions
from daas.train.output import BEST, LAST, describe, load_weights, save_weights, write_result

FORMAT = "daas-train-checkpoint/1"
_FREE = ("output", "experiment", "resume", "device", "workers", "validate")  # what a resumed run may change


@dataclass
class Training:
    """A run in progress.

    Attributes:
        options: What was asked for.
        model: theta, on the device.
        ema: Its moving average, or None.
        best: Best validation accuracy so far, percent, and its epoch.
    """

    options: TrainOptions
    folder: Path
    device: torch.device
    model: nn.Module
    recipe: Recipe
    optimizer: torch.optim.Optimizer
    scheduler: Any
    ema: ModelEmaV3 | None
    stream: BatchStream
    val: ImageData
    epoch: int = 0
    best: tuple[float, int] = (-math.inf, -1)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def train(options: TrainOptions) -> dict[str, Any]:
    """Trains, or validates with ``options.validate``.

    Args:
        options: See ``python -m daas.train --help``.

    Returns:
        ``top1`` (percent, after the last epoch), ``best_top1``, ``best_epoch``, ``loss`` and ``output``.

    Raises:
        BadInput: Options, images, model or checkpoint that cannot be used; an output folder of another run.
        FloatingPointError: The loss is no longer a number.
    """
    folder = Path(options.output) / (options.experiment or f"{options.model}-{options.seed}")
    if options.validate:
        return _validate_only(options)
    source = _checkpoint_to_resume(options, folder)
    run = _build(options, folder)
    if source is not None:
        _restore(run, source)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "args.yaml").write_text(yaml.safe_dump(_plain(options), sort_keys=False), encoding="utf-8")
    while run.epoch < options.epochs:
        _epoch(run)
    last = run.history[-1] if run.history else validate(_validated(run), run.val, run.recipe, options, run.device)
    return {
        "top1": last["top1"],
        "loss": last["loss"],
        "best_top1": run.best[0],
        "best_epoch": run.best[1],
        "output": str(folder),
    }


def _validated(run: Training) -> nn.Module:
    return run.model if run.ema is None else run.ema.module


def _epoch(run: Training) -> None:
    """Trains one epoch, validates, writes summary.csv, the weights and the checkpoint."""
    options, folder = run.options, run.folder
    began = time.monotonic()
    run.scheduler.step(run.epoch)
    if options.drop_path and isinstance(run.model, CellNet):
        run.model.set_drop_path(options.drop_path * run.epoch / options.epochs)
    start = run.epoch * run.stream.steps_per_epoch
    train_metrics = train_epoch(run.model, run.stream, run.recipe, run.optimizer, run.ema, start, options, run.device)
    metrics = validate(_validated(run), run.val, run.recipe, options, run.device)
    run.history.append(metrics)
    update_summary(
        run.epoch, train_metrics, metrics, str(folder / "summary.csv"), lr=run.optimizer.param_groups[0]["lr"],
        write_header=run.epoch == 0,
    )  # fmt: skip
    print(
        f"epoch {run.epoch + 1:>3}/{options.epochs}  train loss {train_metrics['loss']:.3f}  "
        f"validation loss {metrics['loss']:.3f} top-1 {metrics['top1']:.2f}%",
        flush=True,
    )
    if metrics["top1"] > run.best[0]:
        run.best = (metrics["top1"], run.epoch)
        save_weights(_validated(run), folder / BEST)
    run.epoch += 1
    run.seconds += time.monotonic() - began
    _save(run)
    save_weights(_validated(run), folder / LAST)
    _write_result(run)


def _write_result(run: Training) -> None:
    data, policy = run.stream.data, run.recipe.policy
    cfg: Any = getattr(run.model, "pretrained_cfg", {})
    transform = {
        "input_size": [3, data.image_size, data.image_size],
        "mean": [float(v) / 255 for v in run.recipe.shift.flatten()],
        "std": [float(v) / 255 for v in run.recipe.scale.flatten()],
        "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": cfg.get("crop_mode", "center"),
    }  # fmt: skip
    numbers = {"name": data.name, "train_images": len(data), "val_images": len(run.val)}
    description = describe(run.options, run.model, data.class_names, numbers, transform, policy)
    best = {"epoch": run.best[1], **run.history[run.best[1]]}
    last = {"epoch": run.epoch - 1, **run.history[-1]}
    write_result(run.folder, description, best, last, {"seconds": run.seconds})


def _build(options: TrainOptions, folder: Path) -> Training:
    device = _device(options)
    data, val = _images(options)
    model = _model(options, len(data.class_names)).to(device).to(memory_format=torch.channels_last)
    if options.initial_checkpoint:
        load_weights(model, options.initial_checkpoint)
    optimizer = create_optimizer_v2(
        model, opt=options.opt, lr=options.lr, weight_decay=options.weight_decay, momentum=options.momentum
    )
    scheduler, _ = create_scheduler_v2(
        optimizer, sched=options.sched, num_epochs=options.epochs, warmup_epochs=options.warmup_epochs,
        warmup_lr=options.warmup_lr, min_lr=options.min_lr,
    )  # fmt: skip
    ema = ModelEmaV3(model, decay=options.model_ema_decay) if options.model_ema else None
    stream = BatchStream(data, options.batch_size, options.seed)
    recipe = _recipe(options, model, len(data.class_names), device)
    return Training(options, folder, device, model, recipe, optimizer, scheduler, ema, stream, val)


def _device(options: TrainOptions) -> torch.device:
    return torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    )


def _images(options: TrainOptions) -> tuple[ImageData, ImageData]:
    size = options.img_size or _input_size(options)
    common = {"image_size": size, "skip_bad_images": options.skip_bad_images, "workers": options.workers}
    data_dir = options.data_dir or None
    data = load_images(options.dataset, data_dir, split=_split(options.train_split), **common)  # type: ignore[arg-type]  # mixed values
    if options.val_dir:
        val = load_images("", options.val_dir, **common)  # type: ignore[arg-type]  # mixed values
    else:
        val = load_images(options.dataset, data_dir, split=_split(options.val_split), **common)  # type: ignore[arg-type]  # mixed values
    if val.class_names != data.class_names:
        raise BadInput(
            f"training and validation images have different classes: {', '.join(data.class_names[:8])} and "
            f"{', '.join(val.class_names[:8])}. Use the same class folders in both."
        )
    return data, val


def _split(name: str) -> str:
    known = {"train": "train", "validation": "val", "val": "val", "test": "test"}
    if name not in known:
        raise BadInput(f"split {name!r} is unknown; it is one of {', '.join(known)}.")
    return known[name]


def _input_size(options: TrainOptions) -> int:
    return int(_default_cfg(options.model).input_size[-1])


def _default_cfg(model: str) -> Any:
    if not timm.is_model(model):
        near = timm.list_models(f"*{model.split('_')[0]}*")[:5]
        raise BadInput(f"--model {model} is unknown to timm; near it: {', '.join(near) or 'nothing'}.")
    return timm.get_pretrained_cfg(model) or timm.models.PretrainedCfg()


def _model(options: TrainOptions, classes: int) -> nn.Module:
    _default_cfg(options.model)
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        try:
            model: nn.Module = timm.create_model(
                options.model,
                pretrained=options.pretrained,
                num_classes=classes if options.num_classes is None else options.num_classes,
                drop_rate=options.drop,
                **({} if options.drop_path is None else {"drop_path_rate": options.drop_path}),
                **options.model_kwargs,
            )
        except (TypeError, RuntimeError) as error:
            raise BadInput(f"--model {options.model} could not be made: {error}.") from error
    return model


def _recipe(options: TrainOptions, model: nn.Module, classes: int, device: torch.device) -> Recipe:
    cfg: Any = getattr(model, "pretrained_cfg", {})
    policy = None
    if options.aa:
        if not options.aa.startswith("daas:"):
            raise BadInput(
                f"--aa {options.aa}: write daas:NAME, daas:PATH or daas:hf-hub:REPOSITORY. Shipped policies: "
                f"{', '.join(daas.list_policies())}."
            )
        policy = DAASPolicy.load(options.aa.removeprefix("daas:"))
    mean = options.mean or tuple(cfg.get("mean", (0.5, 0.5, 0.5)))
    std = options.std or tuple(cfg.get("std", (0.5, 0.5, 0.5)))
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise BadInput(f"--mean {mean} --std {std}: three numbers each, standard deviations above 0.")
    return Recipe(options, policy, mean, std, classes, device)


def _checkpoint_to_resume(options: TrainOptions, folder: Path) -> Path | None:
    own = folder / "checkpoint.safetensors"
    if options.resume and options.resume != "auto":
        return Path(options.resume)
    if options.resume == "auto" and own.exists():
        return own
    if (folder / "args.yaml").exists() or (folder / "summary.csv").exists():
        raise BadInput(
            f"{folder} holds another run, and nothing is written over. Go on with it by --resume auto, or name another "
            "--experiment."
        )
    return None


def _plain(options: TrainOptions) -> dict[str, Any]:
    values = dataclasses.asdict(options)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _save(run: Training) -> None:
    tensors: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in run.model.state_dict().items()}
    if run.ema is not None:
        tensors |= {f"ema.{name}": tensor for name, tensor in run.ema.module.state_dict().items()}
    tensors |= dict(checkpoint.optimizer_tensors(run.optimizer, run.model, "optimizer"))
    meta = {
        "format": FORMAT, "epoch": run.epoch, "best": list(run.best), "options": _plain(run.options),
        "history": run.history, "seconds": run.seconds,
    }  # fmt: skip
    checkpoint.save(run.folder / "checkpoint.safetensors", tensors, meta)


def _restore(run: Training, path: Path) -> None:
    tensors, meta = checkpoint.load(path)
    if meta.get("format") != FORMAT:
        raise BadInput(f"{path} is no checkpoint of a training run (format {meta.get('format')!r}).")
    now = _plain(run.options)
    different = [
        f"--{key.replace('_', '-')} was {meta['options'].get(key)} and is {value}"
        for key, value in now.items()
        if key not in _FREE and meta["options"].get(key) != value
    ]
    if different:
        raise BadInput(f"{path} belongs to a run with other options: {'; '.join(different)}. Use those, or a new run.")
    run.model.load_state_dict(_part(tensors, "model."))
    if run.ema is not None:
        run.ema.module.load_state_dict(_part(tensors, "ema."))
    checkpoint.restore_optimizer(run.optimizer, run.model, "optimizer", tensors)
    run.epoch, run.best, run.history = int(meta["epoch"]), tuple(meta["best"]), list(meta["history"])
    run.seconds = float(meta["seconds"])


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _validate_only(options: TrainOptions) -> dict[str, Any]:
    device = _device(options)
    size = options.img_size or _input_size(options)
    source = options.val_dir or options.data_dir or None
    split = "train" if options.val_dir else _split(options.val_split)
    val = load_images(
        "" if options.val_dir else options.dataset, source, split=split, image_size=size,
        skip_bad_images=options.skip_bad_images, workers=options.workers,
    )  # fmt: skip
    model = _model(options, len(val.class_names)).to(device).to(memory_format=torch.channels_last)
    load_weights(model, options.validate)
    metrics = validate(model, val, _recipe(options, model, len(val.class_names), device), options, device)
    print(f"{options.validate}: top-1 {metrics['top1']:.2f}%, loss {metrics['loss']:.4f}, {len(val)} images")
    return metrics
