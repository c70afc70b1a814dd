"""The way to the Hub: names of repositories, one commit of one downloaded, and the copy of it without a network."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import RevisionNotFoundError
from huggingface_hub.file_download import repo_folder_name

from daas.answers import PATIENCE, HubFailure, told_plainly
from daas.errors import BadInput
from daas.reading import check_look_alike
from daas.repository import CONFIG, POLICY, WEIGHTS, check_paths, is_litter

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_REVISION = re.compile(r"(?!\.)[\w.+-]+")  # each part of it: "refs/pr/1"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT = re.compile(r"[0-9a-f]{4,39}")


@dataclass(frozen=True)
class Repository:
    """A model repository, as timm writes it after ``hf-hub:``.

    Attributes:
        id: ``user/name``.
        revision: Branch, tag or commit; None for the default branch.
    """

    id: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Reads ``user/name`` or ``user/name@revision``, with or without ``hf-hub:`` (or ``hf_hub:``, as timm does).

        Raises:
            BadInput: Anything else.
        """
        name, at, revision = text.removeprefix("hf-hub:").removeprefix("hf_hub:").partition("@")
        parts = name.split("/")
        named = len(parts) == 2 and all(_NAME.fullmatch(part) for part in parts)
        if not named or (at and not all(_REVISION.fullmatch(part) for part in revision.split("/"))):
            raise BadInput(f"repository {text!r}: write user/name, or user/name@revision for a branch, tag or commit.")
        return cls(name, revision or None)

    def __str__(self) -> str:
        return self.id if self.revision is None else f"{self.id}@{self.revision}"


@dataclass(frozen=True)
class Snapshot:
    """One commit of a repository on this computer.

    Attributes:
        folder: In the Hub's cache.
        commit: Its hash.
        note: That the Hub was not asked, where it could not be; otherwise empty.
    """

    folder: Path
    commit: str
    note: str = ""


def fetch(repository: Repository, only: Collection[str] = (), skip: Collection[str] = ()) -> Snapshot:
    """Downloads one commit of a repository into the Hub's cache, after a look at the names of its files.

    Without a network, or under HF_HUB_OFFLINE, what an earlier call has brought is found under the same name.

    Args:
        repository: At which revision.
        only: The paths that are needed, and looked at; empty for all.
        skip: Paths that are not needed.

    Raises:
        BadInput: No such repository, revision or file; a name that ``check_paths`` refuses.
        HubFailure: No connection, and no copy here.
    """
    try:
        return _download(repository, only, skip)
    except HubFailure as error:
        here = _copy(repository, only)
        if here is None:
            raise
        return Snapshot(here.folder, here.commit, f"{error} This is the copy from the last time.")


def _download(repository: Repository, only: Collection[str], skip: Collection[str]) -> Snapshot:
    with told_plainly(f"downloading {repository}"):
        info = _info(repository)
        commit = str(info.sha)
        paths = [str(file.rfilename) for file in info.siblings or () if not is_litter(file.rfilename)]
        missing = [path for path in only if path not in paths]
        if missing:
            raise BadInput(f"{repository}: a file is missing there ({', '.join(missing)}).")
        wanted = [path for path in paths if path not in skip and (not only or path in only)]
        check_paths(str(repository), wanted if only else paths)
        for path in wanted:
            hf_hub_download(repository.id, path, revision=commit)
        if not wanted:
            raise BadInput(f"{repository}: the repository is empty.")
        _remember(repository, commit)
    return Snapshot(_cache(repository) / "snapshots" / commit, commit)


def _info(repository: Repository) -> Any:
    """What the Hub says of a repository; the beginning of a commit's hash is completed where that can be done."""
    api = HfApi()
    try:
        return api.repo_info(repository.id, revision=repository.revision, timeout=PATIENCE)
    except RevisionNotFoundError:
        if repository.revision is None or not _SHORT.fullmatch(repository.revision):
            raise
    head = api.repo_info(repository.id, timeout=PATIENCE)
    known = {str(head.sha), *_commits_here(repository)}
    whole = [commit for commit in known if commit.startswith(repository.revision)]
    if len(whole) == 1:
        return api.repo_info(repository.id, revision=whole[0], timeout=PATIENCE)
    raise BadInput(
        f"{repository}: there is no such branch or tag, and it looks like the beginning of a commit's hash; the Hub "
        f"knows commits by all 40 digits. The newest one is {head.sha}."
    )


