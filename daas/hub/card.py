"""The model card: what the model is, what it reached on how many images, how to load it, what was not measured."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from daas import repository as contents
from daas.errors import plain
from daas.hub.run_folder import Run
from daas.models import Genotype

PLACEHOLDER = "hf-hub:USER/NAME"
"""Stands for the repository until the card is pushed to one."""
_FILES = {
    "weights": contents.WEIGHTS, "genotype": contents.GENOTYPE, "cells": contents.CELLS_PICTURE,
    "policy": contents.POLICY, "policy_picture": contents.POLICY_PICTURE, "schedule": contents.SCHEDULE,
    "recipe": contents.RECIPE, "curves": contents.CURVES, "verification": contents.VERIFICATION,
    "licence": contents.LICENCE,
}  # fmt: skip
_SECTIONS = ("Results", "How to load it", "How it was trained", "What was not measured", "Checking it", "Licence")


@dataclass(frozen=True)
class Network:
    """What the card says about the network.

    Attributes:
        architecture: Its timm name.
        cells: Their number and the channels of the first, in words; empty where there are none.
        parameters: Without an auxiliary head.
        macs: Multiply-adds of convolutions and matrix products for one image.
        genotype: Of a cell network.
        weights_sha256: Of model.safetensors.
    """

    architecture: str
    cells: str
    parameters: int
    macs: int
    genotype: Genotype | None
    weights_sha256: str


def shown(text: str) -> str:
    r"""Markdown that shows a text of anybody as it is: no markup, no links, no control characters.

    >>> print(shown("<b>cat</b>"))
    \<b\>cat\</b\>
    """
    escaped = re.sub(r"([\\`*\[\]<>|&])", r"\\\1", plain(text)[:300])
    return re.sub(r"(?i)\b(https?|ftp|mailto|javascript):", r"\1\\:", escaped)


def in_code(text: str) -> str:
    """A text of anybody inside a code span: nothing in it ends the span or is a tag, wherever the card is shown.

    >>> in_code("<a`b>")
    "(a'b)"
    """
    return plain(text)[:300].translate(str.maketrans("`<>", "'()"))


def wilson(share: float, n: int) -> tuple[float, float]:
    """95% interval of a proportion (Wilson, JASA 1927).

    Args:
        share: What was found, from 0 to 1.
        n: Number of trials, at least 1.
    """
    z = 1.959964
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def card(run: Run, network: Network, name: str, license_id: str) -> ModelCard:
    """Writes the card of a run.

    Args:
        run: The training.
        network: What it trained.
        name: What the model is called.
        license_id: As the Hub names licences.
    """
    result = run.result
    metrics = _metrics(run)
    names = [str(label) for label in result["class_names"]]
    share = {} if run.policy is None else run.policy.operation_share()
    most = sorted(share, key=lambda op: -share[op])[:5]
    seconds = float(result["time"]["seconds"])
    recipe = plain(yaml.safe_dump(run.options, sort_keys=False, allow_unicode=True), keep="\n")
    made: ModelCard = ModelCard.from_template(
        _metadata(run, network, name, license_id, metrics),
        template_str=files("daas.hub").joinpath("templates/card.md").read_text(encoding="utf-8"),
        name=shown(name),
        folder=re.sub(r"[^\w.-]+", "-", name).strip("-.") or "model",
        kind=f"a network of {network.cells}" if network.genotype else f"`{network.architecture}`",
        result=result,
        data={**result["data"], "name": shown(str(result["data"]["name"]))},
        measured_on=(shown(run.measured_on[0]), in_code(run.measured_on[1])),
        classes=", ".join(map(shown, names[:12])) + (", ..." if len(names) > 12 else ""),
        shown=shown,
        in_code=in_code,
        network=network,
        metrics=metrics,
        which=run.which,
        chosen=run.metrics,
        policy=run.policy,
        schedule=run.schedule,
        most=", ".join(f"{op} {share[op]:.2f}" for op in most),
        duration=f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{seconds / 60:.1f} minutes",
        recipe=recipe,
        fence="`" * (3 + max(map(len, re.findall("`+", recipe)), default=0)),
        repository=PLACEHOLDER,
        files=_FILES,
        license=license_id,
    )
    return made


def _metrics(run: Run) -> list[dict[str, Any]]:
    """Accuracies in percent with their intervals; the second only where five classes are a choice."""
    n = int(run.result["data"]["val_images"])
    found = []
    for key, label in (("top1", "top-1 accuracy"), ("top5", "top-5 accuracy")):
        if key == "top1" or (run.result["num_classes"] > 5 and run.metrics.get(key) is not None):
            value = float(run.metrics[key])
            low, high = wilson(value / 100, n)
            found.append({"label": label, "value": value, "interval": (100 * low, 100 * high)})
    return found


def _metadata(run: Run, network: Network, name: str, license_id: str, metrics: list[dict[str, Any]]) -> ModelCardData:
    images, (where, split) = run.result["data"]["val_images"], run.measured_on
    dataset = re.sub(r"[^\w.-]+", "-", where.split("/", 1)[-1]).strip("-") or "own-images"
    results = [
        EvalResult(
            task_type="image-classification", task_name="Image classification", dataset_type=dataset,
            dataset_name=where, dataset_split=split or None, dataset_args={"images": images},
            metric_type="accuracy", metric_name=f"{metric['label']} (percent)", metric_value=round(metric["value"], 3),
        )
        for metric in metrics
    ]  # fmt: skip
    tags = ["image-classification", "timm", "daas", "pytorch"]
    tags += ["neural-architecture-search"] if network.genotype else []
    tags += ["data-augmentation"] if run.policy or run.schedule else []
    return ModelCardData(
        license=license_id, library_name="timm", pipeline_tag="image-classification", tags=tags, metrics=["accuracy"],
        model_name=name, eval_results=results,
    )  # fmt: skip


def for_repository(text: str, repository: str) -> str:
    """A card's text with the repository's name where the placeholder stood."""
    bare = PLACEHOLDER.removeprefix("hf-hub:")
    text = text.replace(PLACEHOLDER, f"hf-hub:{repository}")
    for verb in ("verify", "pull"):
        text = text.replace(f"{verb} {bare}", f"{verb} {repository}")
    return text


def complete(text: str) -> list[str]:
    """What a card lacks: sections that every card has, metadata, metrics with n. Empty when it is complete.

    Args:
        text: Of README.md.
    """
    lacks = [f"the section {section!r}" for section in _SECTIONS if f"\n## {section}\n" not in text]
    data: Any = ModelCard(text, ignore_metadata_errors=True).data
    keys = ("license", "library_name", "pipeline_tag", "eval_results")
    lacks += [f"the metadata {key!r}" for key in keys if not getattr(data, key, None)]
    if "images (n)" not in text:
        lacks.append("the number of images behind its metrics")
    return lacks
