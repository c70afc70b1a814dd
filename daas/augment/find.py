"""Names, paths and repositories on the Hugging Face Hub: the policies they stand for."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from daas.augment.policy import Policy
from daas.errors import BadInput
from daas.home import at_home

_FILE, _SCHEDULE, _SCREEN = "policy.json", "policy_schedule.json", "screen.json"  # of runs and repositories


def list_policies() -> list[str]:
    """Names of the policies that the package ships.

    >>> "randaugment" in list_policies()
    True
    """
    folder = files("daas.augment").joinpath("policies")
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(entry.name.removesuffix(".json") for entry in found if entry.name.endswith(".json"))


def find_policy(name: str | Path) -> Policy:
    """The policy that a name, a path or a repository stands for.

    Args:
        name: A shipped name; the path of a policy file; the folder of a run or a repository, whose policy.json it is,
            also as ``local-dir:FOLDER``; or ``hf-hub:user/repository[@revision]``.

    Raises:
        BadInput: Nothing of that name.

    >>> find_policy("randaugment").name
    'randaugment'
    """
    text = at_home(str(name))
    if text.startswith(("hf-hub:", "hf_hub:")):
        return _on_the_hub(text)
    if text.startswith("local-dir:"):
        return _in_folder(Path(text.removeprefix("local-dir:")))
    if text in list_policies():
        with_path = files("daas.augment").joinpath("policies").joinpath(f"{text}.json")
        return Policy.load(Path(str(with_path)))
    if text and _is_there(Path(text)):
        return _in_folder(Path(text)) if os.path.isdir(Path(text)) else Policy.load(text)
    if Path(text).name == _FILE and _is_there(Path(text).parent / _SCREEN):
        raise _nothing_left(Path(text).parent)
    raise BadInput(
        f"policy {text[:200]!r} is neither shipped nor a file. Shipped are {', '.join(list_policies())}; a search "
        "writes its own to policy.json in its output folder; hf-hub:user/repository loads one from the Hub; "
        "daas augment convert makes a policy file of a published format (timm:original, torchvision:svhn, ...)."
    )


def _on_the_hub(name: str) -> Policy:
    """The policy of a repository."""
    from daas.huggingface import again, fetch_policy_file  # at need: the Hub's client is no part of augmenting

    way_out = ""
    try:
        path = fetch_policy_file(name)
        way_out = again(path.parent)
        return Policy.load(path)
    except BadInput as error:
        raise BadInput(f"policy {name}: {error}{way_out}") from error


def _is_there(path: Path) -> bool:
    try:
        return os.path.exists(path)
    except (OSError, ValueError):  # a name that no file can have
        return False


def _in_folder(folder: Path) -> Policy:
    """The policy of a run or a repository on this disk."""
    if os.path.isfile(folder / _FILE):
        return Policy.load(folder / _FILE)
    if not os.path.isdir(folder):
        raise BadInput(f"{folder}: no such folder; a run or a repository on this disk has its policy in {_FILE}.")
    if os.path.isfile(folder / _SCHEDULE):
        raise BadInput(
            f"{folder} has a schedule ({_SCHEDULE}), a policy for every epoch: "
            f"daas.augment.PolicySchedule.load({str(folder / _SCHEDULE)!r}).at(epoch) gives one of its policies."
        )
    if os.path.isfile(folder / _SCREEN):
        raise _nothing_left(folder)
    raise BadInput(
        f"{folder}: there is no {_FILE} in it. A search writes one to its output folder when it is done, and a "
        "repository has one where its model was trained with a policy; name the file itself if it has another name."
    )


def _nothing_left(folder: Path) -> BadInput:
    """The error of a screen after which there is no policy."""
    return BadInput(
        f"{folder}: there is no {_FILE} in it, since the screen left no operation: each changes the labels, or may. "
        "Train without a policy (leave out --aa; none in a race). Where verdicts are unclear, a screen of more images, "
        f"or with more --epochs, may tell; {folder / 'screen.html'} shows them."
    )
