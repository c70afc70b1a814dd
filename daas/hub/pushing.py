"""A repository folder -> one commit on the Hub: all of it, or nothing."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.hf_api import RepoSibling

from daas.answers import HubFailure, connection_failed, told_plainly
from daas.errors import BadInput, plain
from daas.files import copy, make_folder, sha256, write_text
from daas.hub.card import complete, for_repository
from daas.hub.exporting import export
from daas.hub.listing import Listing, listing, same_content
from daas.hub.verification import Verification, checksums
from daas.hub.verifying import verify_folder
from daas.huggingface import Repository, fetch
from daas.reading import read_text
from daas.repository import CARD, CONFIG, HUBS_OWN, VERIFICATION, files_of
from daas.train.output import RESULT

WAITS = (1.0, 4.0, 10.0)
"""Seconds before a commit whose connection broke is tried again."""


@dataclass
class Pushed:
    """What a push did, or with ``dry_run`` would do.

    Attributes:
        repository: Where to.
        new: Whether the repository did not exist.
        private: Whether others cannot see it.
        sent: Paths of new and changed files, and their sizes in bytes.
        same: Paths that are there already as they are.
        deleted: Paths that the repository had and the folder has not.
        warnings: What was written over because of ``force``.
        commit: Its hash; None for a dry run.
    """

    repository: Repository
    new: bool
    private: bool
    sent: dict[str, int] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    commit: str | None = None

    def __str__(self) -> str:
        kind = f"{'new ' if self.new else ''}{'private' if self.private else 'public'} repository"
        lines = [f"{self.repository} ({kind})"]
        lines += [f"  {'would send' if self.commit is None else 'sent':<11}{p}  {n:,} B" for p, n in self.sent.items()]
        lines += [f"  unchanged  {path}" for path in self.same] + [f"  deleted    {path}" for path in self.deleted]
        lines += [f"  note: {warning}" for warning in self.warnings]
        if self.commit is None:
            return plain("\n".join([*lines, "Dry run: nothing was sent."]), keep="\n")
        pinned = f'timm.create_model("hf-hub:{self.repository.id}@{self.commit}", pretrained=True)'
        return plain("\n".join([*lines, f"Commit {self.commit}. After import daas: {pinned}"]), keep="\n")


def push(
    source: str | Path,
    repository: str,
    private: bool = False,
    force: bool = False,
    dry_run: bool = False,
    message: str | None = None,
) -> Pushed:
    """Makes a repository equal to a folder, in one commit.

    Args:
        source: A repository folder, or a run folder, which is exported first.
        repository: ``user/name``, or ``user/name@branch``; made if it is not there.
        private: Of a new repository.
        force: Write over weights that are newer, changes made on the Hub, and repositories that were made otherwise.
        dry_run: Only say what would happen.
        message: Of the commit.

    Raises:
        BadInput: A faulty folder, no or a wrong token, no right to write, or something there that ``force`` is for.
        HubFailure: No connection, or one that kept breaking off; nothing was published.
    """
    target = Repository.parse(repository)
    if target.revision is not None and re.fullmatch(r"[0-9a-f]{40}", target.revision):
        raise BadInput(f"{target}: a commit cannot be changed; push to a branch (user/name@branch), or to user/name.")
    with _staged(Path(source), target) as folder:
        _log_in(target, dry_run)
        there = listing(target)
        exists = there or (listing(Repository(target.id)) if target.revision else None)  # a new branch starts from main
        if exists is not None and private and not exists.private:
            raise BadInput(
                f"{target.id} exists and is public; --private is for new repositories. Make it private in its settings "
                "on the Hub, or leave the option out."
            )
        done = Pushed(target, exists is None, private if exists is None else exists.private)
        if there is not None:
            done.warnings = _overwritten(target, there, Verification.load(folder).written)
            if done.warnings and not force:
                raise BadInput(
                    f"{target} is not written over: {'; '.join(done.warnings)}. If that is meant, add --force."
                )
        _plan(done, folder, {} if exists is None else exists.files)
        if not dry_run:
            done.commit = _publish(done, folder, there, message or f"Upload {Path(source).resolve().name}")
    return done


@contextmanager
def _staged(source: Path, target: Repository) -> Iterator[Path]:
    """A checked copy of what is to be sent, with the repository's name on the card."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / target.id.split("/")[1]
        if os.path.isfile(source / RESULT) and not os.path.isfile(source / CONFIG):
            export(source, folder)
        else:
            report = verify_folder(source)
            if report.faults:
                raise BadInput(f"{source} is not sent, it is faulty: {'; '.join(report.faults)}.")
            for name in files_of(source):
                make_folder((folder / name).parent)
                copy(source / name, folder / name)
        path = folder / CARD
        text = for_repository(read_text(path, "card"), target.id)
        write_text(path, text)
        lacks = complete(text)
        if lacks:
            raise BadInput(f"{source}: {CARD} lacks {', '.join(lacks)}. Put it back, or export again.")
        written = Verification.load(folder)
        replace(written, files={**written.files, CARD: sha256(path)}).save(folder)
        yield folder


