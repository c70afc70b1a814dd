"""What every estimator of gamma's gradient does: draw policies, credit them, and say what to descend."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from daas import processes
from daas.errors import BadInput
from daas.search.algorithm.gradients import eq9_policy_gradient, leave_one_out
from daas.search.algorithm.model import Augmented, Model, Pass
from daas.search.algorithm.penalty import penalties
from daas.search.algorithm.state import CROPS, DROPOUT, POLICY, SIGNS, Batch, Key, State
from daas.search.spaces.policies import PolicySample
from daas.seeds import generator, seed_of


@dataclass(frozen=True)
class Streams:
    """The random streams of one training pass.

    Attributes:
        policy: Draws policies.
        signs: Draws the signs of magnitudes and the centres of cutouts.
        crops: Draws crops and flips.
        dropout: Seed of what the network draws.
    """

    policy: torch.Generator
    signs: torch.Generator
    crops: torch.Generator
    dropout: int


@dataclass(frozen=True)
class Credit:
    """Rewards of the policies that were sampled for one architecture.

    Attributes:
        graph: Log-probabilities [n], or the gates [n, K, 3] of relaxed policies, with their graph in gamma.
        rewards: Rewards [n], or sensitivities [n, K, 3], on the network's device.
        sample: The n policies; those of the passes where it is None and they are as many.
        rate: Where the rate is learned, the part of ``graph`` that says whether images get their policy, [n].
        bare: The rewards of the same images without a policy, [n]: the baseline of that part.
    """

    graph: Tensor
    rewards: Tensor
    sample: PolicySample | None = None
    rate: Tensor | None = None
    bare: Tensor | None = None


@dataclass(frozen=True)
class Sampling(ABC):
    """How training images are augmented in a search; an ``Estimator`` also learns from it.

    Attributes:
        policies: M, training passes per architecture, each under policies of its own.
    """

    policies: int = 2

    name: ClassVar[str] = ""
    """Value of ``--aug-estimator``; empty for one of a program's own."""

    def __post_init__(self) -> None:
        if not isinstance(self.policies, int) or self.policies < 1:
            raise BadInput(f"policies is {self.policies!r}; at least one batch of policies is drawn.")

    @property
    def learns(self) -> bool:
        """Whether gamma has a gradient at all."""
        return isinstance(self, Estimator)

    @abstractmethod
    def draw(self, search: State, train: Batch, key: Key) -> Augmented:
        """Gamma(D_train) under freshly sampled policies.

        Args:
            search: The distribution, and how images are prepared.
            train: Images [B, 3, H, W] uint8 and labels [B].
            key: Iteration, architecture and number of the pass. Passes from M on are run for their rewards alone; they
                crop and flip as pass 0 does, so that an image's rewards differ by its policies and little else.
        """

    def batches(self, search: State, train: Batch, step: int, i: int) -> Iterator[Augmented]:
        """What the training passes of an architecture run on: M batches, one after the other.

        Args:
            search: The distribution, and how images are prepared.
            train: The batch.
            step: Number of the iteration.
            i: Number of the architecture.
        """
        for j in range(self.policies):
            yield self.draw(search, train, (step, i, j))

    def options(self) -> dict[str, Any]:
        """The options of the search that say the same; those of a program's own estimator do not say which it is."""
        return {"policies": self.policies} | ({"aug_estimator": self.name} if self.name else {})

    def streams(self, search: State, key: Key) -> Streams:
        """The random streams of a pass."""
        step, i, j = key
        policy, signs = (generator(search.seed, step, use, i, j) for use in (POLICY, SIGNS))
        crops = generator(search.seed, step, CROPS, i, j if j < self.policies else 0)
        return Streams(policy, signs, crops, seed_of(search.seed, step, DROPOUT, i, j))


