"""What a repository on the Hub holds at the moment, and whether a local file is the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoSibling

from daas.answers import PATIENCE, told_plainly
from daas.huggingface import Repository


@dataclass(frozen=True)
class Listing:
    """A repository as it stands.

    Attributes:
        commit: Its hash.
        private: Whether others cannot see it.
        files: By path.
    """

    commit: str
    private: bool
    files: dict[str, RepoSibling]


def listing(repository: Repository) -> Listing | None:
    """What a repository holds; None where there is no such repository or branch.

    Raises:
        BadInput: The token is refused.
        HubFailure: No connection.
    """
    with told_plainly(f"looking at {repository}"):
        try:
            info: Any = HfApi().repo_info(
                repository.id, revision=repository.revision, timeout=PATIENCE, files_metadata=True
            )
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return None
        files = {file.rfilename: file for file in info.siblings or ()}
    return Listing(str(info.sha), bool(info.private), files)


def same_content(file: RepoSibling, path: Path) -> bool:
    """Whether a file of a repository and a local one are equal, by their hashes."""
    content = path.read_bytes()
    if file.lfs is not None:
        return bool(file.lfs.sha256 == hashlib.sha256(content).hexdigest())
    return bool(file.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())
