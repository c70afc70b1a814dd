"""Candidates: a network, a policy and base transforms, that go through whole trainings together."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from daas.augment import Policy
from daas.errors import BadInput
from daas.models import Genotype, find_genotype, list_genotypes
from daas.models.own import refuse_lazy
from daas.models.start import RANDOM, Channels, Start, create, known_config, used_to

NONE = "none"
CELLS = "daas_cell_cifar"
GENOTYPE = "genotype.json"


@dataclass(frozen=True)
class Network:
    """A network to train from its beginning, again and again.

    Attributes:
        name: For people and files: the timm model, or the genotype's name.
        model: A timm model; empty where ``module`` is given.
        kwargs: Its constructor arguments, sorted by name.
        genotype: Cells, for ``daas_cell_cifar`` and ``daas_cell_imagenet``.
        module: A network of one's own; it is copied, never changed.
        start: Where the weights of a timm model begin, in every training.
        apart: What tells it from others of its name that race, in words; empty where there are none.
    """

    name: str
    model: str = ""
    kwargs: tuple[tuple[str, Any], ...] = ()
    genotype: Genotype | None = None
    module: nn.Module | None = None
    start: Start = RANDOM
    apart: str = ""

    @property
    def title(self) -> str:
        """Its name, and what tells it from others of that name.

        >>> Network("resnet18", "resnet18", apart="pretrained").title
        'resnet18 (pretrained)'
        """
        return f"{self.name} ({self.apart})" if self.apart else self.name

    def maker(self, class_names: Sequence[str], **arguments: Any) -> nn.Module | Callable[[], nn.Module]:
        """What ``daas.train.fit`` takes: the module, or what makes a network with weights at their beginning."""
        if self.module is not None:
            return self.module
        return partial(self.create, len(class_names), class_names, **arguments)

    def create(self, classes: int, class_names: Sequence[str] | None = None, **arguments: Any) -> nn.Module:
        """The network; a module of one's own as it is.

        Args:
            classes: Outputs.
            class_names: What they mean, for the classifier of an ``initial_checkpoint``.
            **arguments: Further constructor arguments of a timm model.

        Raises:
            BadInput: timm cannot make it.
        """
        if self.module is not None:
            return self.module
        import daas  # noqa: F401  # registers the models

        arguments = {**dict(self.kwargs), **({} if self.genotype is None else {"genotype": self.genotype}), **arguments}
        return create(self.model, classes, self.start, class_names, **arguments)

    def fitted(self, image_size: int, drop_path: float | None = None) -> dict[str, Any]:
        """The constructor arguments that a training adds: the side of a network for one size, and the drop-path rate.

        Args:
            image_size: Side in pixels.
            drop_path: Of the recipe; None for the network's own.

        >>> network("vit_tiny_patch16_224").fitted(32, 0.1), network("resnet18").fitted(32)
        ({'img_size': 32, 'drop_path_rate': 0.1}, {})
        """
        if self.module is not None:
            return {}
        fixed = "img_size" not in dict(self.kwargs) and known_config(self.model).get("fixed_input_size")
        rate = {} if drop_path is None else {"drop_path_rate": drop_path}
        return {**({"img_size": image_size} if fixed else {}), **rate}

    @property
    def statistics(self) -> dict[str, Channels]:
        """The normalisation that its weights are used to, for a recipe; empty where it follows the images."""
        used = None if self.module is not None else used_to(self.model, self.start)
        return {} if used is None else {"mean": used[0], "std": used[1]}

    def parameters(self, classes: int, **arguments: Any) -> int:
        """How many weights it has, with further constructor arguments."""
        with torch.random.fork_rng(devices=[]):
            return sum(parameter.numel() for parameter in self.create(classes, **arguments).parameters())

    @property
    def searched(self) -> bool:
        """Whether its cells are a search's, and not published ones.

        >>> network("p_darts").searched
        False
        """
        return self.genotype is not None and self.genotype.name not in list_genotypes()


def network(given: Any, kwargs: Mapping[str, Any] | None = None, start: Start = RANDOM) -> Network:
    """A network from a timm name, a genotype (also its file, a folder with one, a published one's name), or a module.

    Args:
        given: One of these, or a ``Network``.
        kwargs: Constructor arguments of a timm model.
        start: Where the weights of a timm model begin.

    Raises:
        BadInput: Something else, or a name that timm does not know.

    >>> network("darts_v2_cifar").name
    'darts_v2_cifar'
    """
    named = isinstance(given, str) and (_elsewhere(given) or _is_model(given))
    if not named:
        start.check("")
    if isinstance(given, Network):
        return given
    arguments = tuple(sorted((kwargs or {}).items()))
    if isinstance(given, Genotype):
        return Network(given.name or "found", CELLS, arguments, given)
    if isinstance(given, nn.Module):
        refuse_lazy(given)
        return Network(type(given).__name__, module=given)
    given = str(given) if isinstance(given, Path) else given
    if not isinstance(given, str) or not given:
        raise BadInput(
            f"a network is the name of a timm model, a Genotype or a torch module; found {given!r}. Name one with "
            "network= (--model)."
        )
    if named:
        start.check(given)
        known_config(given)  # so that a name that leads nowhere is told at once
        return Network(given, given, arguments, start=start)
    path = Path(given) / GENOTYPE if os.path.isdir(Path(given)) else Path(given)
    if not os.path.isfile(path) and given not in list_genotypes():
        raise BadInput(
            f"no model {given}: timm knows none of this name, nor does daas, and it is no genotype. timm.list_models() "
            "and daas models list them; a genotype is a file, or the name of a published one."
        )
    cells = find_genotype(given if given in list_genotypes() else path)
    return Network(cells.name or path.stem, CELLS, arguments, cells)


def _elsewhere(name: str) -> bool:
    return name.startswith(("hf-hub:", "hf_hub:", "local-dir:"))


def _is_model(name: str) -> bool:
    import timm

    import daas  # noqa: F401  # registers the models

    return bool(timm.is_model(name.split(".")[0]))


@dataclass(frozen=True)
class Candidate:
    """What one training trains.

    Attributes:
        network: The network.
        policy: None for none.
        policy_name: ``none``, the name of a shipped policy, or what the policy is called here.
        recipe: Base transforms and other values of a training, by the names of ``daas.train``'s options; sorted.
        shelf: Whether it is what everybody can have without a search: a published policy or none, cutout or not.
    """

    network: Network
    policy: Policy | None
    policy_name: str
    recipe: tuple[tuple[str, Any], ...] = ()
    shelf: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipe", tuple(sorted(self.recipe)))

    @property
    def values(self) -> dict[str, Any]:
        """The recipe by name."""
        return dict(self.recipe)

    @property
    def policy_words(self) -> str:
        """Policy and recipe in words.

        >>> Candidate(Network("resnet18"), None, "none", (("hflip", 0.0), ("cutout", 8))).policy_words
        'none, cutout 8, no flip'
        """
        further = [_words(name, value) for name, value in self.recipe if name != "hflip"]
        return ", ".join([self.policy_name, *further, _words("hflip", self.values.get("hflip", 0.5))])

    @property
    def name(self) -> str:
        """Everything in words.

        >>> Candidate(Network("resnet18"), None, "none").name
        'resnet18: none, flip'
        """
        return f"{self.network.title}: {self.policy_words}"

    def breadth(self, parameters: int) -> tuple[float, ...]:
        """The stated order of preference among equals, smallest first.

        1. the network with fewer weights; 2. a network that others know before cells that a search has found; 3. more
        different operations, the flip counted; 4. fewer operations per image; 5. fewer further values of the recipe.
        What is still equal goes by the order of the candidates.

        Args:
            parameters: Weights of the network, as ``daas.race.sizes.alike`` has them.
        """
        share = {} if self.policy is None else self.policy.operation_share()
        flips = float(self.values.get("hflip", 0.5) > 0)
        operations = sum(value > 0 for value in share.values()) + flips
        extras = sum(name not in ("hflip", "hflip_swap") for name, _ in self.recipe)
        return float(parameters), float(self.network.searched), -operations, sum(share.values()), float(extras)


def _words(name: str, value: Any) -> str:
    if name == "hflip":
        return "no flip" if not value else "flip" if value == 0.5 else f"flip {value:g}"
    if name == "hflip_swap":
        return "exchanging " + " and ".join(":".join(pair) for pair in value)
    return f"{name} {value:g}" if isinstance(value, (int, float)) else f"{name} {value}"


def slug(text: str) -> str:
    """A text as part of a file's name.

    >>> slug("screened, half as strong")
    'screened-half-as-strong'
    """
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-") or "policy"