@dataclass(frozen=True)
class Estimator(Sampling):
    """An estimator of gamma's gradient; one of your own says what its policies are worth.

    As it stands it draws one policy per batch and descends eq. 9. A subclass gives ``credit``, and what else it
    does in another way.

    Attributes:
        baseline: Whether the mean of the other rewards is subtracted from each, over all N * M (``leave_one_out``).
        confidence_penalty: Weight of what ``penalties`` gives, which ``credit`` subtracts.

    >>> class Easier(Estimator):
    ...     def credit(self, model, passes, v):  # prefers policies under which the images are easy
    ...         rewards = torch.stack([-one.losses.mean() for one in passes])
    ...         return Credit(log_probabilities(passes), rewards)
    >>> Easier(policies=4).learns
    True
    """

    baseline: bool = True
    confidence_penalty: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.confidence_penalty >= 0 and math.isfinite(self.confidence_penalty)):
            raise BadInput(f"confidence_penalty is {self.confidence_penalty}; it is a number that is at least 0.")

    def draw(self, search: State, train: Batch, key: Key) -> Augmented:
        """One policy for the whole batch."""
        return sampled(search, train, key, self.streams(search, key), count=1)

    def penalties(
        self, model: Model, passes: Sequence[Pass], v: tuple[Tensor, ...], extra: Sequence[Augmented] = ()
    ) -> list[Tensor]:
        """By how much the network is too sure of each image, [B] per batch, in the unit of rewards; 0 at a weight of 0.

        Args:
            model: The network, at theta.
            passes: Its training passes.
            v: Gradient of the validation loss.
            extra: Batches beside those of the passes.
        """
        if self.confidence_penalty == 0:
            of_parts = [part for one in passes for part in one.losses.chunk(one.batch.parts)]
            return [torch.zeros_like(of_parts[0])] * (len(of_parts) + len(extra))
        assert model.validated is not None
        with torch.no_grad():
            bare = bare_of(model, passes, self)
            clean = model.losses(bare)[1]
            logits = [part for one in passes for part in one.logits.chunk(one.batch.parts)]
            logits += [model.losses(batch)[1] for batch in extra]
        return penalties(self.confidence_penalty, logits, clean, bare.labels, model.validated, v)

    @abstractmethod
    def credit(self, model: Model, passes: list[Pass], v: tuple[Tensor, ...]) -> Credit:
        """The rewards of one architecture's policies: how much a step along each one's gradient lowers L_v.

        Args:
            model: The architecture's network, at theta.
            passes: Its M training passes.
            v: Gradient of the validation loss at theta' (eq. 6), one tensor per weight of ``model.theta``.
        """

    def objective(self, credits: Sequence[Credit], eta: float) -> list[Tensor]:
        """One scalar per architecture of this process; the mean of their gradients in gamma over all N is the estimate.

        Args:
            credits: Of each architecture that this process ran.
            eta: Learning rate of the weights.
        """
        flat, sizes = on_cpu(credits)
        if self.baseline:
            total = processes.total(torch.stack([flat.double().sum(), torch.tensor(float(len(flat)))]))
            flat = leave_one_out(flat, total)
        parts = flat.split(sizes) if credits else ()
        return [with_rate(part, reward, eta) for part, reward in zip(credits, parts, strict=True)]

    def options(self) -> dict[str, Any]:
        """The options of the search that say the same."""
        penalty = {"confidence_penalty": self.confidence_penalty} if self.confidence_penalty else {}
        return super().options() | ({} if self.baseline else {"baseline": "none"}) | penalty


def with_rate(credit: Credit, rewards: Tensor, eta: float) -> Tensor:
    """Eq. 9, in which the baseline of the rate is the reward of the same images without a policy.

    Args:
        credit: Of one architecture, on the CPU.
        rewards: [n], its rewards less the baseline of the policies.
        eta: Learning rate of the weights.
    """
    objective = eq9_policy_gradient(credit.graph, rewards, eta)
    if credit.rate is None or credit.bare is None:
        return objective
    return objective + eq9_policy_gradient(credit.rate, credit.rewards - credit.bare - rewards, eta)


def bare_of(model: Model, passes: Sequence[Pass], estimator: Sampling) -> Augmented:
    """The images of the first pass with its crops and flips and without a policy: the baseline of the rate."""
    first = passes[0].batch
    crops = estimator.streams(model.search, first.key).crops
    images = model.search.preparation.augment(first.source, None, crops)
    labels = first.labels[: len(images)]
    return replace(first, images=images, labels=labels, log_prob=None, sample=None, rate_log_prob=None, parts=1)


