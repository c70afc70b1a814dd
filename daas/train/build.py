"""What a training is put together from: network, losses, optimizer, schedule, moving average, several processes."""

from __future__ import annotations

import importlib
import re
import warnings
from types import SimpleNamespace
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2, list_optimizers
from timm.optim import optimizer_kwargs as timm_optimizer_kwargs
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler_factory import scheduler_kwargs
from timm.utils import ModelEmaV3, init_distributed_device
from torch import nn

from daas.errors import BadInput
from daas.models.auxiliary import CellNetWithAux
from daas.models.interface import TimmNetwork
from daas.models.start import Start, create, known_config
from daas.train.augmentation import mixes
from daas.train.batches import Place
from daas.train.options import TrainOptions
from daas.train.schedule import OneCycle

_ARGUMENTS = {
    "drop": "drop_rate", "drop_path": "drop_path_rate", "drop_block": "drop_block_rate", "gp": "global_pool",
    "bn_momentum": "bn_momentum", "bn_eps": "bn_eps",
}  # fmt: skip
"""By option: the argument of ``timm.create_model`` that it becomes."""


def place(options: TrainOptions) -> Place:
    """Joins the other processes, if torchrun started any, and finds this one's device.

    Raises:
        BadInput: No such device, or a module of ``--device-modules`` that cannot be imported.
    """
    for module in options.device_modules or ():
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise BadInput(f"--device-modules {module} cannot be imported ({error}).") from error
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
        return Place(torch.device(device), rank, world)
    arguments = SimpleNamespace(device=device)
    try:
        found = init_distributed_device(arguments)
        torch.empty(0, device=found)
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        raise BadInput(f"--device {options.device} cannot be used ({str(error).splitlines()[0]}).") from error
    return Place(found, arguments.rank, arguments.world_size)


def data_config(options: TrainOptions) -> dict[str, Any]:
    """Timm's data config: ``input_size``, ``mean``, ``std``, ``interpolation``, ``crop_pct``, ``crop_mode``.

    Raises:
        BadInput: An unknown model, or a size that cannot be.
    """
    size = options.input_size
    if size is not None and (len(size) != 3 or size[0] != 3 or min(size) < 1):
        raise BadInput(f"--input-size {' '.join(map(str, size))}: expected 3 HEIGHT WIDTH (images are read as RGB).")
    given = {
        key: getattr(options, key) for key in ("img_size", "input_size", "mean", "std", "interpolation", "crop_pct")
    }
    config = resolve_data_config(given, pretrained_cfg=known_config(options.model))
    config["crop_pct"] = float(config["crop_pct"])
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}


def model_kwargs(options: TrainOptions) -> dict[str, Any]:
    """Constructor arguments that are needed to build the same network again: ``--model-kwargs``, and a fixed size."""
    kwargs = dict(options.model_kwargs)
    size = options.input_size[1:] if options.input_size else options.img_size
    if size is not None and known_config(options.model).get("fixed_input_size") and "img_size" not in kwargs:
        kwargs["img_size"] = size
    return kwargs


def network(options: TrainOptions, classes: int) -> nn.Module:
    """The network as timm makes it, on the CPU, from the global random stream; without ``--initial-checkpoint``.

    Raises:
        BadInput: Arguments that the model does not take, or weights that do not fit or are out of reach.
    """
    start = Start(options.pretrained and not options.initial_checkpoint, options.pretrained_path)
    given, own = {argument: getattr(options, name) for name, argument in _ARGUMENTS.items()}, model_kwargs(options)
    for name, argument in _ARGUMENTS.items():
        if given[argument] and argument in own:
            flag = "--" + name.replace("_", "-")
            raise BadInput(f"{flag} and --model-kwargs {argument} are two names of one thing; give one of them.")
    for argument in ("device", "num_classes"):
        if argument in own:
            flag = "--" + argument.replace("_", "-")
            raise BadInput(f"--model-kwargs {argument}: this is {flag}. Write {flag} {own[argument]}.")
    try:
        model = create(options.model, classes, start, **given | own)
    except BadInput as error:
        raise _in_options(options, error) from error
    if options.grad_checkpointing:
        if not hasattr(model, "set_grad_checkpointing"):
            raise BadInput(f"--grad-checkpointing: {options.model} does not offer it.")
        enable: Any = model.set_grad_checkpointing
        enable(enable=True)
    if options.drop_path_ramp and not (options.drop_path and isinstance(model, TimmNetwork)):
        raise BadInput("--drop-path-ramp needs --drop-path above 0 and a network of this package.")
    side = min(data_config(options)["input_size"][1:])
    if isinstance(model, CellNetWithAux) and side < model.smallest_image:
        raise BadInput(
            f"--img-size {side}: the auxiliary classifier needs at least {model.smallest_image} pixels. Leave "
            "it out with --model-kwargs aux_head=False, or take larger images."
        )
    return model


def _in_options(options: TrainOptions, error: BadInput) -> BadInput:
    """The same error, under the option's name where a model does not take the argument that it becomes."""
    found = re.search(r"unknown option (\w+)\.|unexpected keyword argument '(\w+)'", str(error))
    for name, argument in _ARGUMENTS.items():
        value, flag = getattr(options, name), "--" + name.replace("_", "-")
        if value and found is not None and argument in found.groups():
            return BadInput(f"{flag} {value}: {options.model} has no {argument}. Leave {flag} out.")
    return error


