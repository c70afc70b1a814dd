"""The cells that this project searched itself, at the paper's size and at one whose weights it ships."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from timm.models import generate_default_cfgs
from torch import nn

from daas.models.interface import CIFAR_CFG, register
from daas.models.zoo import create_cells

_CFG = {**CIFAR_CFG, "first_conv": "stem.conv0.0"}


def _shipped(name: str) -> dict[str, Any]:
    """Configuration of a model whose weights come with the package."""
    return {**_CFG, "file": str(files("daas.models").joinpath("weights").joinpath(f"{name}.safetensors"))}


default_cfgs: dict[str, Any] = generate_default_cfgs(
    {
        "daas_cifar10.untrained": _CFG,
        "daas_cifar10_micro.cifar10_jpeg": _shipped("daas_cifar10_micro"),
        "daas_cifar10_nano.cifar10_jpeg": _shipped("daas_cifar10_nano"),
    }
)


@register
def daas_cifar10(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The cells found on CIFAR-10 (JPEG) at the scale of the preset ``cpu``, with 36 channels and 20 cells; untrained.

    Args:
        pretrained: Load the weights that ``pretrained_cfg`` names.
        **kwargs: ``channels``, ``layers``, ``aux_head`` and the arguments of ``CellNet``.
    """
    return create_cells("daas_cifar10", "cifar", pretrained, "daas_cifar10", kwargs)


@register
def daas_cifar10_micro(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The same cells with 16 channels and 5 cells; its weights come with the package.

    Args:
        pretrained: Load them: trained on CIFAR-10 (JPEG) under the policy ``daas_cifar10`` at half its strength.
        **kwargs: As for ``daas_cifar10``.
    """
    return create_cells(
        "daas_cifar10_micro", "cifar", pretrained, "daas_cifar10", {"channels": 16, "layers": 5, **kwargs}
    )


@register
def daas_cifar10_nano(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The same cells with 8 channels and 5 cells; its weights come with the package.

    Args:
        pretrained: Load them: trained on CIFAR-10 (JPEG) under the policy ``daas_cifar10``.
        **kwargs: As for ``daas_cifar10``.
    """
    return create_cells(
        "daas_cifar10_nano", "cifar", pretrained, "daas_cifar10", {"channels": 8, "layers": 5, **kwargs}
    )
