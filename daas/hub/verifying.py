"""Checks a repository folder: names, checksums, configuration, genotype, policy, keys and shapes, logits."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from daas.augment import Policy, PolicySchedule
from daas.errors import BadInput, plain
from daas.hub.verification import TOLERANCE, Verification, checksums, reference_input, reference_logits
from daas.huggingface import Repository, again, fetch
from daas.models import CellNet, Genotype
from daas.models.config import build, outline, read_config, shapes
from daas.reading import read_yaml
from daas.repository import (
    CARD,
    CONFIG,
    GENOTYPE,
    NEEDED,
    POLICY,
    RECIPE,
    SCHEDULE,
    VERIFICATION,
    WEIGHTS,
    files_of,
    litter_of,
)
from daas.train.output import RESULT


@dataclass
class Report:
    """What a check found.

    Attributes:
        where: Folder or repository, with the commit.
        passed: What is right.
        faults: What is wrong; nothing, if the folder can be trusted to be what was exported.
        notes: What one should know.
    """

    where: str
    passed: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"  ok     {line}" for line in self.passed]
        lines += [f"  note   {line}" for line in self.notes] + [f"  WRONG  {line}" for line in self.faults]
        verdict = f"{len(self.faults)} fault(s)" if self.faults else "everything is as it was exported"
        return plain("\n".join([f"{self.where}", *lines, f"{self.where}: {verdict}"]), keep="\n")


def verify(source: str | Path) -> Report:
    """Checks a folder, or a repository after downloading it.

    Args:
        source: An existing folder, or ``user/name[@revision]``.

    Raises:
        BadInput: Neither; a path that leaves the folder, or a pickle: such a folder is not looked into.
        HubFailure: No connection.
    """
    if os.path.isfile(source):
        raise BadInput(f"{source} is a file; name the folder that it lies in.")
    if os.path.exists(Path(source)):
        return verify_folder(Path(source))
    return fetched(Repository.parse(str(source)))[1]


def fetched(repository: Repository) -> tuple[Path, Report]:
    """The folder of a repository in the Hub's cache, and what a look at it found.

    Raises:
        BadInput: No such repository; a path that leaves the folder, or a pickle.
        HubFailure: No connection.
    """
    found = fetch(repository)
    report = verify_folder(found.folder, f"{repository.id}@{found.commit}")
    report.notes += [found.note] * bool(found.note)
    if report.faults:
        report.notes.append(f"this is the copy in {found.folder}.{again(found.folder)}")
    return found.folder, report


def verify_folder(folder: Path, where: str | None = None) -> Report:
    """Checks a repository folder.

    Args:
        folder: As made by ``export``.
        where: How to call it in messages; by default its path.

    Raises:
        BadInput: No folder; a path that leaves it, or a pickle.
    """
    names = files_of(folder)
    report = Report(where or str(folder))
    litter = litter_of(folder)
    if litter:
        report.notes.append(f"left out, as a desktop leaves it behind: {', '.join(litter)}")
    if RECIPE in names:
        _run(report, lambda: _check_recipe(folder / RECIPE))
    missing = [name for name in NEEDED if name not in names]
    if missing:
        run = "; this is the folder of a training, of which daas hub export makes a repository" * (RESULT in names)
        report.faults.append(f"missing: {', '.join(missing)}{run}")
    written = _run(report, lambda: Verification.load(folder)) if VERIFICATION not in missing else None
    if written is not None:
        _compare_checksums(report, folder, written)
    _check_policy(report, folder, names)
    if CONFIG in missing or WEIGHTS in missing:
        return report
    config = _run(report, lambda: read_config(folder))
    if config is None or not _check_genotype(report, folder, names, config) or not _check_shapes(report, folder):
        return report
    if written is not None:
        _run(report, lambda: _compare_logits(report, folder, written))
    return report


def _run(report: Report, check: Callable[[], Any]) -> Any:
    """The result of a check, or None and a fault."""
    try:
        return check()
    except BadInput as error:
        report.faults.append(str(error))
        return None


def _compare_checksums(report: Report, folder: Path, written: Verification) -> None:
    now = checksums(folder)
    changed = [name for name in written.files if name in now and now[name] != written.files[name]]
    gone = [name for name in written.files if name not in now and name not in NEEDED]
    added = [name for name in now if name not in written.files]
    if CARD in changed:
        changed.remove(CARD)
        report.notes.append(f"{CARD} was edited after the export; nothing here vouches for its figures")
    report.faults += [
        f"{name} is not the file that was exported: SHA-256 {now[name][:12]}..., written down "
        f"{written.files[name][:12]}..."
        for name in changed
    ]
    if gone:
        report.faults.append(f"gone since the export: {', '.join(gone)}")
    if added:
        report.faults.append(f"in no checksum, so added after the export: {', '.join(added)}")
    if not changed and not gone and not added:
        report.passed.append(f"checksums of {len(now)} files (weights {now.get(WEIGHTS, 'missing')[:16]}...)")


def _check_policy(report: Report, folder: Path, names: list[str]) -> None:
    if POLICY in names:
        policy = _run(report, lambda: Policy.load(folder / POLICY))
        if policy is not None:
            report.passed.append(f"policy {policy.name!r}, {len(policy.sub_policies)} sub-policies")
    elif SCHEDULE in names:
        schedule = _run(report, lambda: PolicySchedule.load(folder / SCHEDULE))
        if schedule is not None:
            report.passed.append(f"schedule {schedule.name!r}, {len(schedule.segments)} policies")
    else:
        report.notes.append("no policy: the model was trained without one of this package")


def _check_recipe(path: Path) -> None:
    """Refuses a recipe that is no plain list of options, or that would have code imported."""
    options = read_yaml(path, "recipe")
    if not isinstance(options, dict):
        raise BadInput(f"{RECIPE} holds no options.")
    if options.get("device_modules") or options.get("device-modules"):
        raise BadInput(f"{RECIPE}: device_modules names code to import, which a file may not do; remove it.")


def _check_genotype(report: Report, folder: Path, names: list[str], config: dict[str, Any]) -> bool:
    """Whether genotype.json and the one in the configuration are sound and the same."""
    given = config.get("model_args", {}).get("genotype")
    if given is None and GENOTYPE not in names:
        report.notes.append("no genotype: this is no cell network")
        return True
    if given is None or GENOTYPE not in names:
        here, there = (GENOTYPE, CONFIG) if given is None else (CONFIG, GENOTYPE)
        report.faults.append(f"there is a genotype in {here} and none in {there}")
        return False
    if not isinstance(given, dict):
        report.faults.append(f"{CONFIG}: the genotype must stand there whole, as a JSON object; found {given!r}")
        return False
    file = _run(report, lambda: Genotype.load(folder / GENOTYPE))
    inline = _run(report, lambda: _inline_genotype(given))
    if file is None or inline is None:
        return False
    differences = file.diff(inline)
    if differences:
        report.faults.append(f"{GENOTYPE} and the genotype in {CONFIG} differ: {'; '.join(differences[:4])}")
        return False
    report.passed.append(f"genotype {file.name!r}, the same in {GENOTYPE} and {CONFIG}")
    return True


def _inline_genotype(given: dict[str, Any]) -> Genotype:
    try:
        return Genotype.from_dict(given)
    except BadInput as error:
        raise BadInput(f"{CONFIG}: {error}") from error


def _check_shapes(report: Report, folder: Path) -> bool:
    """Whether the weights are those of the network that the configuration describes, by name and shape."""
    found = _run(report, lambda: shapes(folder))
    model = None if found is None else _run(report, lambda: outline(folder))
    if model is None or found is None:
        return False
    wanted = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    missing, unknown = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    other = [key for key in wanted.keys() & found.keys() if wanted[key] != found[key]]
    lines = [f"{WEIGHTS} lacks {len(missing)} tensor(s) of the network, first {missing[0]}"] if missing else []
    lines += (
        [f"{WEIGHTS} has {len(unknown)} tensor(s) that the network does not, first {unknown[0]}"] if unknown else []
    )
    lines += [f"{WEIGHTS}: {key} has shape {found[key]}; the network's is {wanted[key]}" for key in sorted(other)[:3]]
    if lines:
        hint = " (does the genotype belong to these weights?)" if isinstance(model, CellNet) else ""
        report.faults += [line + hint for line in lines]
        return False
    report.passed.append(f"{len(found)} tensors, names and shapes as in {type(model).__name__}")
    return True


def _compare_logits(report: Report, folder: Path, written: Verification) -> None:
    model: Any = build(folder, pretrained=True)
    cfg = model.pretrained_cfg
    logits = reference_logits(model, reference_input(cfg["input_size"], cfg["mean"], cfg["std"]))
    expected = torch.tensor(written.logits, dtype=torch.float64)
    if logits.shape != expected.shape:
        raise BadInput(f"the model gives logits of shape {tuple(logits.shape)}; written down {tuple(expected.shape)}")
    difference = float((logits.double() - expected).abs().max())
    allowed = TOLERANCE * max(1.0, float(expected.abs().max()))
    if difference == 0:
        report.passed.append("logits of the reference input, equal to the bit")
    elif difference <= allowed:
        report.passed.append(
            f"logits of the reference input, up to {difference:.1e} (allowed {allowed:.1e}; written with PyTorch "
            f"{written.torch}, this is {torch.__version__})"
        )
    else:
        raise BadInput(f"the model's logits are off by {difference:.2e}; allowed is {allowed:.1e}")