def initial_head(options: TrainOptions, model: nn.Module) -> None:
    """``--head-init-scale`` and ``--head-init-bias``, on a network that has the weights that it begins with.

    Raises:
        BadInput: Its classifier has no weights.
    """
    classifier: Any = getattr(model, "get_classifier", lambda: None)
    head = classifier()
    changes = (("scale", "weight", "mul_"), ("scale", "bias", "mul_"), ("bias", "bias", "fill_"))
    with torch.no_grad():
        for flag, name, change in changes:
            value, tensor = getattr(options, f"head_init_{flag}"), getattr(head, name, None)
            if value is not None and tensor is not None:
                getattr(tensor, change)(value)
            elif value is not None and (flag, name) != ("scale", "bias"):
                raise BadInput(f"--head-init-{flag}: the classifier of {options.model} has no {name}.")


def wrapped(options: TrainOptions, model: nn.Module, where: Place) -> nn.Module:
    """The network as it is called in training: compiled and, with several processes, averaging gradients."""
    runner = model
    if options.torchcompile:
        try:
            runner = torch.compile(runner, backend=options.torchcompile, mode=options.torchcompile_mode)  # type: ignore[assignment]  # still a module
        except RuntimeError as error:  # also of torch's own: InvalidBackend
            raise BadInput(
                f"--torchcompile {options.torchcompile} cannot be used ({str(error).splitlines()[0].rstrip('.')}). "
                "Leave the name out, for inductor."
            ) from error
    if where.world > 1:
        ids = [where.device] if where.device.type == "cuda" else None
        runner = nn.parallel.DistributedDataParallel(runner, device_ids=ids)
    return runner


def batch_norms(options: TrainOptions, model: nn.Module, where: Place) -> nn.Module:
    """``--sync-bn``.

    Raises:
        BadInput: Not on GPUs, or one process alone.
    """
    if not options.sync_bn:
        return model
    if where.world == 1 or where.device.type != "cuda":
        raise BadInput(
            f"--sync-bn: batch norms can be synchronised between several processes on GPUs; there is {where.world} "
            f"process on {where.device}."
        )
    converted: nn.Module = timm.layers.convert_sync_batchnorm(model)
    return converted


def learning_rate(options: TrainOptions, world: int) -> float:
    """``--lr``, or ``--lr-base`` scaled to the number of images per update as timm does it."""
    if options.lr is not None:
        return options.lr
    share = options.batch_size * world * options.grad_accum_steps / options.lr_base_size
    scale = options.lr_base_scale or (
        "sqrt" if any(word in options.opt.lower() for word in ("ada", "lamb")) else "linear"
    )
    return options.lr_base * (share**0.5 if scale == "sqrt" else share)


def optimizer(options: TrainOptions, model: nn.Module, world: int) -> torch.optim.Optimizer:
    """Timm's optimizer.

    Raises:
        BadInput: An unknown one, or arguments that it does not take.
    """
    arguments = timm_optimizer_kwargs(SimpleNamespace(**vars(options) | {"lr": learning_rate(options, world)}))
    try:
        made: torch.optim.Optimizer = create_optimizer_v2(model, **arguments, **options.opt_kwargs)
    except (AssertionError, TypeError, ValueError) as error:
        near = [name for name in list_optimizers() if name.startswith(options.opt[:3])]
        hint = f" Near it: {', '.join(near)}." if near and options.opt not in near else ""
        raise BadInput(f"--opt {options.opt} cannot be used ({str(error).rstrip('.')}).{hint}") from error
    return made


def schedule(options: TrainOptions, made: torch.optim.Optimizer, updates_per_epoch: int) -> tuple[Any, int]:
    """Timm's schedule (or None) and the number of epochs, cool-down included.

    Raises:
        BadInput: An unknown schedule, or one that does not fit.
    """
    if options.sched == "onecycle":
        return OneCycle(made, options.epochs * updates_per_epoch, options.min_lr), options.epochs
    try:
        with warnings.catch_warnings():  # a plateau goes on exactly here, and timm warns that it does not
            warnings.filterwarnings("ignore", "PlateauLRScheduler is deprecated", FutureWarning)
            found = create_scheduler_v2(
                made, **scheduler_kwargs(options, decreasing_metric=options.eval_metric == "loss"),
                updates_per_epoch=updates_per_epoch,
            )  # fmt: skip
    except (AssertionError, ValueError, TypeError) as error:
        raise BadInput(f"--sched {options.sched} cannot be used ({error}).") from error
    return found[0], int(found[1])


def training_loss(options: TrainOptions) -> nn.Module:
    """The loss that timm's script takes for these options."""
    mixed = mixes(options)
    if options.bce_loss:
        return BinaryCrossEntropy(  # type: ignore[no-any-return]  # timm is untyped
            smoothing=0.0 if mixed else options.smoothing, target_threshold=options.bce_target_thresh,
            sum_classes=options.bce_sum, pos_weight=options.bce_pos_weight,
        )  # fmt: skip
    if mixed:
        return SoftTargetCrossEntropy()  # type: ignore[no-any-return]  # timm is untyped
    return LabelSmoothingCrossEntropy(options.smoothing) if options.smoothing else nn.CrossEntropyLoss()


def moving_average(options: TrainOptions, model: nn.Module) -> ModelEmaV3 | None:
    """Timm's moving average of the weights, if it is asked for."""
    if not options.model_ema:
        return None
    return ModelEmaV3(
        model, decay=options.model_ema_decay, use_warmup=options.model_ema_warmup,
        device="cpu" if options.model_ema_force_cpu else None,
    )  # fmt: skip
