"""The end of a search: the pair is derived and measured, the summary and the report are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from daas.files import write_json
from daas.search.algorithm.state import Search
from daas.search.options import SearchConfig, options
from daas.search.report import measures, metrics, warnings
from daas.search.report.page import write_report
from daas.search.runs.build import SearchData
from daas.search.runs.folder import METRICS
from daas.search.runs.plan import Plan

_PAIRS = 16  # comparisons of the found policy with a uniform one


@dataclass(frozen=True)
class Outcome:
    """Where a search has arrived.

    Attributes:
        steps: Iterations done.
        seconds: Wall-clock seconds, over all resumptions.
        stopped: Why it ended before its plan, or empty.
        processes: That shared it.
    """

    steps: int
    seconds: float
    stopped: str
    processes: int


def finish(
    config: SearchConfig, data: SearchData, search: Search, plan: Plan, device: torch.device, outcome: Outcome
) -> Path:
    """Writes genotype.json, policy.json, summary.json and report.html.

    Returns:
        The path of the report.
    """
    out = config.out
    source = f"daas search, mode {config.mode}, {data.facts['name']}, preset {config.preset}, seed {config.seed}"
    if search.architecture is not None:
        search.architecture.derive("searched", source).save(out / "genotype.json")
    if search.augmentation is not None:
        search.augmentation.derive("searched", source).save(out / "policy.json")
    lines = metrics.read_lines(out / METRICS)
    last = outcome.steps - 1
    gain = None
    if plan.joint(last) and search.augmentation is not None and search.method.learns:
        gain = measures.policy_gain(search, data, device, outcome.steps, plan.eta(last), _PAIRS)
    measured = evaluate(search, data, device)
    where = metrics.distributions(search)
    summary: dict[str, Any] = {
        "format": metrics.SUMMARY_FORMAT,
        "seed": config.seed,
        "versions": metrics.versions(),
        "device": str(device),
        "processes": outcome.processes,
        "options": options(config),
        "data": data.facts,
        "steps": outcome.steps,
        "planned_steps": plan.planned_steps,
        "stopped": outcome.stopped,
        "seconds": round(outcome.seconds, 2),
        "train_loss": lines[-1]["train_loss"],
        "train_accuracy": lines[-1]["train_accuracy"],
        **measured,
        "entropy": where["entropy"],
        "warnings": _warnings(config, data, search, plan, outcome, lines, gain),
    }
    if search.architecture is not None:
        summary |= {"primitives": list(search.architecture.primitives), "skip_share": where["skip_share"]}
    if search.augmentation is not None:
        summary["operation_share"] = where["operation_share"]
    if gain is not None:
        summary["policy_gain"] = gain
    write_json(out / "summary.json", summary, metrics.GO_ON, indent=2)
    return write_report(out, _examples(data), one_of_each_class(data))


def _warnings(
    config: SearchConfig,
    data: SearchData,
    search: Search,
    plan: Plan,
    outcome: Outcome,
    lines: list[dict[str, Any]],
    gain: dict[str, float] | None,
) -> list[str]:
    found = []
    if outcome.steps < plan.planned_steps:
        found.append(
            f"The search stopped by its {outcome.stopped} after {outcome.steps} of {plan.planned_steps} planned "
            "iterations; this is what it had found by then. The same command with --resume auto goes on."
        )
    if search.augmentation is not None and not plan.joint(outcome.steps - 1):
        found.append("The run ended in the warm-up: the policy has not learned anything yet and is uniform.")
    return [*found, *warnings.about_search(search, lines, gain).values(), *warnings.about_images(data.facts).values()]


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
def evaluate(search: Search, data: SearchData, device: torch.device) -> dict[str, Any]:
    """The derived network with the shared weights, over one epoch of D_val.

    Batch norm uses batch statistics, as in the search; the figures rank searches, they are no trained accuracies.

    Returns:
        ``val_loss``, ``val_accuracy``, ``val_balanced_accuracy`` (the mean over the classes) and
        ``val_class_accuracy`` (None for a class without images), all in percent but the loss.
    """
    z = None if search.architecture is None else search.architecture.derived_architecture()
    losses, right, labels_seen = [], [], []
    for step in range(data.val.steps_per_epoch):
        images, labels = data.val_batch(step, device)
        logits = search.logits(search.preparation.normalize(images), z)
        losses.append(cross_entropy(logits, labels))
        right.append(logits.argmax(-1) == labels)
        labels_seen.append(labels)
    correct, label = torch.cat(right).double().cpu(), torch.cat(labels_seen).cpu()
    classes = len(data.class_names)
    count = torch.bincount(label, minlength=classes)
    per_class = 100 * torch.bincount(label, correct, classes) / count
    return {
        "val_loss": float(torch.stack(losses).double().mean()),
        "val_accuracy": 100 * float(correct.mean()),
        "val_balanced_accuracy": float(per_class[count > 0].mean()),
        "val_class_accuracy": [round(float(v), 2) if n else None for v, n in zip(per_class, count, strict=True)],
    }
