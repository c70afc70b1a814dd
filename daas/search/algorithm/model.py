"""The network on one sampled path: its losses and gradients in the weights that the path uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from daas.search.algorithm.gradients import frozen, gradients, one_step_ahead
from daas.search.algorithm.influence import influences
from daas.search.algorithm.parts import PerPart
from daas.search.algorithm.state import Batch, Differentiated, Key, State
from daas.search.spaces.cells import Path
from daas.search.spaces.policies import PolicySample


@dataclass(frozen=True)
class Augmented:
    """A training batch under freshly sampled policies, Gamma(D_train).

    Attributes:
        images: [B, 3, H, W], what the network sees.
        labels: [B].
        seed: Of whatever the network itself draws in a pass over them (dropout, drop-path, ...).
        source: The batch before, [B, 3, H, W] uint8.
        key: Which pass of which iteration this is.
        log_prob: [1] or [B], log p(Gamma; gamma) with its graph; None where gamma does not learn from it.
        sample: The policies of log_prob.
        rate_log_prob: The part of log_prob that says whether images get their policy at all; None where they do.
        parts: Batches that it is made of, one behind the other, each with batch statistics of its own. Then ``images``,
            ``labels`` and what is of policies are those of all parts; ``seed``, ``source`` and ``key`` the first one's.
        gates: [1, K, 3], of a relaxed policy, with their graph; only for the straight-through estimator.
        slots: Per slot, its input, the operation applied to it, both in [0, 1], and whether it was applied; the same.
        weighed: Whether the training pass also takes the influence of every image on the loss of the batch.
    """

    images: Tensor
    labels: Tensor
    seed: int
    source: Tensor
    key: Key
    log_prob: Tensor | None = None
    gates: Tensor | None = None
    slots: tuple[tuple[Tensor, Tensor, Tensor], ...] = ()
    weighed: bool = False
    sample: PolicySample | None = None
    rate_log_prob: Tensor | None = None
    parts: int = 1


@dataclass(frozen=True)
class Pass:
    """A training pass.

    Attributes:
        batch: What it ran on.
        losses: [B], of the images, without graph.
        gradient: Mean training gradient, one tensor per active weight.
        logits: [B, classes], without graph.
        influence: [B], of the images on the loss of the batch, without graph; only where the batch is weighed.
    """

    batch: Augmented
    losses: Tensor
    gradient: tuple[Tensor, ...]
    logits: Tensor
    influence: Tensor | None = None


@dataclass
class Rows:
    """(Mean loss, share of correct images) of passes, on the network's device, so that nothing waits for them."""

    train: list[Tensor] = field(default_factory=list)
    val: list[Tensor] = field(default_factory=list)


