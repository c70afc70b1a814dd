"""args.yaml, which repeats a run, and beside it the policy that a program gave."""

from __future__ import annotations

from pathlib import Path

import yaml

from daas.augment import DAASPolicy
from daas.errors import BadInput
from daas.files import write_text
from daas.timm_names import PREFIX
from daas.train.augmentation import EpochPolicy
from daas.train.options import TrainOptions
from daas.train.output import as_json

ARGS, POLICY = "args.yaml", "policy.json"


def arguments(options: TrainOptions, policy: EpochPolicy | None, images: bool) -> str:
    """What args.yaml says, so that ``--config args.yaml`` repeats the run as far as options can.

    Args:
        options: The run's.
        policy: That a program gave, which ``write_arguments`` puts beside it.
        images: Whether a program gave the images.

    Raises:
        BadInput: A constructor's argument that no file can hold.
    """
    for name in ("model_kwargs", "opt_kwargs"):
        for key, value in getattr(options, name).items():
            try:
                yaml.safe_dump(as_json(value))
            except yaml.YAMLError as error:
                raise BadInput(
                    f"--{name.replace('_', '-')} {key}: a {type(value).__name__} cannot be written to {ARGS}, which "
                    "repeats the run. Give numbers, texts, true or false, or lists of them."
                ) from error
    said, values = [], dict(vars(options))
    if images:
        said.append("The images were given by a program: to repeat the run, name a folder or a data set of them.")
    if policy is not None:
        values["aa"] = PREFIX + POLICY
        said.append(f"The policy was given by a program; {POLICY} beside this file holds it.")
        if own := _own(policy.transform):
            said.append(f"It was applied with {', '.join(own)}, for which there is no option.")
    return "".join(f"# {text}\n" for text in said) + yaml.safe_dump(as_json(values), sort_keys=False)


def write_arguments(folder: Path, text: str, policy: EpochPolicy | None) -> None:
    """Writes args.yaml and, where a program gave a policy, policy.json."""
    if policy is not None:
        policy.transform.policy.save(folder / POLICY)
    write_text(folder / ARGS, text)


def _own(transform: DAASPolicy) -> list[str]:
    """What a transform was made with that changes images and is no transform's default."""
    usual = DAASPolicy(transform.policy)
    names = ("granularity", "quantize", "interpolation", "p", "same_on_batch")
    return [
        f"{name}={getattr(transform, name)!r}" for name in names if getattr(transform, name) != getattr(usual, name)
    ]