def _log_in(target: Repository, dry_run: bool) -> None:
    """Makes sure that the token is good, before anything is sent."""
    if get_token() is None:
        if dry_run:
            return
        raise BadInput(
            "nobody is logged in to the Hub. Log in (hf auth login), or set HF_TOKEN to a token that may write."
        )
    with told_plainly(f"logging in for {target.id}"):
        HfApi().whoami()


def _overwritten(target: Repository, there: Listing, ours: str) -> list[str]:
    """What would be lost: nothing, if the repository holds an older export as it was pushed."""
    names = [name for name in there.files if name != HUBS_OWN]
    if not names:
        return []
    if VERIFICATION not in there.files:
        return [f"it holds {len(names)} file(s) that did not come from here, for example {names[0]}"]
    at = Repository(target.id, there.commit)
    large = [name for name, file in there.files.items() if file.lfs is not None]
    try:
        folder = fetch(at, skip=large).folder
        theirs = Verification.load(folder)
    except BadInput as error:
        return [f"it is faulty: {error}"]
    found = []
    if theirs.written > ours:
        found.append(f"its weights are newer ({theirs.written}) than these ({ours})")
    now = {name: hash_ for name, hash_ in checksums(folder).items() if name in there.files and name not in large}
    now |= {name: _large_hash(there.files[name]) for name in large}
    edited = sorted(name for name in now.keys() | theirs.files.keys() if now.get(name) != theirs.files.get(name))
    if edited:
        found.append(f"changed there since it was pushed: {', '.join(edited)}")
    return found


def _large_hash(file: RepoSibling) -> str:
    return "" if file.lfs is None else str(file.lfs.sha256)


def _plan(done: Pushed, folder: Path, there: dict[str, RepoSibling]) -> None:
    names = files_of(folder)
    for name in names:
        if name in there and same_content(there[name], folder / name):
            done.same.append(name)
        else:
            done.sent[name] = (folder / name).stat().st_size
    done.deleted = [name for name in there if name not in names and name != HUBS_OWN]


def _publish(done: Pushed, folder: Path, there: Listing | None, message: str) -> str:
    """Makes the repository and the branch if need be, and the commit: its hash."""
    api, target = HfApi(), done.repository
    with told_plainly(f"making {target}"):
        if done.new:
            api.create_repo(target.id, private=done.private)
        if target.revision is not None and there is None:
            api.create_branch(target.id, branch=target.revision, exist_ok=True)
    there = there or listing(target)
    if there is None:
        raise HubFailure(f"{target} was made and cannot be seen; run the same command again.")
    if not done.sent and not done.deleted:
        return there.commit
    for wait in (*WAITS, None):
        with told_plainly(f"sending to {target}"):
            try:
                return _commit(api, done, folder, there.commit, message)
            except Exception as error:  # all but a failed connection goes on up; that is tried again
                if not connection_failed(error):
                    raise
                failure = error
        time.sleep(wait or 0.0)
        now = _seen(target)  # the commit may have been made, and only its confirmation lost
        if now is not None and now.commit != there.commit and _equal(folder, now):
            return now.commit
    state = "nothing was published" if now is not None else "it cannot be seen whether anything was published"
    with told_plainly(f"sending to {target}, {len(WAITS) + 1} times; {state}"):
        raise failure


def _seen(target: Repository) -> Listing | None:
    try:
        return listing(target)
    except HubFailure:
        return None


def _commit(api: HfApi, done: Pushed, folder: Path, parent: str, message: str) -> str:
    # Not HfApi.upload_folder: with hf_xet it may make several commits of one folder
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in done.sent
    ]
    operations += [CommitOperationDelete(path_in_repo=name, is_folder=False) for name in done.deleted]
    made = api.create_commit(
        done.repository.id, operations, commit_message=message, revision=done.repository.revision, parent_commit=parent
    )
    return str(made.oid)


def _equal(folder: Path, there: Listing) -> bool:
    names = set(files_of(folder))
    return names == set(there.files) - {HUBS_OWN} and all(same_content(there.files[n], folder / n) for n in names)