def _cache(repository: Repository) -> Path:
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository.id, repo_type="model")


def _commits_here(repository: Repository) -> list[str]:
    folder = _cache(repository) / "snapshots"
    return [entry.name for entry in folder.iterdir() if _COMMIT.fullmatch(entry.name)] if os.path.isdir(folder) else []


def _remember(repository: Repository, commit: str) -> None:
    """Notes which commit a branch or tag stood for, where the Hub's client looks without a network."""
    revision = repository.revision or constants.DEFAULT_REVISION
    if commit.startswith(revision):
        return
    note = _cache(repository) / "refs" / revision
    with suppress(OSError):  # a cache that may only be read
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(commit)


def _copy(repository: Repository, only: Collection[str]) -> Snapshot | None:
    """What an earlier call has brought of a repository, if it is all here that is needed."""
    revision = repository.revision or constants.DEFAULT_REVISION
    note = _cache(repository) / "refs" / revision
    commit = note.read_text().strip() if os.path.isfile(note) else ""
    if not commit:
        whole = [found for found in _commits_here(repository) if found.startswith(revision)]
        commit = whole[0] if len(whole) == 1 else ""
    folder = _cache(repository) / "snapshots" / commit
    if not commit or not os.path.isdir(folder) or not all(os.path.isfile(folder / path) for path in only):
        return None
    return Snapshot(folder, commit)


def again(snapshot: Path) -> str:
    """How a file that is damaged in the Hub's cache is downloaded again; the client takes what is there as whole.

    >>> again(Path("hub/models--ada--small/snapshots/0a1b"))
    ' To have it downloaded again, remove hub/models--ada--small.'
    """
    return f" To have it downloaded again, remove {snapshot.parent.parent}."


def fetch_policy_file(name: str) -> Path:
    """The policy.json of a repository, alone.

    Args:
        name: ``user/name`` or ``user/name@revision``, with or without ``hf-hub:``.

    Raises:
        BadInput: No such repository, revision or file, or no connection.
    """
    repository = Repository.parse(name)
    try:
        return fetch(repository, only=(POLICY,)).folder / POLICY
    except (BadInput, HubFailure) as error:
        raise BadInput(f"{POLICY} of hf-hub:{repository}: {error}") from error


def local_name(model: str) -> str:
    """A model's name as timm takes it, its files on this computer: ``hf-hub:`` becomes ``local-dir:``.

    Configuration and weights are of one commit, and nothing else of the repository is fetched: no pickle, no code.

    Args:
        model: Any name of timm's; those of registered models stay as they are.

    Raises:
        BadInput: No such repository, or one without config.json and model.safetensors; no connection.

    >>> local_name("resnet18")
    'resnet18'
    """
    source, colon, name = model.partition(":")
    if colon and source == "local-dir":
        _check_weights(Path(name))
    if not colon or source not in ("hf-hub", "hf_hub"):
        return model
    try:
        return f"local-dir:{fetch(Repository.parse(name), only=(CONFIG, WEIGHTS)).folder}"
    except HubFailure as error:
        raise BadInput(
            f"model {model!r}: {error} Without a network: download it where there is one (hf download {name} "
            "--local-dir FOLDER), and name local-dir:FOLDER."
        ) from error
    except BadInput as error:
        raise BadInput(f"model {model!r}: {error}") from error


def _check_weights(folder: Path) -> None:
    """Refuses a folder whose weights timm would unpickle."""
    for path in (folder / CONFIG, folder / WEIGHTS):
        if not os.path.isfile(path):
            raise BadInput(
                f"local-dir:{folder} has no {path.name}; a model folder holds {CONFIG} and {WEIGHTS} "
                "(daas hub export makes one). Weights in a pickle are not read: convert them to safetensors."
            )
        check_look_alike(path)
