"""The network that is trained under everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from daas.errors import BadInput
from daas.models.own import refuse_lazy
from daas.models.start import Start, known_config, own_size, used_to
from daas.models.weights import load_weights
from daas.screen.options import DEFAULT_SIZE, ScreenOptions
from daas.train import build
from daas.train.fit import FINE_LR
from daas.train.options import TrainOptions

DEFAULT = ("wide_resnet40_2_cifar", {"depth": 10, "widen": 1})
"""WRN-10-1: 77,000 parameters, on which the method was measured."""
_LR = 0.1


@dataclass(frozen=True)
class Network:
    """What is trained.

    Attributes:
        name: For people.
        model: timm's name, for printed commands; empty for a module.
        model_kwargs: Its constructor arguments.
        make: Gives the network for the names of the classes and a side in pixels.
        lr: Largest learning rate where none is given.
        size: Side in pixels where none is given; None for the images' own.
        statistics: Mean and standard deviation that its weights are used to; None for those of the images.
        default: Whether nobody named it.
    """

    name: str
    model: str
    model_kwargs: dict[str, Any]
    make: Callable[[Sequence[str], int], nn.Module | Callable[[], nn.Module]]
    lr: float
    size: int | None
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None
    default: bool = False


def network_of(module: nn.Module | None, options: ScreenOptions) -> Network:
    """What is trained.

    Args:
        module: Is copied; None for what the options name, or the default.
        options: ``model``, ``model_kwargs``, and where its weights begin.

    Raises:
        BadInput: No module, or a model that timm does not know.
    """
    if isinstance(module, nn.Module):
        if options.model:
            raise BadInput("network is a module; model= and model_kwargs= are for timm's names.")
        return Network(type(module).__name__, "", {}, lambda classes, side: _checked(module), FINE_LR, None, None)
    if module is not None:
        raise BadInput(f"network is of type {type(module).__name__}; it is a timm name or a torch.nn.Module.")
    name = options.model
    if not name:
        return replace(_named("WRN-10-1", *DEFAULT, Start(), size=DEFAULT_SIZE), default=True)
    config, start = known_config(name), Start.of(options)
    size = int(config["input_size"][-1]) if config.get("fixed_input_size") else own_size(name, start)
    return _named(name, name, dict(options.model_kwargs), start, size)


def _named(title: str, model: str, kwargs: dict[str, Any], start: Start, size: int | None) -> Network:
    def make(class_names: Sequence[str], side: int) -> Callable[[], nn.Module]:
        return lambda: _made(model, kwargs, start, class_names, side)

    return Network(title, model, kwargs, make, FINE_LR if start.given else _LR, size, used_to(model, start))


def _made(model: str, kwargs: dict[str, Any], start: Start, class_names: Sequence[str], side: int) -> nn.Module:
    options = TrainOptions(model=model, model_kwargs=kwargs, input_size=(3, side, side), **start.named())
    network = build.network(options, len(class_names))
    if start.initial_checkpoint:
        load_weights(network, start.initial_checkpoint, class_names)
    return network


def _checked(module: nn.Module) -> nn.Module:
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise BadInput(f"network is a {type(module).__name__} without a parameter that could be trained.")
    refuse_lazy(module)
    return module
