"""A run folder -> a repository folder, ready to push and loadable as it stands."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import yaml
from timm.models import save_for_hf

from daas.errors import BadInput
from daas.files import copy, sha256, write_json, write_text
from daas.hub.card import Network, card
from daas.hub.contents import new_folder
from daas.hub.run_folder import Run, Which
from daas.hub.verification import Verification, checksums, reference_input, reference_logits
from daas.hub.verifying import verify_folder
from daas.models import CellNet, Genotype
from daas.models.config import build
from daas.models.drawing import genotype_svg
from daas.models.table import multiply_adds
from daas.reading import read_json, read_text
from daas.repository import (
    CARD,
    CELLS_PICTURE,
    CONFIG,
    CURVES,
    GENOTYPE,
    LICENCE,
    POLICY,
    POLICY_PICTURE,
    RECIPE,
    SCHEDULE,
    WEIGHTS,
)

APACHE = "apache-2.0"
_OF_THE_NETWORK = ("architecture", "num_classes", "first_conv", "classifier", "fixed_input_size", "min_input_size")
"""What timm says of an untrained model and holds for the trained one; sizes, papers and places of others do not."""


def export(
    run: str | Path,
    folder: str | Path,
    weights: Which = "best",
    license_id: str = APACHE,
    license_file: str | Path | None = None,
) -> Path:
    """Makes a repository folder of a run. It appears whole or not at all.

    Args:
        run: Output folder of ``daas train``.
        folder: Where to; must not exist, or be empty. Its name is the model's name on the card.
        weights: Of the ``best`` or of the ``last`` epoch.
        license_id: As the Hub names licences.
        license_file: Its text; needed for any other than apache-2.0.

    Returns:
        The folder.

    Raises:
        BadInput: No usable run, a folder that holds something, no licence text.
    """
    chosen, target = Run.load(Path(run), weights), Path(folder)
    licence = _licence_text(license_id, license_file)
    with new_folder(target) as inside:
        _write(chosen, inside, target.resolve().name, license_id, licence)
        report = verify_folder(inside)
        if report.faults:
            raise BadInput(f"{run} cannot be exported: {'; '.join(report.faults)}")
    return target


def _licence_text(license_id: str, license_file: str | Path | None) -> str:
    if license_file is not None:
        return read_text(license_file, "--license-file")
    if license_id != APACHE:
        raise BadInput(f"--license {license_id} needs its text: --license-file FILE. Without both it is {APACHE}.")
    return files("daas.hub").joinpath(f"templates/{APACHE}.txt").read_text(encoding="utf-8")


def _write(run: Run, folder: Path, name: str, license_id: str, licence: str) -> None:
    """Writes all files of the repository, verification.json last."""
    result = run.result
    model: Any
    model, arguments = run.model()
    images = {key: tuple(result[key]) for key in ("input_size", "mean", "std")}
    cfg = {**images, **{key: result[key] for key in ("interpolation", "crop_pct", "crop_mode")}}
    own = {key: value for key, value in model.pretrained_cfg.items() if key in _OF_THE_NETWORK}
    model.pretrained_cfg = {**own, **cfg, "license": license_id}
    labels = {"label_names": [str(label) for label in result["class_names"]]}
    save_for_hf(model, str(folder), model_config=labels, model_args=arguments, safe_serialization=True)
    config = read_json(folder / CONFIG, "configuration")
    config["model_args"].pop("num_classes", None)  # it stands above, too, and Transformers would pass it on twice
    write_json(folder / CONFIG, config, indent=2)
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)  # safetensors makes files that only their owner can read
    genotype = Genotype.from_dict(arguments["genotype"]) if isinstance(model, CellNet) else None
    if genotype is not None:
        genotype.save(folder / GENOTYPE)
        write_text(folder / CELLS_PICTURE, genotype_svg(genotype))
    if run.policy is not None:
        run.policy.save(folder / POLICY)
        from daas.hub.pictures import policy_picture  # matplotlib, for this picture alone

        policy_picture(run.policy, folder / POLICY_PICTURE)
    if run.schedule is not None:
        run.schedule.save(folder / SCHEDULE)
    recipe = yaml.safe_dump(run.options, sort_keys=False, allow_unicode=True)
    write_text(folder / RECIPE, recipe)
    write_text(folder / LICENCE, licence)
    copy(run.folder / CURVES, folder / CURVES)
    network = Network(
        architecture=model.pretrained_cfg["architecture"],
        cells=f"{len(model.cells)} cells ({model.channels} channels at first)" if genotype is not None else "",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=multiply_adds(model, result["input_size"]),
        genotype=genotype,
        weights_sha256=sha256(folder / WEIGHTS),
    )
    write_text(folder / CARD, str(card(run, network, name, license_id)))
    logits = reference_logits(build(folder, pretrained=True), reference_input(**images))
    Verification(result["written"], torch.__version__, checksums(folder), logits.tolist()).save(folder)
