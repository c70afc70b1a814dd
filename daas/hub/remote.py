"""The way to the Hub: names of repositories, what a repository holds, downloads, and what its errors mean."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, get_token, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from daas.augment.policy import Policy
from daas.errors import BadInput
from daas.hub.contents import POLICY, check_paths

_HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "requests", "urllib3")  # of the versions of huggingface_hub
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_SECRETS = (
    (re.compile(r"hf_\w+"), "hf_***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+\S+"), r"\1 ***"),
    (re.compile(r"(https?://)[^/\s@]+@"), r"\1***@"),
    (re.compile(r"(https?://[^\s?]+)\?\S+"), r"\1?***"),
)


class HubFailure(RuntimeError):
    """The Hub cannot be reached, or broke off: nothing that other input would mend."""


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
        """Reads ``user/name`` or ``user/name@revision``, with or without ``hf-hub:``.

        Raises:
            BadInput: Anything else.
        """
        name, at, revision = text.removeprefix("hf-hub:").partition("@")
        parts = name.split("/")
        if len(parts) != 2 or not all(_NAME.fullmatch(part) for part in parts) or (at and not revision):
            raise BadInput(f"repository {text!r}: write user/name, or user/name@revision for a branch, tag or commit.")
        return cls(name, revision or None)

    def __str__(self) -> str:
        return self.id if self.revision is None else f"{self.id}@{self.revision}"


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
    files: dict[str, RepoFile]


def scrub(text: str) -> str:
    """Takes tokens, credentials and signatures out of a text that people will see."""
    token = get_token()
    if token:
        text = text.replace(token, "***")
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def connection_failed(error: BaseException) -> bool:
    """Whether an error is, or was raised from, a connection that could not be made or broke off."""
    answer = _answer(error)
    if answer is not None:
        return answer.response is not None and answer.response.status_code >= 500
    return any(
        isinstance(cause, (ConnectionError, TimeoutError))
        or type(cause).__module__.partition(".")[0] in _HTTP_LIBRARIES
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _answer(error: BaseException) -> HfHubHTTPError | None:
    """The Hub's answer that an error stands for, if it is one."""
    return next((cause for cause in _causes(error) if isinstance(cause, HfHubHTTPError)), None)


@contextmanager
def told_plainly(what: str) -> Iterator[None]:
    """Turns errors of the Hub's client into this package's, without secrets.

    Args:
        what: What is being done, for the message.

    Raises:
        BadInput: The Hub refuses: token, name, revision, missing file, missing rights, somebody else's commit.
        HubFailure: It cannot be reached or is in trouble.
    """
    try:
        yield
    except (BadInput, HubFailure):
        raise
    except Exception as error:  # of huggingface_hub and of its HTTP client; said plainly, never swallowed
        raise _plain(what, error) from None


def _plain(what: str, error: Exception) -> Exception:
    if isinstance(error, LocalEntryNotFoundError):
        return HubFailure(f"{what}: the Hub cannot be reached ({_first_line(error)}).")
    answer = _answer(error)
    if isinstance(error, HFValidationError) or isinstance(answer, _MISSING):
        return BadInput(f"{what}: {_missing(answer or error)}")
    status = 0 if answer is None or answer.response is None else answer.response.status_code
    if answer is not None and status in _REFUSALS:
        return BadInput(f"{what}: {_REFUSALS[status]} (HTTP {status}: {_first_line(answer)})")
    if answer is not None:
        return HubFailure(f"{what}: the Hub answers with an error ({_first_line(answer)}). Try again later.")
    if connection_failed(error):
        return HubFailure(
            f"{what}: the connection to the Hub failed ({_first_line(error)}). Check the network, and HF_ENDPOINT and "
            "HF_HUB_OFFLINE if they are set; then run the same command again."
        )
    return error


_MISSING = (RevisionNotFoundError, EntryNotFoundError, RepositoryNotFoundError)
_REFUSALS = {
    400: "the Hub refuses the request.",
    401: "the Hub refuses the token. Log in again (hf auth login), or set HF_TOKEN to a valid one.",
    403: "the token has no right to do this. Use a token with write access, or a name of your own.",
    409: "the Hub is busy with another change of this repository. Run the same command again.",
    412: "somebody else has pushed in the meantime. Look at what they did, then run the same command again.",
}


def _missing(error: Exception) -> str:
    if isinstance(error, RevisionNotFoundError):
        return "there is no such branch, tag or commit."
    if isinstance(error, EntryNotFoundError):
        return f"a file is missing there ({_first_line(error)})."
    if isinstance(error, RepositoryNotFoundError):
        return (
            "there is no such repository, or it is private and you are not logged in as somebody who may see it "
            "(hf auth login, or HF_TOKEN)."
        )
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return scrub(lines[0])[:300].rstrip(".") if lines else type(error).__name__


def listing(repository: Repository) -> Listing | None:
    """What a repository holds; None where there is no such repository or branch.

    Raises:
        BadInput: The token is refused.
        HubFailure: No connection.
    """
    api = HfApi()
    with told_plainly(f"looking at {repository}"):
        try:
            info = api.repo_info(repository.id, revision=repository.revision)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return None
        entries = api.list_repo_tree(repository.id, recursive=True, revision=info.sha)
        files = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
    return Listing(str(info.sha), bool(info.private), files)


def fetch(repository: Repository, skip: Sequence[str] = ()) -> tuple[Path, str]:
    """Downloads a repository into the Hub's cache, after a look at the names of its files.

    Args:
        repository: At which revision.
        skip: Paths that are not needed.

    Returns:
        The folder, and the commit that it holds.

    Raises:
        BadInput: No such repository or revision; a path that leaves the folder, or a pickle.
        HubFailure: No connection.
    """
    api = HfApi()
    with told_plainly(f"downloading {repository}"):
        info = api.repo_info(repository.id, revision=repository.revision)
        entries = api.list_repo_tree(repository.id, recursive=True, revision=info.sha)
        paths = [entry.path for entry in entries if isinstance(entry, RepoFile)]
        check_paths(str(repository), paths)
        folder = None
        for path in (path for path in paths if path not in skip):
            local = hf_hub_download(repository.id, path, revision=info.sha)
            folder = Path(local).parents[path.count("/")]
    if folder is None:
        raise BadInput(f"{repository}: the repository is empty.")
    return folder, str(info.sha)


def fetch_policy(name: str) -> Policy:
    """The policy of a repository: its policy.json alone.

    Args:
        name: ``user/name`` or ``user/name@revision``.

    Raises:
        BadInput: No such repository, revision or file, no policy in it, or no connection.
    """
    repository = Repository.parse(name)
    try:
        with told_plainly("reading it"):
            path = hf_hub_download(repository.id, POLICY, revision=repository.revision)
        return Policy.load(path)
    except (BadInput, HubFailure) as error:
        raise BadInput(f"{POLICY} of hf-hub:{repository}: {error}") from error


def same_content(file: RepoFile, path: Path) -> bool:
    """Whether a file of a repository and a local one are equal, by their hashes."""
    content = path.read_bytes()
    if file.lfs is not None:
        return bool(file.lfs.sha256 == hashlib.sha256(content).hexdigest())
    return bool(file.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())