class Model:
    """The network on one path.

    Args:
        search: The state.
        z: The path; None for a fixed network.
        rows: Where the losses and accuracies of the passes are noted.

    Attributes:
        search: The state.
        z: The path.
        theta: The weights that the path uses, by name.
        validated: Logits and labels of the validation batch at which v was taken, without graph.
    """

    def __init__(self, search: State, z: Path | None, rows: Rows | None = None) -> None:
        self.search = search
        self.z = z
        self.rows = Rows() if rows is None else rows
        self.theta: dict[str, nn.Parameter] = search.network.active(z)
        self.validated: Batch | None = None

    @property
    def weights(self) -> list[Tensor]:
        """theta_z."""
        return list(self.theta.values())

    def losses(
        self, batch: Augmented, images: Tensor | None = None, weights: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """A forward pass in training mode; every one over the same batch has the same dropout masks.

        So differences and derivatives of these losses are those of one function.

        Args:
            batch: What it runs on.
            images: Stand in for the batch's own.
            weights: Stand in for the network's own, by name.

        Returns:
            Losses [B] and logits [B, classes].
        """
        torch.manual_seed(batch.seed)
        images = batch.images if images is None else images
        apart = PerPart(batch.parts, len(images), tracked=weights is None) if batch.parts > 1 else nullcontext()
        with apart:
            logits = self.search.logits(images, self.z, weights=weights, training=True)
        return cross_entropy(logits, batch.labels, reduction="none"), logits

    def train(self, batch: Augmented) -> Pass:
        """Gradient of L_t(theta, z; Gamma(D_train)) in theta_z."""
        if batch.weighed:
            found = self._weighed(batch)
        else:
            taken = self._replayed(batch) or self._differentiated(*self.losses(batch))
            found = Pass(batch, taken.losses, taken.gradient, taken.logits)
        self.rows.train.append(_row(found.losses, found.logits, batch.labels))
        return found

    def _weighed(self, batch: Augmented) -> Pass:
        """A training pass that also says what each image does to the loss of the batch."""
        seen = []

        def per_image_loss() -> Tensor:
            losses, logits = self.losses(batch)
            seen.append(logits.detach())
            return losses

        losses, influence, gradient = influences(per_image_loss, batch.images, self.weights)
        return Pass(batch, losses, gradient, seen[0], influence)

    def _replayed(self, batch: Augmented) -> Differentiated | None:
        """The same training pass from graphs, where they are wanted and can."""
        passes = self.search.passes
        if passes is None or batch.parts > 1:
            return None
        torch.manual_seed(batch.seed)
        return passes.of_weights(self, (batch.images, batch.labels), training=True)

    def _differentiated(self, losses: Tensor, logits: Tensor) -> Differentiated:
        return Differentiated(losses.detach(), logits.detach(), gradients(losses.mean(), self.weights))

    def one_step_ahead(self, gradient: Sequence[Tensor], eta: float) -> AbstractContextManager[None]:
        """Within the block the weights are theta' = theta - eta * gradient (eq. 6)."""
        return one_step_ahead(self.weights, gradient, eta)

    def gradient(self, val: Batch) -> tuple[Tensor, ...]:
        """v: gradient of L_v(theta, z; D_val) in theta_z as it stands, on normalised images."""
        passes = self.search.passes
        taken = None if passes is None else passes.of_weights(self, val, training=False)
        taken = taken or self.through_weights(val, training=False)
        self.validated = taken.logits, val[1]
        if self.z is None:
            self.rows.val.append(_row(taken.losses, taken.logits, val[1]))
        return taken.gradient

    def gate_gradient(self, val: Batch) -> Tensor:
        """Gradient of L_v(theta, z; D_val) in the gates of z, at theta, on the network's device (eq. 12)."""
        assert self.z is not None
        passes = self.search.passes
        taken = None if passes is None else passes.of_gates(self, val)
        taken = taken or self.through_gates(val, self.z.gates.detach().to(val[0].device))
        self.rows.val.append(_row(taken.losses, taken.logits, val[1]))
        return taken.gradient[0]

    def through_weights(self, batch: Batch, training: bool) -> Differentiated:
        """Gradient of the mean loss in theta_z, operation by operation, whatever ``State.passes`` says."""
        logits = self.search.logits(batch[0], self.z, training=training)
        return self._differentiated(cross_entropy(logits, batch[1], reduction="none"), logits)

    def through_gates(self, batch: Batch, gates: Tensor) -> Differentiated:
        """The same in the gates, at these values of them; without dropout and the like."""
        assert self.z is not None
        leaf = gates.detach().requires_grad_()
        with frozen(self.theta.values()):
            logits = self.search.logits(batch[0], dataclasses.replace(self.z, gates=leaf), gated=True)
            losses = cross_entropy(logits, batch[1], reduction="none")
            return Differentiated(losses.detach(), logits.detach(), torch.autograd.grad(losses.mean(), leaf))

    @torch.no_grad()
    def watch(self, val: Batch) -> None:
        """Notes loss and accuracy on D_val, where no gradient is taken there."""
        logits = self.search.logits(val[0], self.z)
        self.rows.val.append(_row(cross_entropy(logits, val[1], reduction="none"), logits, val[1]))


def mean(gradients: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """The mean of several gradients, tensor by tensor."""
    total = list(gradients[0])
    for gradient in gradients[1:]:
        total = list(torch._foreach_add(total, list(gradient)))
    return list(torch._foreach_div(total, len(gradients)))


def _row(losses: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([losses.detach().mean(), (logits.detach().argmax(-1) == labels).float().mean()])
