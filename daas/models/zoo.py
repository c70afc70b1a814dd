"""From genotypes to timm entry points: those that the package ships, and those that a user registers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import timm
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import generate_default_cfgs
from torch import nn

from daas.errors import BadInput
from daas.home import at_home
from daas.models.auxiliary import CellNetWithAux
from daas.models.cell_net import CellNet, Stem
from daas.models.darts import is_darts, named_after, read_darts
from daas.models.genotype import Genotype
from daas.models.interface import CIFAR_CFG, create, register
from daas.reading import packaged_json

GenotypeLike = Genotype | Mapping[str, Any] | str | Path
SIZES: dict[Stem, dict[str, int]] = {
    "cifar": {"channels": 36, "layers": 20},
    "imagenet": {"channels": 48, "layers": 14},
}
_genotypes: dict[str, Genotype] = {}


@lru_cache
def published() -> dict[str, Any]:
    """What papers print about the shipped genotypes.

    Returns:
        Per genotype and stem the ``channels`` and ``layers`` of the paper's table and, where printed, ``params_m``,
        ``macs_m`` (millions), ``error`` (CIFAR-10, percent) or ``top1`` (ImageNet, percent); a ``note`` where the
        network has another size than the printed one.
    """
    found: dict[str, Any] = packaged_json("daas.models", "published.json")
    return found


_CFGS: dict[Stem, dict[str, Any]] = {
    "cifar": {**CIFAR_CFG, "first_conv": "stem.conv0.0"},
    "imagenet": {
        **CIFAR_CFG,
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.875,
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem.conv0.0",
    },
}
default_cfgs: dict[str, Any] = generate_default_cfgs(
    {"daas_cell_cifar.untrained": _CFGS["cifar"], "daas_cell_imagenet.untrained": _CFGS["imagenet"]}
)


def find_genotype(genotype: GenotypeLike) -> Genotype:
    """A genotype from what a user may pass.

    Args:
        genotype: A Genotype, its dict, the path of its file or its run, or the name of a registered one; or one of
            DARTS's own, the named tuple, as text or as a dict of its four fields.

    Raises:
        BadInput: No genotype, and neither a file nor a registered name.
    """
    if isinstance(genotype, Genotype):
        return genotype
    text = at_home(str(genotype))
    darts = is_darts(text)
    if isinstance(genotype, Mapping) and ("format" in genotype or not darts):
        return Genotype.from_dict(genotype)
    if darts:
        return Genotype(named_after(""), "imported", **read_darts(text))
    if text in _genotypes:
        return _genotypes[text]
    if os.path.isfile(text):  # os.path: false, not an error, for what can be no file's name
        return Genotype.load(text)
    if os.path.isdir(text):
        if os.path.isfile(inside := os.path.join(text, "genotype.json")):
            return Genotype.load(inside)
        raise BadInput(f"{text}: there is no genotype.json in it. A search of cells writes one when it is done.")
    raise BadInput(
        f"genotype {text[:200]!r} is neither a file nor registered. Registered are "
        f"{', '.join(sorted(_genotypes))}; a search writes its own to genotype.json in its output folder."
    )


def list_genotypes() -> list[str]:
    """Names of the registered genotypes."""
    return sorted(_genotypes)


def create_cells(
    variant: str, stem: Stem, pretrained: bool, genotype: GenotypeLike, kwargs: dict[str, Any]
) -> nn.Module:
    """The network of a registered model, at the papers' size unless ``kwargs`` give another one.

    Args:
        variant: The model's registered name.
        stem: ``cifar`` or ``imagenet``.
        pretrained: Load the weights that ``pretrained_cfg`` names.
        genotype: Its cells.
        kwargs: ``channels``, ``layers``, ``aux_head`` and the arguments of ``CellNet``.

    Raises:
        BadInput: An argument that the name fixes.
    """
    if fixed := sorted({"genotype", "stem"} & kwargs.keys()):
        raise BadInput(
            f"{variant}: its name says its {fixed[0]}, and {fixed[0]}= is not taken; daas_cell_cifar and "
            "daas_cell_imagenet take genotype=, and differ by their stem."
        )
    aux_head = bool(kwargs.pop("aux_head", False))
    arguments = {**SIZES[stem], "stem": stem, "genotype": find_genotype(genotype), **kwargs}
    levels = 3 if stem == "cifar" else 5
    return create(CellNetWithAux if aux_head else CellNet, variant, pretrained, levels, **arguments)


@register
def daas_cell_cifar(pretrained: bool = False, *, genotype: GenotypeLike = "darts_v2", **kwargs: Any) -> nn.Module:
    """A cell network for small images.

    Args:
        pretrained: Load the weights that ``pretrained_cfg`` names.
        genotype: Path, dict, Genotype or the name of a registered one.
        **kwargs: ``channels``, ``layers``, ``aux_head`` and the arguments of ``CellNet``.
    """
    return create_cells("daas_cell_cifar", "cifar", pretrained, genotype, kwargs)


@register
def daas_cell_imagenet(pretrained: bool = False, *, genotype: GenotypeLike = "darts_v2", **kwargs: Any) -> nn.Module:
    """A cell network for large images.

    Args:
        pretrained: Load the weights that ``pretrained_cfg`` names.
        genotype: Path, dict, Genotype or the name of a registered one.
        **kwargs: ``channels``, ``layers``, ``aux_head`` and the arguments of ``CellNet``.
    """
    return create_cells("daas_cell_imagenet", "imagenet", pretrained, genotype, kwargs)


def register_genotype(genotype: Genotype, name: str | None = None) -> None:
    """Makes ``<name>_cifar`` and ``<name>_imagenet`` timm models, and ``name`` a genotype that can be named.

    Args:
        genotype: The cells.
        name: Letters, digits and underscores; the genotype's own name by default.

    Raises:
        BadInput: The name is taken (also by another timm model) or has other characters.
    """
    name = genotype.name if name is None else name
    if not name.isidentifier() or not name.isascii():
        raise BadInput(f"genotype name {name!r}: use letters, digits and underscores, and no digit first.")
    stems: tuple[Stem, ...] = ("cifar", "imagenet")
    for taken in (name, *(f"{name}_{stem}" for stem in stems)):
        if taken in _genotypes or timm.is_model(taken):
            raise BadInput(f"genotype name {name!r}: {taken!r} is registered already; choose another name.")
    _genotypes[name] = genotype
    for stem in stems:
        _register(f"{name}_{stem}", stem, name)


def _register(model_name: str, stem: Stem, genotype_name: str) -> None:
    printed = published().get(genotype_name, {}).get(stem, {})
    size = {key: printed[key] for key in ("channels", "layers") if key in printed}

    def entry(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        return create_cells(model_name, stem, pretrained, genotype_name, {**size, **kwargs})

    entry.__name__ = entry.__qualname__ = model_name
    genotype = _genotypes[genotype_name]
    entry.__doc__ = f"The {stem} network of the genotype {genotype_name} ({genotype.source})."
    default_cfgs.update(generate_default_cfgs({f"{model_name}.untrained": _CFGS[stem]}))
    globals()[model_name] = entry  # timm lists the name in this module's __all__
    register(entry)


for _file in sorted(files("daas.models").joinpath("genotypes").iterdir(), key=lambda entry: entry.name):
    if _file.name.endswith(".json"):
        register_genotype(Genotype.from_dict(packaged_json("daas.models.genotypes", _file.name)))
