"""The end of an iteration: the gradients of all its architectures, on all processes, are gathered and descended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from daas import processes
from daas.search.algorithm.model import Model, Rows
from daas.search.algorithm.state import State


@dataclass
class Seen:
    """What one iteration saw; the tensors stay on the network's device, so that nothing waits for them.

    Attributes:
        rows: Losses and accuracies of the passes that this process ran.
        rewards: Rewards of the sampled policies.
        policy_gradient: The gradient of gamma that was descended, by name; empty where gamma did not learn.
    """

    rows: Rows = field(default_factory=Rows)
    rewards: list[Tensor] = field(default_factory=list)
    policy_gradient: dict[str, Tensor] = field(default_factory=dict)

    def means(self, device: torch.device) -> Tensor:
        """(train loss, train correct, validation loss, validation correct), [4], over the passes of all processes."""
        sums = torch.zeros(2, 3, dtype=torch.float64, device=device)
        for row, passes in enumerate((self.rows.train, self.rows.val)):
            if passes:  # a process without samples has none
                sums[row, :2] = torch.stack(passes).double().sum(0)
                sums[row, 2] = len(passes)
        sums = processes.total(sums)
        return (sums[:, :2] / sums[:, 2:]).flatten()


class Descent:
    """The three gradients of an iteration, gathered over its N architectures, then descended together.

    Sums are taken in float64, so that they do not depend on the order of the samples, nor on how many processes share
    them, but for the rarest rounding.

    Weights that no sampled architecture used have no gradient: neither they nor their momentum move.

    Args:
        search: The state.
    """

    def __init__(self, search: State) -> None:
        self.search = search
        self._theta: dict[Tensor, Tensor] = {}
        self._architecture: dict[Tensor, Tensor] = {}
        self._gamma: dict[Tensor, Tensor] = {}
        self._gates: list[tuple[Tensor, Tensor]] = []

    def theta(self, model: Model, gradient: Sequence[Tensor]) -> None:
        """Eq. 13: the mean training gradient of one architecture, in the weights that it uses."""
        self._add(self._theta, model.weights, gradient)

    def gates(self, gates: Tensor, gradient: Tensor) -> None:
        """Eq. 12: the gradient of the validation loss in the gates of one architecture."""
        self._gates.append((gates, gradient))

    def gamma(self, objectives: Sequence[Tensor]) -> None:
        """Eq. 9, or another estimate: one scalar per architecture whose gradient in gamma it is."""
        assert self.search.augmentation is not None
        gamma: list[Tensor] = list(self.search.augmentation.parameters())
        for objective in objectives:
            self._add(self._gamma, gamma, torch.autograd.grad(objective, gamma))

    def descend(self) -> dict[str, Tensor]:
        """Step 2 and 3 of Algorithm 1: one step of each optimiser along its gradient, summed over all processes.

        Returns:
            The gradient of gamma, by name.

        Raises:
            FloatingPointError: A gradient of alpha, beta or gamma is infinite or not a number; nothing has moved.
        """
        search = self.search
        self._through_gates()
        for gradients, module in (
            (self._theta, search.network),
            (self._architecture, search.architecture),
            (self._gamma, search.augmentation),
        ):
            if module is not None:
                processes.sum_gradients(gradients, module.parameters())
        self._limit_cost()
        search_gradients = [*self._architecture.values(), *self._gamma.values()]
        if search_gradients and not bool(torch.stack(torch._foreach_norm(search_gradients)).isfinite().all()):
            raise FloatingPointError("a gradient of the search parameters is infinite or not a number")
        if search.clip_grad and self._theta:
            norm = torch.stack(torch._foreach_norm(list(self._theta.values()))).norm()
            scale = (search.clip_grad / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_(list(self._theta.values()), scale)
        _step(search.architecture_optimizer, self._architecture)
        _step(search.augmentation_optimizer, self._gamma)
        _step(search.weights, self._theta)
        named = () if search.augmentation is None else search.augmentation.named_parameters()
        return {name: self._gamma[parameter] for name, parameter in named if parameter in self._gamma}

    def _through_gates(self) -> None:
        """From the gates of the N architectures into alpha and beta."""
        if self.search.architecture is None or not self._gates:
            return
        weights: list[Tensor] = list(self.search.architecture.parameters())
        downstream = torch.stack([gradient for _, gradient in self._gates]).cpu()  # one transfer for all
        for (gate, _), gradient in zip(self._gates, downstream, strict=True):
            self._add(self._architecture, weights, torch.autograd.grad((gate * gradient).sum(), weights))

    def _limit_cost(self) -> None:
        """The term of the cost, which is exact and the same on all processes."""
        cells, budget = self.search.architecture, self.search.budget
        if cells is None or budget is None:
            return
        for parameter, gradient in budget.gradient(cells).items():
            self._architecture[parameter] = self._architecture[parameter] + gradient

    def _add(self, into: dict[Tensor, Tensor], parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Adds 1/N of one architecture's gradients; in a few launches, however many there are."""
        parts = [torch.empty_like(gradient, dtype=torch.float64) for gradient in gradients]
        torch._foreach_copy_(parts, list(gradients))
        torch._foreach_div_(parts, self.search.architectures)
        found = dict(zip(parameters, parts, strict=True))
        known = [parameter for parameter in found if parameter in into]
        if known:
            torch._foreach_add_([into[parameter] for parameter in known], [found.pop(parameter) for parameter in known])
        into.update(found)


def _step(optimizer: torch.optim.Optimizer | None, gradients: dict[Tensor, Tensor]) -> None:
    if optimizer is None or not gradients:
        return
    optimizer.zero_grad(set_to_none=True)
    narrowed = [torch.empty_like(parameter) for parameter in gradients]
    torch._foreach_copy_(narrowed, list(gradients.values()))
    for parameter, gradient in zip(gradients, narrowed, strict=True):
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
