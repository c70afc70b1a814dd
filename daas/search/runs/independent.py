"""``--mode independent``: an architecture, then a policy for it (the paper's Table 6), as two runs in one folder."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from daas import processes
from daas.files import copy, make_folder, write_json
from daas.reading import read_json
from daas.search.options import SearchConfig, options
from daas.search.report import metrics
from daas.search.runs.folder import checkpoint_to_resume, occupied, present_in

NETWORK = "network.json"
GATHERED = ("genotype.json", "policy.json", "summary.json")


def stages(config: SearchConfig) -> tuple[SearchConfig, SearchConfig]:
    """The options of the two runs: the architecture's in ``arch``, the policy's in ``aug`` under the output folder.

    Each takes the planned number of epochs. The second one's network is the first one's derived cell at the size of
    the supernet, with weights of its own, and lies in ``aug/network.json``. Both go on from their checkpoints when the
    whole is resumed.
    """
    defaults = SearchConfig()
    first = dataclasses.replace(
        config,
        mode="arch",
        out=config.out / "arch",
        baseline=defaults.baseline,
        reward=defaults.reward,
        reward_batches=defaults.reward_batches,
    )
    network = (
        f"genotype={config.out / 'aug' / NETWORK}", f"channels={config.channels}", f"layers={config.layers}",
    )  # fmt: skip
    second = dataclasses.replace(
        config,
        mode="aug",
        out=config.out / "aug",
        model="daas_cell_cifar",
        model_kwargs=network,
        arch_estimator=defaults.arch_estimator,
        primitives=defaults.primitives,
    )
    return first, second


def search(config: SearchConfig, run: Callable[[SearchConfig], Path]) -> Path:
    """Runs both stages, and gathers genotype.json, policy.json and summary.json in the output folder.

    Args:
        config: The options of the whole.
        run: Searches with the options of one stage and returns its report.

    Returns:
        The report of the second stage; the first one's lies in the folder ``arch``.

    Raises:
        BadInput: As each stage does, before anything is written.
    """
    check_output(config)
    first, second = stages(config)
    run(first)
    if processes.rank() == 0:
        _hand_over(config)
    processes.wait()
    report = run(second)
    if processes.rank() == 0:
        _gather(config)
    processes.wait()
    return report


def check_output(config: SearchConfig) -> None:
    """Raises BadInput where the output folder, or that of a stage, holds something else than this run."""
    for stage in stages(config):
        stage.check()
        checkpoint_to_resume(stage)
    present = present_in(config.out)
    if present and not (config.resume and set(present) <= set(GATHERED) and _is_independent(config.out)):
        raise occupied(config.out, present)


def _is_independent(out: Path) -> bool:
    """Whether the results in a folder were gathered from two stages; they are where a run of these was cut off."""
    path = out / "summary.json"
    if not path.exists():
        return bool(present_in(out / "arch"))
    return bool(read_json(path, "summary")["options"]["mode"] == "independent")


def _hand_over(config: SearchConfig) -> None:
    """Gives the second stage its network; one that was searched for another network is moved aside.

    A first stage that stopped early, and goes on later, may derive another cell than the one that the second has had.
    """
    found, stage = config.out / "arch" / "genotype.json", config.out / "aug"
    if (stage / NETWORK).exists() and (stage / NETWORK).read_bytes() != found.read_bytes():
        aside = next(path for n in itertools.count(1) if not (path := config.out / f"aug-before-{n}").exists())
        stage.rename(aside)
        tqdm.write(f"The architecture has changed since {stage} began: moved to {aside}, and begun anew.")
    make_folder(stage)
    copy(found, stage / NETWORK, metrics.GO_ON)


def _gather(config: SearchConfig) -> None:
    for stage, name in (("arch", "genotype.json"), ("aug", "policy.json")):
        copy(config.out / stage / name, config.out / name, metrics.GO_ON)
    arch, aug = (read_json(config.out / stage / "summary.json", "summary") for stage in ("arch", "aug"))
    summary = {
        **aug,
        "options": options(config),
        "steps": arch["steps"] + aug["steps"],
        "planned_steps": arch["planned_steps"] + aug["planned_steps"],
        "stopped": arch["stopped"] or aug["stopped"],
        "seconds": round(arch["seconds"] + aug["seconds"], 2),
        "skip_share": arch["skip_share"],
        "primitives": arch["primitives"],
        "entropy": {**arch["entropy"], **aug["entropy"]},
        "warnings": arch["warnings"] + aug["warnings"],
    }
    write_json(config.out / "summary.json", summary, metrics.GO_ON, indent=2)
