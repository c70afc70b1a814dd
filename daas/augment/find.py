"""Names, paths and repositories on the Hugging Face Hub: the policies they stand for."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from daas.augment.policy import Policy
from daas.errors import BadInput


def list_policies() -> list[str]:
    """Names of the policies that the package ships.

    >>> "randaugment" in list_policies()
    True
    """
    folder = files("daas.augment").joinpath("policies")
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(entry.name.removesuffix(".json") for entry in found if entry.name.endswith(".json"))


def find_policy(name: str | Path) -> Policy:
    """The policy of a shipped name, a path, or ``hf-hub:user/repository[@revision]`` (its policy.json).

    Raises:
        BadInput: Nothing of that name.

    >>> find_policy("randaugment").name
    'randaugment'
    """
    text = str(name)
    if text.startswith("hf-hub:"):
        from daas.hub.remote import fetch_policy  # at need: the Hub's client is no part of augmenting

        return fetch_policy(text)
    if text in list_policies():
        with_path = files("daas.augment").joinpath("policies").joinpath(f"{text}.json")
        return Policy.load(Path(str(with_path)))
    if Path(text).is_file():
        return Policy.load(text)
    raise BadInput(
        f"policy {text!r} is neither shipped nor a file. Shipped are {', '.join(list_policies())}; a search writes its "
        "own to policy.json in its output folder; hf-hub:user/repository loads one from the Hub; python -m "
        "daas.augment convert makes a policy file of a published format (timm:original, torchvision:svhn, ...)."
    )
