"""``daas.Search``: the loop of a search in one's own hands, batch by batch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from daas import processes
from daas.augment import DAASPolicy, Policy
from daas.errors import BadInput
from daas.models import Genotype
from daas.models.start import Start, used_to
from daas.search.algorithm.estimators import Sampling
from daas.search.algorithm.state import Batch, Moment, State
from daas.search.algorithm.step import advance
from daas.search.api import take_spaces
from daas.search.budget.latency import Latency
from daas.search.derivation import decision_of, policy_of
from daas.search.found import Found
from daas.search.given import Given
from daas.search.options import SearchConfig, options
from daas.search.report.costs import cost
from daas.search.runs.build import Kind, build_state
from daas.search.runs.limits import limit, skips
from daas.search.spaces.cell_space import CellSpace
from daas.search.spaces.policy_space import PolicySpace
from daas.surroundings import usual_torch

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]
_OF_A_STEP = frozenset(
    {
        "preset", "mode", "aug_estimator", "baseline", "reward", "reward_batches", "policies", "policy_parameters",
        "arch_estimator", "architectures", "primitives", "channels", "layers", "nodes", "model_kwargs", "pretrained",
        "pretrained_path", "initial_checkpoint", "amp", "device",
        "crop_padding", "hflip", "lr", "momentum", "weight_decay", "clip_grad", "arch_lr", "arch_weight_decay",
        "aug_lr", "max_params", "max_macs", "max_latency", "latency_batch", "latency_threads", "cost_weight",
        "max_skips", "derive", "apply_rate", "confidence_penalty", "policy_passes", "graph",
    }
)  # fmt: skip
_MIDDLE: Statistics = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class Search:
    """A search that takes one step for every pair of batches it is given.

    Args:
        network: A fixed network for which a policy is searched: a timm name, a ``Genotype`` or a module, of which a
            copy is searched on. None to search cells.
        cells: The cells that are searched otherwise.
        policies: The policies that are searched; or a policy that is fixed, under which cells alone are searched.
        estimator: How the policies learn; the paper's by default.
        num_classes: Of the labels; needed unless the network is a module.
        normalize: (mean, std) per channel, as shares of the full range, with which the network sees images. By default
            those that its weights are used to, where they are pretrained, and else 0.5 and 0.25.
        seed: Of every random choice.
        **settings: Other options of ``daas.search`` that a step depends on: ``lr``, ``arch_lr``, ``aug_lr``,
            ``clip_grad``, ``crop_padding``, ``hflip``, ``policy_parameters``, ``max_params``, ``device``, ...

    Raises:
        BadInput: Something that cannot be used; the message says what can.

    >>> import torch
    >>> random = torch.Generator().manual_seed(0)
    >>> batch = (torch.randint(256, (8, 3, 8, 8), generator=random, dtype=torch.uint8), torch.arange(8) % 2)
    >>> search = Search(cells=CellSpace(channels=2, layers=3, nodes=2, architectures=1), num_classes=2)
    >>> seen = search.step(batch, batch)
    >>> sorted(seen)
    ['step', 'train_accuracy', 'train_loss', 'val_accuracy', 'val_loss']
    >>> search.derive().summary["derivation"]["removed"]
    []
    """

    def __init__(
        self,
        network: nn.Module | Genotype | str | None = None,
        cells: CellSpace | None = None,
        policies: PolicySpace | Policy | DAASPolicy | str | None = None,
        estimator: Sampling | str | None = None,
        *,
        num_classes: int | None = None,
        normalize: Statistics | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        if network is not None and cells is not None:
            raise BadInput("network is fixed and cells are searched; give one of them.")
        if unknown := sorted(settings.keys() - _OF_A_STEP):
            raise BadInput(f"{', '.join(unknown)}: no step depends on it. Known are {', '.join(sorted(_OF_A_STEP))}.")
        values: dict[str, Any] = {**settings, "seed": seed, "out": None, "screen": False, "race": 0}
        objects: dict[str, Any] = {"data": ()}
        take_spaces(values, objects, cells if network is None else network, policies, estimator)
        self.config = SearchConfig(**values)
        self.config.check(images_given=True)
        self.config = replace(self.config, max_skips=skips(self.config, None))
        if self.config.mode not in ("joint", "arch", "aug"):
            raise BadInput(f"mode is {self.config.mode!r}; a loop of one's own is joint, arch or aug.")
        if num_classes is None and not isinstance(network, nn.Module):
            raise BadInput("num_classes is missing: how many classes the labels have.")
        self._given = Given(**objects)
        self._classes = num_classes
        self._normalize = normalize or used_to(self.config.model, Start.of(self.config)) or _MIDDLE
        self._device = processes.local_device(self.config.device)
        self._state: State | None = None
        self._steps = 0
        self._side = 0
        self._latency: Latency | None = None

    @usual_torch()
    def step(
        self,
        train: Batch,
        val: Batch,
        *,
        lr: float | None = None,
        temperature: float = 1.0,
        warm_up: bool = False,
    ) -> dict[str, float]:
        """One iteration of Algorithm 1. Torch's global random streams are afterwards as they were before.

        Args:
            train: Images [B, 3, S, S] uint8, without augmentation, and labels [B] int64.
            val: A batch of validation images, the same.
            lr: Learning rate of the weights; the option ``lr`` by default.
            temperature: tau of eq. 10 and 11; searches go from 10 down to 0.1.
            warm_up: Leave the policies alone.

        Returns:
            ``step`` (its number, from 1), ``train_loss``, ``train_accuracy``, ``val_loss``, ``val_accuracy`` (percent).

        Raises:
            BadInput: Batches of another kind, labels that are no classes, a network that cannot run on them, or a
                learning rate or temperature that is not positive.
            FloatingPointError: A gradient of the search is infinite or not a number; nothing has moved.
        """
        train, val = self._checked("train", train), self._checked("val", val)
        for name, value in (("lr", self.config.lr if lr is None else lr), ("temperature", temperature)):
            if not (value > 0 and math.isfinite(value)):
                raise BadInput(f"{name} is {value}; it must be a number greater than 0.")
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            if self._state is None:
                self._state = self._built(train)
            self._check_labels(train[1], val[1])
            joint = self.config.mode != "arch" and not warm_up
            at = Moment(self._steps, self.config.lr if lr is None else lr, temperature, joint)
            means = advance(self._state, train, val, at).means(self._device).tolist()
        self._steps += 1
        names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        factors = (1, 100, 1, 100)
        return {"step": self._steps} | {
            name: factor * value for name, factor, value in zip(names, factors, means, strict=True)
        }

    def derive(self) -> Found:
        """What is found by now: the cells, the policy, or both.

        Raises:
            BadInput: No step has been taken.
        """
        if self._state is None:
            raise BadInput("Nothing is found before the first step.")
        source = f"daas search, mode {self.config.mode}, a loop of {self._steps} steps, seed {self.config.seed}"
        cells, policies = self._state.architecture, self._state.augmentation
        decision = decision_of(self._state)
        mean, std = self._normalize
        return Found(
            None if cells is None else cells.derive("searched", source),
            policy_of(self._state, decision, source),
            [],
            {
                "seed": self.config.seed,
                "options": options(self.config),
                **({"given": names} if (names := self._names()) else {}),
                "data": {"class_names": [str(index) for index in range(self._classes or 0)], "mean": mean, "std": std},
                "steps": self._steps,
                **({} if cells is None else {"cost": self._cost(self._state)}),
                **({} if decision is None or policies is None else {"derivation": decision.facts(policies)}),
            },
        )

    def _cost(self, state: State) -> dict[str, Any]:
        assert self._classes is not None
        return cost(state, self.config, self._side, self._classes, self._latency)

    def _names(self) -> dict[str, str]:
        return {key: name for key, name in self._given.names.items() if key != "data"}

    def _built(self, train: tuple[Tensor, Tensor]) -> State:
        self._side = side = train[0].shape[-1]
        if self._classes is None:
            assert self._given.network is not None
            self._classes = _outputs(self._given.network, side)
        kind = Kind(side, self._classes, *self._normalize)
        state = build_state(self.config, kind, self._device, self._given)
        self._latency = limit(state, self.config, side, self._classes)
        return state

    def _check_labels(self, train: Tensor, val: Tensor) -> None:
        lowest, highest = torch.cat([train, val]).aminmax()
        assert self._classes is not None
        if lowest < 0 or highest >= self._classes:
            raise BadInput(
                f"The labels go from {int(lowest)} to {int(highest)}; those of {self._classes} classes go from 0 to "
                f"{self._classes - 1}."
            )

    def _checked(self, name: str, batch: Batch) -> Batch:
        """A batch on the device of the network.

        Raises:
            BadInput: It is no pair of uint8 images and labels.
        """
        if (
            not isinstance(batch, tuple | list)
            or len(batch) != 2
            or not all(isinstance(part, Tensor) for part in batch)
        ):
            raise BadInput(f"The {name} batch is no pair of images and labels.")
        images, labels = batch
        square = images.dim() == 4 and images.shape[1] == 3 and images.shape[2] == images.shape[3]
        if images.dtype != torch.uint8 or not square or labels.shape != images.shape[:1] or len(images) < 2:
            raise BadInput(
                f"The {name} batch is {str(images.dtype).removeprefix('torch.')} {list(images.shape)} with labels "
                f"{list(labels.shape)}; it must be uint8 [B, 3, S, S], not augmented, with labels [B], B at least 2."
            )
        return images.to(self._device), labels.to(self._device).long()


@torch.no_grad()
def _outputs(network: nn.Module, side: int) -> int:
    """The number of logits of a module, by a pass of a copy of it."""
    from daas.search.spaces.supernet import FixedNetwork

    try:
        found = FixedNetwork(network)(torch.zeros(2, 3, side, side, device=next(network.parameters()).device))
        return int(found.shape[1])
    except BadInput:
        raise
    except Exception as error:  # whatever a network raises on images of a size that it was not made for
        raise BadInput(f"The network {type(network).__name__} cannot run on [2, 3, {side}, {side}]: {error}") from error
