"""The end of a search: the pair is derived and measured, and written where the search has a folder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from daas import processes
from daas.search.algorithm.state import State
from daas.search.derivation import Decision, decision_of, policy_of
from daas.search.found import Found, Pictures
from daas.search.options import options
from daas.search.report import costs, measures, metrics, warnings
from daas.search.runs.build import SearchData
from daas.search.runs.run import Run
from daas.seeds import generator

_PAIRS = 16  # comparisons of the found policy with a uniform one, at most
_RANDOM = 19  # cells beside the found ones: by chance these are better than all of them once in 20
_ORDER = 206  # what a random stream is for


def finish(run: Run) -> Found:
    """What the search has found, written to its folder if it has one.

    Returns:
        The pair with metrics and summary; in a process that does not write, the pair alone.
    """
    config, search, data = run.config, run.search, run.data
    source = f"daas search, mode {config.mode}, {data.facts['name']}, preset {config.preset}, seed {config.seed}"
    genotype = None if search.architecture is None else search.architecture.derive("searched", source)
    decision = decision_of(search)
    policy = policy_of(search, decision, source)
    if not run.writes:
        return Found(genotype, policy, [], {})
    found = Found(
        genotype, policy, list(run.lines), _summary(run, decision), Pictures(_examples(data), one_of_each_class(data))
    )
    return found if config.out is None else found.write(config.out)


def _summary(run: Run, decision: Decision | None) -> dict[str, Any]:
    config, data, search, last = run.config, run.data, run.search, run.step - 1
    gain = None
    pairs = measures.affordable(run.step, _PAIRS)
    worth = pairs and run.plan.joint(last) and search.estimator.learns and not config.race  # a race says more
    if worth and search.augmentation is not None:
        found = search.augmentation if decision is None else decision.distribution(search.augmentation)
        if decision is None or decision.anything:
            gain = measures.policy_gain(search, data, run.device, run.step, run.plan.middle_eta, pairs, found)
    rank = None
    if search.architecture is not None and not config.race and measures.affordable(run.step, _RANDOM) == _RANDOM:
        rank = measures.cells_rank(search, data, run.device, _RANDOM)
    measured = evaluate(search, data, run.device)
    where = metrics.distributions(search)
    summary: dict[str, Any] = {
        "format": metrics.SUMMARY_FORMAT,
        "seed": config.seed,
        "versions": metrics.versions(),
        "device": str(run.device),
        "processes": processes.world_size(),
        "options": options(config),
        **({"given": run.given.names} if run.given.names else {}),
        "data": data.facts,
        "steps": run.step,
        "planned_steps": run.plan.planned_steps,
        "stopped": run.stopped,
        "seconds": round(run.seconds, 2),
        "train_loss": run.lines[-1]["train_loss"],
        "train_accuracy": run.lines[-1]["train_accuracy"],
        **measured,
        "entropy": where["entropy"],
        "warnings": _warnings(run, gain),
    }
    if search.architecture is not None:
        summary |= {"primitives": list(search.architecture.primitives), "skip_share": where["skip_share"]}
        classes = len(data.train.data.class_names)
        summary["cost"] = costs.cost(search, config, int(data.facts["image_size"]), classes, run.latency)
        if rank is not None:
            summary["cells_rank"] = rank
        if search.budget is not None:
            summary["considered"] = costs.considered(search, search.budget, data, run.device)
    if search.augmentation is not None:
        summary["operation_share"] = where["operation_share"]
        if "apply_rate" in where:
            summary["apply_rate"] = where["apply_rate"]
        if decision is not None:
            summary["derivation"] = decision.facts(search.augmentation)
    if gain is not None:
        summary["policy_gain"] = gain
    return summary


def _warnings(run: Run, gain: dict[str, float] | None) -> list[str]:
    found = []
    if run.step < run.plan.planned_steps:
        go_on = "" if run.config.out is None else " The same command with --resume auto goes on."
        found.append(
            f"The search stopped by its {run.stopped} after {run.step} of {run.plan.planned_steps} planned "
            f"iterations; this is what it had found by then.{go_on}"
        )
    if run.search.augmentation is not None and not run.plan.joint(run.step - 1):
        found.append("The run ended in the warm-up: the policy has not learned anything yet and is uniform.")
    about_search = warnings.about_search(run.search, run.lines, gain)
    return [*found, *about_search.values(), *warnings.about_images(run.data.facts).values()]


def _examples(data: SearchData) -> Tensor:
    """[8, 3, S, S] uint8, training images on which the report shows the policy."""
    return data.train_batch(0, torch.device("cpu"))[0][:8]


def one_of_each_class(data: SearchData) -> dict[str, Tensor]:
    """A training image of each class that has any, [3, S, S] uint8 by name, as the search saw it."""
    labels = data.train_labels[data.train.data.labels]
    first = {}
    for index, name in enumerate(data.class_names):
        members = (labels == index).nonzero().flatten()
        if len(members):
            first[name] = data.train.data.fetch(members[:1])[0].cpu()
    return first


@torch.no_grad()
def evaluate(search: State, data: SearchData, device: torch.device) -> dict[str, Any]:
    """The derived network with the shared weights, over all of D_val in batches of nearly one size.

    Batch norm uses batch statistics, as in the search, so that the batches are mixed; the figures rank searches, they
    are no trained accuracies.

    Returns:
        ``val_loss``, ``val_accuracy``, ``val_balanced_accuracy`` (the mean over the classes) and
        ``val_class_accuracy`` (None for a class without images), all in percent but the loss.
    """
    z = None if search.architecture is None else search.architecture.derived_architecture()
    losses, right, labels_seen = [], [], []
    order = torch.randperm(len(data.val.data), generator=generator(search.seed, _ORDER))
    for part in order.chunk(max(1, -(-len(order) // data.val.batch_size))):
        images, numbers = data.val.data.fetch(part).to(device), data.val_labels[data.val.data.labels[part]]
        labels = numbers.to(device)
        logits = search.logits(search.preparation.normalize(images), z)
        losses.append(cross_entropy(logits, labels, reduction="none"))
        right.append(logits.argmax(-1) == labels)
        labels_seen.append(labels)
    correct, label = torch.cat(right).double().cpu(), torch.cat(labels_seen).cpu()
    classes = len(data.class_names)
    count = torch.bincount(label, minlength=classes)
    per_class = 100 * torch.bincount(label, correct, classes) / count
    return {
        "val_loss": float(torch.cat(losses).double().mean()),
        "val_accuracy": 100 * float(correct.mean()),
        "val_balanced_accuracy": float(per_class[count > 0].mean()),
        "val_class_accuracy": [round(float(v), 2) if n else None for v, n in zip(per_class, count, strict=True)],
    }
