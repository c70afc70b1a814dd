"""The distribution over augmentation policies, gamma = (pi, p, delta), with an exact log-probability (eq. 3)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from daas.augment.draw import Draw
from daas.augment.policy import Policy, PolicyOp, SubPolicy
from daas.augment.space import OPERATION_NAMES, has_magnitude, indices, magnitude_table
from daas.search.spaces.gumbel import gumbel

IDENTITY = "Identity"
"""An operation of a search that changes nothing; in a policy it is left out."""
NOTHING = PolicyOp("Invert", prob=0.0, value=None)
"""What stands in a sub-policy that changes nothing."""
RATE = 0.9
"""Where a learned rate starts; ours."""


@dataclass(frozen=True)
class PolicySample:
    """n sampled policies Gamma.

    Attributes:
        op: [n, K] int64, the operation of each slot.
        applied: [n, K] bool, y of eq. 3.
        magnitude: [n, K] int64, index into the ten magnitudes of the operation.
        on: [n] bool, whether an image gets its policy at all; None where it always does.
    """

    op: Tensor
    applied: Tensor
    magnitude: Tensor
    on: Tensor | None = None

    @property
    def effective(self) -> Tensor:
        """[n, K] bool, which operations change anything."""
        return self.applied if self.on is None else self.applied & self.on.unsqueeze(-1)

    def all_applied(self) -> PolicySample:
        """The same operations and magnitudes, none left out."""
        return PolicySample(self.op, torch.ones_like(self.applied), self.magnitude)


def at_rate(sub_policies: Sequence[SubPolicy], rate: float) -> tuple[SubPolicy, ...]:
    """The sub-policies, and, where the rate is below 1, one that does nothing with the rest of the weight."""
    if rate == 1:
        return tuple(sub_policies)
    total = sum(sub.weight for sub in sub_policies)
    scaled = (replace(sub, weight=rate * sub.weight) for sub in sub_policies)
    return (*scaled, SubPolicy((1 - rate) * total, (NOTHING,)))


def without_identity(ops: Sequence[PolicyOp]) -> tuple[PolicyOp, ...]:
    """The operations of a sub-policy that can change something; one that never does where there are none."""
    return tuple(op for op in ops if op.op != IDENTITY) or (NOTHING,)


class AugmentationDistribution(nn.Module):
    """p(Gamma; gamma): ``sample``, ``log_prob``, ``derive``.

    pi is [K, O]. p (stored as logits) and delta are tables with a column per slot: [rows, K] and [rows, K, L]. Per
    policy (the paper's) they have a row for each of the O^K policies, shared a row for each of the O operations.

    Args:
        slots: K, operations per policy.
        table: [O, L] float64, the physical magnitudes of each operation.
        with_magnitude: [O] bool, False where an operation has none: its delta is never used.
        generator: Draws the start of delta, normal noise of 1e-3, so that the arg-max of a policy that was never
            sampled is one of its magnitudes at random and not the first. pi and p start exactly uniform and at 0.5.
        shared: Whether policies with the same operation in a slot share its p and delta.
        names: Of the operations; by default the first O of all.
        rate: Start of the probability with which an image gets its policy at all, if it is learned; None for always.
    """

    def __init__(
        self,
        slots: int = 2,
        table: Tensor | None = None,
        with_magnitude: Tensor | None = None,
        generator: torch.Generator | None = None,
        shared: bool = False,
        names: Sequence[str] | None = None,
        rate: float | None = None,
    ) -> None:
        super().__init__()
        table = magnitude_table() if table is None else table
        with_magnitude = has_magnitude() if with_magnitude is None else with_magnitude
        self.slots = slots
        self.shared = shared
        self.names = OPERATION_NAMES[: len(table)] if names is None else tuple(names)
        self.operations, self.levels = table.shape
        rows = self.operations if shared else self.operations**slots
        self.pi = nn.Parameter(torch.zeros(slots, self.operations))
        self.p_logit = nn.Parameter(torch.zeros(rows, slots))
        self.delta = nn.Parameter(1e-3 * torch.randn(rows, slots, self.levels, generator=generator))
        self.rate_logit = None if rate is None else nn.Parameter(torch.tensor(rate).logit())
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("with_magnitude", with_magnitude, persistent=False)
        radix = torch.tensor([self.operations ** (slots - 1 - k) for k in range(slots)])
        self.register_buffer("radix", radix, persistent=False)
        index = torch.tensor([-1 if name == IDENTITY else int(indices([name])) for name in self.names])
        self.register_buffer("index", index, persistent=False)
        self.table: Tensor
        self.with_magnitude: Tensor
        self.radix: Tensor
        self.index: Tensor

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> PolicySample:
        """Draws policies: operations from pi, then y from p and m from delta of the policy that they form (eq. 3).

        Args:
            count: n, how many.
            generator: Source of randomness.

        Returns:
            The sample, each field [n, K].
        """
        op = torch.multinomial(self.pi.softmax(-1), count, replacement=True, generator=generator).T.contiguous()
        logit, delta = self._of(op)
        chance = torch.rand(count, self.slots, generator=generator, dtype=torch.float64)
        applied = chance < logit.double().sigmoid()
        levels = delta.softmax(-1).flatten(0, 1)
        magnitude = torch.multinomial(levels, 1, generator=generator).view(count, self.slots)
        if self.rate_logit is None:
            return PolicySample(op, applied, magnitude)
        on = torch.rand(count, generator=generator, dtype=torch.float64) < self.rate_logit.double().sigmoid()
        return PolicySample(op, applied, magnitude, on)

    def sample_relaxed(self, generator: torch.Generator, temperature: float) -> tuple[PolicySample, Tensor]:
        """One policy drawn as ``sample`` draws it, with gates that carry the gradient of its relaxation (DADA).

        Operations and magnitudes are Gumbel-softmax samples, applications relaxed Bernoulli ones (Li et al., ECCV
        2020, section 3); all are used hard, with the gradient of the soft sample (straight-through).

        Args:
            generator: Source of randomness.
            temperature: Of the relaxations.

        Returns:
            The sample (n = 1), and its gates [K, 3]: 1 for the operation, 0 or 1 for the application, and the
            magnitude as a share of its range, 0 where an operation has none.
        """
        slot = torch.arange(self.slots)
        soft = ((self.pi.log_softmax(-1) + gumbel(self.pi, generator)) / temperature).softmax(-1)
        op = soft.detach().argmax(-1)
        logit, delta = (part[0] for part in self._of(op.unsqueeze(0)))
        logistic = gumbel(logit, generator) - gumbel(logit, generator)
        chance = ((logit + logistic) / temperature).sigmoid()
        applied = (logit + logistic).detach() > 0
        levels = ((delta.log_softmax(-1) + gumbel(delta, generator)) / temperature).softmax(-1)
        level = levels.detach().argmax(-1)
        share = levels @ torch.linspace(0, 1, self.levels).to(levels)
        hard = torch.stack([torch.ones_like(chance), applied.to(chance), level / (self.levels - 1)], -1).to(chance)
        relaxed = torch.stack([soft[slot, op], chance, torch.where(self.with_magnitude[op], share, 0.0)], -1)
        sample = PolicySample(op.unsqueeze(0), applied.unsqueeze(0), level.unsqueeze(0))
        return sample, hard.detach() + (relaxed - relaxed.detach())

    @property
    def rate(self) -> float:
        """The probability with which an image gets its policy at all."""
        return 1.0 if self.rate_logit is None else float(self.rate_logit.detach().double().sigmoid())

    def uniform(self, rate: float | None = None) -> AugmentationDistribution:
        """The same space with every operation, application and magnitude as likely as any other.

        Args:
            rate: With which an image gets its policy at all; None for always.
        """
        found = AugmentationDistribution(
            self.slots, self.table, self.with_magnitude, torch.Generator().manual_seed(0), True, self.names, rate
        )
        with torch.no_grad():
            found.delta.zero_()
        return found

    def policy_index(self, op: Tensor) -> Tensor:
        """[n, K] operations -> [n] index of the policy among the O^K."""
        return (op * self.radix).sum(-1)

    def _of(self, op: Tensor) -> tuple[Tensor, Tensor]:
        """[n, K] operations -> the logits of p, [n, K], and delta, [n, K, L], of the policies that they form."""
        rows = op if self.shared else self.policy_index(op).unsqueeze(-1)
        slot = torch.arange(self.slots, device=op.device)
        return self.p_logit[rows, slot], self.delta[rows, slot]

    def _all_policies(self) -> Tensor:
        """[O^K, K] operations of every policy, in the order of ``policy_index``."""
        return torch.cartesian_prod(*[torch.arange(self.operations)] * self.slots).view(-1, self.slots)

    def log_prob(self, sample: PolicySample) -> Tensor:
        """Log p(Gamma; gamma), eq. 3, [n], differentiable in pi, p and delta.

        The magnitude term is left out where an operation has no magnitude: the score of a choice without effect has
        mean zero and only adds variance; so are all choices of a policy that its image does not get.
        """
        slot = torch.arange(self.slots, device=sample.op.device)
        choice = self.pi.log_softmax(-1)[slot, sample.op]
        logit, delta = self._of(sample.op)
        magnitude = delta.log_softmax(-1).gather(-1, sample.magnitude.unsqueeze(-1)).squeeze(-1)
        magnitude = torch.where(self.with_magnitude[sample.op], magnitude, torch.zeros_like(magnitude))
        application = torch.where(sample.applied, logsigmoid(logit) + magnitude, logsigmoid(-logit))
        policy: Tensor = (choice + application).sum(-1)
        if sample.on is None:
            return policy
        return torch.where(sample.on, policy, 0.0) + self.rate_log_prob(sample)

    def rate_log_prob(self, sample: PolicySample) -> Tensor:
        """The part of ``log_prob`` that says whether images get their policy, [n], differentiable in the rate."""
        assert self.rate_logit is not None
        assert sample.on is not None
        return torch.where(sample.on, logsigmoid(self.rate_logit), logsigmoid(-self.rate_logit))

    def to_draw(self, sample: PolicySample, count: int, generator: torch.Generator) -> Draw:
        """What the sampled policies do to a batch: random signs and centres are drawn per image.

        Args:
            sample: One policy for the whole batch (n = 1) or one per image (n = count).
            count: Images in the batch.
            generator: Source of signs and centres.
        """
        shape, applied = (count, self.slots), sample.effective
        value = self.table[sample.op, sample.magnitude]
        op = self.index[sample.op]  # as the operations are numbered where they are applied
        return Draw.from_choices(op.expand(shape), value.expand(shape), applied.expand(shape), generator)

    @torch.no_grad()
    def policy_weights(self) -> Tensor:
        """Sampling probability of each of the O^K policies (section 4.5): the product over its slots, [O^K]."""
        weights = self.pi.double().softmax(-1)
        product = weights[0]
        for slot in range(1, self.slots):
            product = (product.unsqueeze(-1) * weights[slot]).flatten()
        return product

    @torch.no_grad()
    def operation_share(self) -> Tensor:
        """Expected number of times each operation is applied to an image, [O], float64.

        Selection times application probability, summed over the slots and over the policies, times the rate.
        """
        ops = self._all_policies()
        weighted = self.policy_weights().unsqueeze(-1) * self._of(ops)[0].double().sigmoid()  # [O^K, K]
        share = torch.zeros(self.operations, dtype=torch.float64)
        return self.rate * share.index_add(0, ops.flatten(), weighted.cpu().flatten())

    def derive(self, name: str = "searched", source: str = "daas search") -> Policy:
        """Every policy with its product weight, its application probabilities and its arg-max magnitudes."""
        weights = self.policy_weights().tolist()
        logit, delta = self._of(self._all_policies())
        probabilities, levels = logit.detach().double().sigmoid().tolist(), delta.detach().argmax(-1).tolist()
        sub_policies = []
        for index, ops in enumerate(itertools.product(range(self.operations), repeat=self.slots)):
            chosen = tuple(
                PolicyOp(
                    op=self.names[op],
                    prob=probabilities[index][slot],
                    value=float(self.table[op, levels[index][slot]]) if bool(self.with_magnitude[op]) else None,
                )
                for slot, op in enumerate(ops)
            )
            sub_policies.append(SubPolicy(weight=weights[index], ops=without_identity(chosen)))
        return Policy(name=name, source=source, sub_policies=at_rate(sub_policies, self.rate))

    @torch.no_grad()
    def entropy(self) -> dict[str, float]:
        """Entropy of pi, p and delta, 1 where uniform and 0 where decided.

        p and delta are averaged over the policies by their sampling weight, delta over operations that have magnitudes.
        """
        weight = self.policy_weights().unsqueeze(-1)  # [O^K, 1]
        pi = self.pi.double().softmax(-1)
        ops = self._all_policies()
        logit, delta = self._of(ops)
        p, delta = logit.double().sigmoid(), delta.double().softmax(-1)
        used = weight * self.with_magnitude[ops]
        binary = -(p * p.log() + (1 - p) * (1 - p).log()) / math.log(2)
        levels = -(delta * delta.clamp_min(1e-30).log()).sum(-1) / math.log(max(2, self.levels))
        choice = -(pi * pi.clamp_min(1e-30).log()).sum(-1) / math.log(self.operations)
        return {
            "pi": float(choice.mean()),
            "p": float((weight * binary.nan_to_num()).sum() / self.slots),
            "delta": float((used * levels).sum() / used.sum().clamp_min(1e-30)),
        }