def sampled(search: State, train: Batch, key: Key, streams: Streams, count: int, learns: bool = True) -> Augmented:
    """A batch under ``count`` policies of gamma: one for all images, or one per image.

    Args:
        search: The distribution, and how images are prepared.
        train: The batch.
        key: Which pass it is.
        streams: Its random streams.
        count: 1 or B.
        learns: Whether the log-probability is taken.
    """
    assert search.augmentation is not None
    images, labels = train
    sample = search.augmentation.sample(count, streams.policy)
    draw = search.augmentation.to_draw(sample, len(images), streams.signs)
    augmented = search.preparation.augment(images, draw, streams.crops)
    if not learns:
        return Augmented(augmented, labels, streams.dropout, images, key)
    log_prob = search.augmentation.log_prob(sample)
    rate = None if sample.on is None else search.augmentation.rate_log_prob(sample)
    return Augmented(augmented, labels, streams.dropout, images, key, log_prob, sample=sample, rate_log_prob=rate)


def joined(batches: Sequence[Augmented]) -> Augmented:
    """Several batches as one, whose parts keep batch statistics of their own."""
    return replace(
        batches[0],
        images=torch.cat([batch.images for batch in batches]),
        labels=torch.cat([batch.labels for batch in batches]),
        log_prob=log_probabilities(batches),
        sample=samples(batches),
        rate_log_prob=rates(batches),
        parts=len(batches),
    )


def log_probabilities(passes: Sequence[Pass | Augmented]) -> Tensor:
    """Log p(Gamma; gamma) of all policies of some passes, [n], with their graph."""
    return torch.cat([batch.log_prob for batch in _batches(passes) if batch.log_prob is not None])


def samples(passes: Sequence[Pass | Augmented]) -> PolicySample | None:
    """All policies of some passes in a row; None where one of them has none."""
    known = [batch.sample for batch in _batches(passes) if batch.sample is not None]
    if not known or len(known) < len(passes):
        return None
    on = [sample.on for sample in known if sample.on is not None]
    return PolicySample(
        torch.cat([sample.op for sample in known]),
        torch.cat([sample.applied for sample in known]),
        torch.cat([sample.magnitude for sample in known]),
        torch.cat(on) if on else None,
    )


def rates(passes: Sequence[Pass | Augmented]) -> Tensor | None:
    """The parts of ``log_probabilities`` that say whether images get their policy, [n]; None where they always do."""
    found = [batch.rate_log_prob for batch in _batches(passes) if batch.rate_log_prob is not None]
    return torch.cat(found) if found else None


def _batches(passes: Sequence[Pass | Augmented]) -> list[Augmented]:
    return [one.batch if isinstance(one, Pass) else one for one in passes]


def checked(credit: Credit, estimator: Estimator, passes: Sequence[Pass]) -> Credit:
    """What an estimator's ``credit`` gave, which may be a user's, with the policies that were credited.

    Raises:
        BadInput: It is no ``Credit`` with one reward per log-probability.
    """
    name = type(estimator).__name__
    if not isinstance(credit, Credit):
        raise BadInput(f"{name}.credit gives {type(credit).__name__}; it must give daas.estimators.Credit.")
    graph, rewards = credit.graph, credit.rewards
    if not isinstance(graph, Tensor) or not isinstance(rewards, Tensor) or graph.shape != rewards.shape:
        shapes = [list(part.shape) if isinstance(part, Tensor) else type(part).__name__ for part in (graph, rewards)]
        raise BadInput(
            f"{name}.credit gives log-probabilities {shapes[0]} and rewards {shapes[1]}; one each per policy."
        )
    if credit.sample is None:
        of_passes = samples(passes)
        if of_passes is not None and len(of_passes.op) == len(rewards):
            return replace(credit, sample=of_passes)
    return credit


def fetched(credits: Sequence[Credit]) -> list[Credit]:
    """The same with their rewards on the CPU: the one wait for the device."""
    flat, sizes = on_cpu(credits)
    without = [credit.bare for credit in credits if credit.bare is not None]
    parts = flat.split(sizes) if credits else ()
    if not without:
        return [replace(credit, rewards=part) for credit, part in zip(credits, parts, strict=True)]
    compared = torch.cat(without).cpu().split(sizes)
    return [
        replace(credit, rewards=part, bare=other) for credit, part, other in zip(credits, parts, compared, strict=True)
    ]


def on_cpu(credits: Sequence[Credit]) -> tuple[Tensor, list[int]]:
    """All rewards as one tensor on the CPU, and how many each architecture has."""
    rewards = [part.rewards for part in credits]
    return torch.cat(rewards).cpu() if rewards else torch.empty(0), [len(part) for part in rewards]
