"""A repository on the Hub -> a checked folder."""

from __future__ import annotations

from pathlib import Path

from daas.files import copy, make_folder
from daas.hub.contents import check_new, new_folder
from daas.hub.verifying import Report, fetched
from daas.huggingface import Repository
from daas.repository import files_of


def pull(repository: str, folder: str | Path) -> Report:
    """Downloads a repository, checks it, and writes it as a folder: whole, or not at all.

    Args:
        repository: ``user/name``, or ``user/name@revision``.
        folder: Where to; must not exist, or be empty.

    Returns:
        What the check found; with faults, nothing was written.

    Raises:
        BadInput: No such repository; a path that leaves the folder, or a pickle; a folder that holds something.
        HubFailure: No connection.
    """
    target, folder = Repository.parse(repository), Path(folder)
    check_new(folder)
    snapshot, report = fetched(target)
    if report.faults:
        return report
    with new_folder(folder) as inside:
        for name in files_of(snapshot):
            make_folder((inside / name).parent)
            copy(snapshot / name, inside / name)
    return report
