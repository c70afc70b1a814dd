"""``--mode independent``: an architecture, then a policy for it (the paper's Table 6), as two runs in one folder."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from daas import processes
from daas.files import copy, make_folder
from daas.models import Genotype
from daas.reading import read_json
from daas.search.found import Found
from daas.search.given import Given
from daas.search.options import SearchConfig, options
from daas.search.report import metrics
from daas.search.runs.folder import checkpoint_to_resume, occupied, present_in

NETWORK = "network.json"
GATHERED = ("genotype.json", "policy.json", "summary.json", "report.html")  # the page is that of a race


def stages(config: SearchConfig, genotype: Genotype | None = None) -> tuple[SearchConfig, SearchConfig]:
    """The options of the two runs: the architecture's in ``arch``, the policy's in ``aug`` under the output folder.

    Each takes the planned number of epochs. The second one's network is the first one's derived cell at the size of
    the supernet, with weights of its own, and lies in ``aug/network.json``. Both go on from their checkpoints when the
    whole is resumed.

    Args:
        config: The options of the whole.
        genotype: The first one's cells, where there is no folder in which they lie.
    """
    defaults = SearchConfig()
    first = dataclasses.replace(
        config,
        mode="arch",
        out=None if config.out is None else config.out / "arch",
        baseline=defaults.baseline,
        apply_rate=defaults.apply_rate,
        confidence_penalty=defaults.confidence_penalty,
        policy_passes=defaults.policy_passes,
        reward=defaults.reward,
        reward_batches=defaults.reward_batches,
    )
    cells = (None if genotype is None else genotype.to_dict()) if config.out is None else config.out / "aug" / NETWORK
    second = dataclasses.replace(
        config,
        mode="aug",
        out=None if config.out is None else config.out / "aug",
        model="daas_cell_cifar",
        model_kwargs=(f"genotype={cells}", f"channels={config.channels}", f"layers={config.layers}"),
        arch_estimator=defaults.arch_estimator,
        primitives=defaults.primitives,
        max_params="",
        max_macs="",
        max_latency=None,
        latency_batch=defaults.latency_batch,
        latency_threads=defaults.latency_threads,
        cost_weight=defaults.cost_weight,
    )
    return first, second


def search(config: SearchConfig, given: Given, run: Callable[[SearchConfig, Given], Found]) -> Found:
    """Runs both stages, and gathers genotype.json, policy.json and summary.json in the output folder.

    Args:
        config: The options of the whole.
        given: What a program gives as objects.
        run: Searches with the options of one stage.

    Returns:
        Both halves, with the metrics of the architecture first. The page of the second stage lies in the folder
        ``aug``, the first one's in ``arch``.

    Raises:
        BadInput: As each stage does, before anything is written.
    """
    check_output(config)
    first, _ = stages(config)
    _say("The architecture first: stage 1 of 2.")
    arch = run(first, given)
    if processes.rank() == 0:
        _hand_over(config.out)
    processes.wait()
    _say("Now a policy for its network: stage 2 of 2.")
    aug = run(stages(config, arch.genotype)[1], given)
    found = dataclasses.replace(aug, genotype=arch.genotype, metrics=arch.metrics + aug.metrics)
    if processes.rank() == 0:
        found = dataclasses.replace(found, summary=_summary(config, arch.summary, aug.summary))
        _gather(config.out, found.summary)
    processes.wait()
    return found


def _say(text: str) -> None:
    if processes.rank() == 0:
        tqdm.write(text)


def check_output(config: SearchConfig) -> None:
    """Raises BadInput where the output folder, or that of a stage, holds something else than this run."""
    for stage in stages(config):
        checkpoint_to_resume(stage)
    if config.out is None:
        return
    present = present_in(config.out)
    if present and not (config.resume and set(present) <= set(GATHERED) and _is_independent(config.out)):
        raise occupied(config.out, present)


def _is_independent(out: Path) -> bool:
    """Whether the results in a folder were gathered from two stages; they are where a run of these was cut off."""
    path = out / "summary.json"
    if not os.path.exists(path):
        return bool(present_in(out / "arch"))
    return bool(read_json(path, "summary")["options"]["mode"] == "independent")


def _hand_over(out: Path | None) -> None:
    """Gives the second stage its network; one that was searched for another network is moved aside.

    A first stage that stopped early, and goes on later, may derive another cell than the one that the second has had.
    """
    if out is None:
        return
    found, stage = out / "arch" / "genotype.json", out / "aug"
    if os.path.exists(stage / NETWORK) and (stage / NETWORK).read_bytes() != found.read_bytes():
        aside = next(path for n in itertools.count(1) if not os.path.exists(path := out / f"aug-before-{n}"))
        stage.rename(aside)
        tqdm.write(f"The architecture has changed since {stage} began: moved to {aside}, and begun anew.")
    make_folder(stage)
    copy(found, stage / NETWORK, metrics.GO_ON)


def _gather(out: Path | None, summary: dict[str, Any]) -> None:
    if out is None:
        return
    for stage, name in (("arch", "genotype.json"), ("aug", "policy.json")):
        copy(out / stage / name, out / name, metrics.GO_ON)
    metrics.write_summary(out / "summary.json", summary)


def _summary(config: SearchConfig, arch: dict[str, Any], aug: dict[str, Any]) -> dict[str, Any]:
    """What both stages say, as one search."""
    return {
        **aug,
        "options": {**options(config), "max_skips": arch["options"]["max_skips"]},
        "steps": arch["steps"] + aug["steps"],
        "planned_steps": arch["planned_steps"] + aug["planned_steps"],
        "stopped": arch["stopped"] or aug["stopped"],
        "seconds": round(arch["seconds"] + aug["seconds"], 2),
        "skip_share": arch["skip_share"],
        "primitives": arch["primitives"],
        **{name: arch[name] for name in ("cost", "considered", "cells_rank") if name in arch},
        "entropy": {**arch["entropy"], **aug["entropy"]},
        "warnings": arch["warnings"] + aug["warnings"],
    }
