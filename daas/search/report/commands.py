"""What to type to train what a search has found, and what to write to use it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from daas.models.start import WEIGHTS, Start
from daas.search.algorithm.method import model_arguments
from daas.search.budget.trained import model_of, papers

HELD_OUT_PHOTOS = "YOUR_TEST_PHOTOS"
_UPDATES = 1500  # optimizer steps of a training that is long enough to compare policies by
_EPOCHS = (20, 300)  # at least, at most


def commands(out: Path, summary: dict[str, Any], genotype: bool, policy: bool) -> dict[str, Any]:
    """The training, at the size of the search, and the first lines of a program.

    Args:
        out: The folder in which genotype.json and policy.json lie.
        summary: As summary.json has it.
        genotype: Whether cells were found.
        policy: Whether a policy was found.

    Returns:
        ``train``: one command, empty where the images or the network are a program's own; run a second time, it goes
        on. ``parts``: the same, option by option. ``note``: what is to be filled in. ``python``: the lines.
    """
    objects = summary.get("given", {})
    model, arguments = _model(out, summary, genotype)
    words = ["daas", "train", *image_words(summary)]
    if model:
        words += ["--model", model, *(["--model-kwargs", *arguments] if arguments else []), *start_of(summary).words()]
    file = _policy_file(out, summary, policy)
    if file:
        words += ["--aa", f"daas:{file}"]
    words += _training(summary)
    words += ["--experiment", out.resolve().name or "searched"]
    words += ["--resume", "auto"]
    python = ["import daas, timm"]
    if model:
        given = "".join(f", {name}={value!r}" for name, value in model_arguments(tuple(arguments)).items())
        classes = len(summary["data"]["class_names"])
        python.append(f"model = timm.create_model({model!r}, num_classes={classes}{given})")
    if file:
        python.append(f"policy = daas.DAASPolicy.load({str(file)!r})")
        python.append("images = policy(images)  # [B, 3, H, W], uint8 or float in [0, 1]")
    note = f"{HELD_OUT_PHOTOS}: a folder of class folders with images that the search has not seen."
    runs = not {"data", "val", "network"} & objects.keys()  # what a program holds has no name on the command line
    return {
        "train": shlex.join(words) if runs else "",
        "parts": parts(shlex.join(words)) if runs else [],
        "note": note if runs and HELD_OUT_PHOTOS in words else "",
        "python": "\n".join(python),
    }


def parts(command: str) -> list[str]:
    """A command option by option, each with its values, so that on a page no line need break within one.

    >>> parts("daas train --img-size 32 --mean 0.5 0.5 0.5")
    ['daas train', '--img-size 32', '--mean 0.5 0.5 0.5']
    """
    groups: list[list[str]] = [[]]
    for word in shlex.split(command):
        if word.startswith("--"):
            groups.append([])
        groups[-1].append(word)
    return [shlex.join(group) for group in groups if group]


def _policy_file(out: Path, summary: dict[str, Any], policy: bool) -> Path | None:
    """The policy to train with: the one that the race has chosen, or the found one; None for none."""
    if "race" in summary:
        return out / "race" / "policy.json" if summary["race"]["policy"] else None
    return out / "policy.json" if policy else None


def _training(summary: dict[str, Any]) -> list[str]:
    """How to train: as in the race, or as in the search and long enough."""
    if "race" in summary:
        return ["--img-size", str(summary["data"]["image_size"]), *summary["race"]["recipe"]]
    return [*_preparation(summary), *_length(summary)]


def _model(out: Path, summary: dict[str, Any], genotype: bool) -> tuple[str, list[str]]:
    """Name and arguments of the model: the cells at the size of the search, or at the paper's after its presets.

    Where a race has chosen published cells, those.
    """
    options = summary["options"]
    if cells := summary.get("race", {}).get("cells"):  # published ones, which the race has chosen
        return cells[0], cells[1:]
    if not genotype:
        named = "" if "network" in summary.get("given", {}) else str(options["model"])
        return named, list(options["model_kwargs"])
    arguments = [f"genotype={out / 'genotype.json'}"]
    if _papers(summary):
        return model_of(options["preset"], summary["data"]["image_size"]), arguments
    return "daas_cell_cifar", [*arguments, f"channels={options['channels']}", f"layers={options['layers']}"]


def start_of(summary: dict[str, Any]) -> Start:
    """Where the weights of the network began; at random in searches of earlier versions."""
    return Start(**{name: summary["options"][name] for name in WEIGHTS if name in summary["options"]})


def _papers(summary: dict[str, Any]) -> bool:
    return papers(str(summary["options"]["preset"]))


def image_words(summary: dict[str, Any]) -> list[str]:
    """The words of a command line that name the images of a search for ``daas.train``.

    Args:
        summary: As summary.json has it.
    """
    options, words = summary["options"], []
    if _papers(summary):
        words += ["--recipe", str(options["preset"]).removeprefix("paper-")]
    for option in ("dataset", "data_dir", "val_dir"):
        if options[option]:
            words += ["--" + option.replace("_", "-"), str(options[option])]
    if not options["dataset"] and not options["val_dir"] and not summary["data"].get("held_out", False):
        words += ["--val-dir", HELD_OUT_PHOTOS]
    words += ["--val-split", "test"] if options["dataset"] == "digits" else []
    return [*words, *(["--skip-bad-images"] if options["skip_bad_images"] else [])]


def _preparation(summary: dict[str, Any]) -> list[str]:
    """Size, statistics, crop and flip, as in the search."""
    options, data = summary["options"], summary["data"]
    words = ["--img-size", str(data["image_size"])]
    for name in ("mean", "std"):
        words += [f"--{name}", *(f"{value:.4f}" for value in data[name])]
    words += ["--train-crop-mode", "pad"]
    digits = options["dataset"] == "digits"
    flip = 0 if digits and options["hflip"] is None else options["hflip"]
    swaps = summary.get("screen", {}).get("swaps", [])
    if swaps:
        words += ["--hflip", "0.5", "--hflip-swap", *swaps]
        flip = None
    for name, value in (("hflip", flip), ("crop-padding", options["crop_padding"])):
        words += [] if value is None else [f"--{name}", f"{value:g}"]
    return words


def _length(summary: dict[str, Any]) -> list[str]:
    """A whole training of this network on these images; the recipe's after the paper's presets."""
    if _papers(summary):
        return []
    options, data = summary["options"], summary["data"]
    images, batch = data["train_images"] + data["val_images"], options["batch_size"]
    epochs = min(max(-(-_UPDATES // max(1, images // batch)), _EPOCHS[0]), _EPOCHS[1])
    return [
        "--epochs", str(epochs), "--batch-size", str(batch), "--lr", f"{options['lr']:g}", "--weight-decay",
        f"{options['weight_decay']:g}", "--warmup-epochs", "1", "--smoothing", "0",
    ]  # fmt: skip
