"""The network that is trained under everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from daas.errors import BadInput
from daas.screen.options import DEFAULT_SIZE, ScreenOptions
from daas.train import build
from daas.train.options import TrainOptions

DEFAULT = ("wide_resnet40_2_cifar", {"depth": 10, "widen": 1})
"""WRN-10-1: 77,000 parameters, on which the method was measured."""
_LR, _FINE_LR = 0.1, 0.02


@dataclass(frozen=True)
class Network:
    """What is trained.

    Attributes:
        name: For people.
        model: timm's name, for printed commands; empty for a module.
        model_kwargs: Its constructor arguments.
        make: Gives the network for a number of classes and a side in pixels.
        lr: Largest learning rate where none is given.
        size: Side in pixels where none is given; None for the images' own.
        statistics: Mean and standard deviation that its weights are used to; None for those of the images.
        default: Whether nobody named it.
    """

    name: str
    model: str
    model_kwargs: dict[str, Any]
    make: Callable[[int, int], nn.Module | Callable[[], nn.Module]]
    lr: float
    size: int | None
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None
    default: bool = False


def network_of(module: nn.Module | None, options: ScreenOptions) -> Network:
    """What is trained.

    Args:
        module: Is copied; None for what the options name, or the default.
        options: ``model``, ``model_kwargs``, ``pretrained``.

    Raises:
        BadInput: No module, or a model that timm does not know.
    """
    if isinstance(module, nn.Module):
        if options.model:
            raise BadInput("network is a module; model=, model_kwargs= and pretrained= are for timm's names.")
        return Network(type(module).__name__, "", {}, lambda classes, side: _checked(module), _FINE_LR, None, None)
    if module is not None:
        raise BadInput(f"network is of type {type(module).__name__}; it is a timm name or a torch.nn.Module.")
    name = options.model
    if not name:
        return replace(_named("WRN-10-1", *DEFAULT, pretrained=False, size=DEFAULT_SIZE), default=True)
    config = build.pretrained_cfg(name)
    size = int(config["input_size"][-1]) if config.get("fixed_input_size") or options.pretrained else None
    return _named(name, name, dict(options.model_kwargs), options.pretrained, size)


def _named(title: str, model: str, kwargs: dict[str, Any], pretrained: bool, size: int | None) -> Network:
    config = build.pretrained_cfg(model) if pretrained else {}

    def make(classes: int, side: int) -> Callable[[], nn.Module]:
        options = TrainOptions(model=model, model_kwargs=kwargs, pretrained=pretrained, input_size=(3, side, side))
        return lambda: build.network(options, classes)

    statistics = (tuple(config["mean"]), tuple(config["std"])) if config.get("mean") else None
    return Network(title, model, kwargs, make, _FINE_LR if pretrained else _LR, size, statistics)


def _checked(module: nn.Module) -> nn.Module:
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise BadInput(f"network is a {type(module).__name__} without a parameter that could be trained.")
    return module
