"""Pushing to a Hub on the loopback: one commit or nothing, and nothing written over unasked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from daas.errors import BadInput
from daas.hub import HubFailure, push, verify
from daas.repository import files_of
from tests.hub.server import TOKEN, Hub, sha256

REPO = "ada/small"


def pushed(hub: Hub, revision: str = "main") -> dict[str, bytes]:
    return {k: v for k, v in hub.repositories[REPO].files(revision).items() if k != ".gitattributes"}


def titles(hub: Hub) -> list[str]:
    return hub.repositories[REPO].titles[1:]  # the first is the Hub's own


def dated(folder: Path, written: str) -> Path:
    path = folder / "verification.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "written": written}))
    return folder


def test_a_new_repository_is_the_folder_in_one_commit(hub: Hub, repository: Path) -> None:
    done = push(repository, REPO)
    assert done.new
    assert titles(hub) == ["Upload small"]
    assert done.commit == hub.repositories[REPO].branches["main"]
    there = pushed(hub)
    assert sorted(there) == sorted(done.sent) == files_of(repository)
    own = {"README.md", "verification.json"}  # the card gets the repository's name, and so another checksum
    assert all(there[name] == (repository / name).read_bytes() for name in there if name not in own)
    assert b'"hf-hub:ada/small"' in there["README.md"]
    assert b"verify ada/small" in there["README.md"]
    assert b"USER/NAME" not in there["README.md"]
    assert b"USER/NAME" in (repository / "README.md").read_bytes()


def test_a_run_folder_is_exported_and_pushed(hub: Hub, run_folder: Path, repository: Path) -> None:
    push(run_folder, REPO)
    assert set(pushed(hub)) == set(files_of(repository))
    assert verify(REPO).faults == []


def test_pushing_again_sends_only_what_changed(hub: Hub, repository: Path) -> None:
    first = push(repository, REPO)
    again = push(repository, REPO)
    assert (again.sent, again.commit, len(titles(hub))) == ({}, first.commit, 1)
    (repository / "README.md").write_text((repository / "README.md").read_text() + "\nMore.\n")
    second = push(repository, REPO, message="More")
    assert set(second.sent) == {"README.md", "verification.json"}
    assert titles(hub) == ["Upload small", "More"]
    assert len([request for request in hub.requests if request.startswith("PUT")]) == 2  # weights and picture, once


def test_files_that_are_gone_are_deleted_in_the_same_commit(hub: Hub, repository: Path) -> None:
    push(repository, REPO)
    head = hub.repositories[REPO]
    head.commit("main", {**head.files(), "old.txt": b"old"}, "by hand")
    done = push(repository, REPO, force=True)
    assert done.deleted == ["old.txt"]
    assert "old.txt" not in pushed(hub)
    assert verify(REPO).faults == []


def test_private(hub: Hub, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert push(repository, REPO, private=True).private
    assert hub.repositories[REPO].private
    assert push(repository, REPO).private
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(BadInput, match="private and you are not logged in"):
        verify(REPO)


def test_private_does_not_hide_what_is_public(hub: Hub, repository: Path) -> None:
    push(repository, REPO)
    with pytest.raises(BadInput, match="exists and is public"):
        push(repository, REPO, private=True)


def test_a_branch_starts_from_main_and_leaves_it_alone(hub: Hub, repository: Path) -> None:
    push(repository, REPO)
    before = pushed(hub)
    (repository / "README.md").write_text((repository / "README.md").read_text() + "\nMore.\n")
    done = push(repository, f"{REPO}@next")
    assert set(done.sent) == {"README.md", "verification.json"}
    assert pushed(hub) == before
    assert b"More." in pushed(hub, "next")["README.md"]
    assert push(repository, f"{REPO}@next").sent == {}


def test_a_commit_is_no_place_to_push_to(hub: Hub, repository: Path) -> None:
    commit = push(repository, REPO).commit
    with pytest.raises(BadInput, match="push to a branch"):
        push(repository, f"{REPO}@{commit}")


@pytest.mark.parametrize(
    ("token", "message"),
    [("hf_" + "W" * 34, "refuses the token.*hf auth login"), (None, "nobody is logged in"),
     ("hf_WW\u2026", "the token holds '\u2026', which no token does. Copy it again")],
)  # fmt: skip
def test_a_wrong_or_missing_token(
    hub: Hub, repository: Path, monkeypatch: pytest.MonkeyPatch, token: str | None, message: str
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    else:
        monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(BadInput, match=message) as caught:
        push(repository, REPO)
    assert hub.repositories == {}
    assert token is None or token not in str(caught.value)


def test_another_persons_name(hub: Hub, repository: Path) -> None:
    with pytest.raises(BadInput, match="the Hub does not allow this"):
        push(repository, "grace/small")
    assert hub.repositories == {}


@pytest.mark.parametrize("stage", ["object", "commit"])
def test_a_connection_that_keeps_breaking_publishes_nothing(
    hub: Hub, repository: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr("daas.hub.pushing.WAITS", (0.0, 0.0))
    hub.cut[stage] = 1000
    with pytest.raises(HubFailure, match="nothing was published"):
        push(repository, REPO)
    assert hub.cut[stage] < 1000
    assert pushed(hub) == {}
    hub.cut.clear()
    push(repository, REPO)
    assert titles(hub) == ["Upload small"]
    assert verify(REPO).faults == []


def test_an_update_that_breaks_leaves_the_old_version_whole(
    hub: Hub, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(repository, REPO)
    before = pushed(hub)
    monkeypatch.setattr("daas.hub.pushing.WAITS", ())
    (repository / "README.md").write_text((repository / "README.md").read_text() + "\nMore.\n")
    hub.cut["commit"] = 1000
    with pytest.raises(HubFailure, match="nothing was published"):
        push(repository, REPO)
    assert pushed(hub) == before
    assert verify(REPO).faults == []


@pytest.mark.parametrize("stage", ["object", "commit", "answer"])
def test_a_connection_that_breaks_once_is_tried_again(
    hub: Hub, repository: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr("daas.hub.pushing.WAITS", (0.0,))
    hub.cut[stage] = 1
    done = push(repository, REPO)
    assert hub.cut[stage] == 0
    assert titles(hub) == ["Upload small"]  # also where only the confirmation was lost: not a second one
    assert done.commit == hub.repositories[REPO].branches["main"]
    assert set(pushed(hub)) == set(files_of(repository))


def test_no_server_is_a_clear_error(hub: Hub, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubFailure, match=r"connection to the Hub failed.*HF_ENDPOINT"):
        push(repository, REPO)


def test_a_dry_run_sends_nothing(hub: Hub, repository: Path) -> None:
    done = push(repository, REPO, dry_run=True)
    assert done.commit is None
    assert set(done.sent) == set(files_of(repository))
    assert "would send model.safetensors" in str(done)
    assert hub.repositories == {}
    push(repository, REPO)
    asked = len(hub.requests)
    assert push(repository, REPO, dry_run=True).sent == {}
    assert all(request.startswith(("GET", "HEAD")) for request in hub.requests[asked:])


def test_newer_weights_are_not_written_over_unasked(hub: Hub, repository: Path, tmp_path: Path) -> None:
    push(dated(Path(shutil.copytree(repository, tmp_path / "later")), "2999-01-01T00:00:00+00:00"), REPO)
    before = pushed(hub)
    with pytest.raises(BadInput, match=r"newer.*--force"):
        push(repository, REPO)
    assert pushed(hub) == before
    done = push(repository, REPO, force=True)
    assert any("newer" in warning for warning in done.warnings)
    assert pushed(hub) != before


@pytest.mark.parametrize("name", ["README.md", "model.safetensors"])
def test_changes_made_on_the_hub_are_not_written_over_unasked(hub: Hub, repository: Path, name: str) -> None:
    push(repository, REPO)
    head = hub.repositories[REPO]
    head.commit("main", {**head.files(), name: head.files()[name] + b"x"}, "by hand")
    with pytest.raises(BadInput, match=f"changed there since it was pushed: {name}"):
        push(repository, REPO)
    assert titles(hub) == ["Upload small", "by hand"]


def test_repositories_made_otherwise_are_not_written_over_unasked(hub: Hub, repository: Path) -> None:
    push(repository, REPO)
    hub.repositories[REPO].commit("main", {"pytorch_model.bin": b"\x80\x02"}, "another tool")
    with pytest.raises(BadInput, match=r"did not come from here, for example pytorch_model\.bin"):
        push(repository, REPO)
    push(repository, REPO, force=True)
    assert "pytorch_model.bin" not in pushed(hub)
    head = hub.repositories[REPO]
    head.commit("main", {**head.files(), "pytorch_model.bin": b"\x80\x02"}, "another tool")
    with pytest.raises(BadInput, match=r"it is faulty.*pickle by its name"):
        push(repository, REPO)
    push(repository, REPO, force=True)
    assert "pytorch_model.bin" not in pushed(hub)


def test_somebody_elses_push_in_between_is_noticed(hub: Hub, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(repository, REPO)
    (repository / "README.md").write_text((repository / "README.md").read_text() + "\nMore.\n")
    from daas.hub.pushing import _commit

    def late(*arguments: object) -> str:
        head = hub.repositories[REPO]
        head.commit("main", {**head.files(), "notes.txt": b"!"}, "somebody else")
        return _commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("daas.hub.pushing._commit", late)
    with pytest.raises(BadInput, match="somebody else has pushed in the meantime"):
        push(repository, REPO)
    assert titles(hub) == ["Upload small", "somebody else"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "not the file that was exported"),
        (lambda folder: (folder / "weights.pt").write_bytes(b"\x80\x02"), "a pickle by its name"),
        (lambda folder: (folder / "policy.json").unlink(), "gone since the export: policy.json"),
        (lambda folder: (folder / "README.md").write_text("---\nlicense: mit\n---\n# x\n"), "lacks the section"),
        (lambda folder: shutil.rmtree(folder), "no such folder"),
    ],
)
def test_a_faulty_folder_is_not_sent(hub: Hub, repository: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(repository)
    with pytest.raises(BadInput, match=message):
        push(repository, REPO)
    assert hub.repositories == {}


def test_no_token_is_ever_sent_to_the_store_or_kept(hub: Hub, repository: Path) -> None:
    push(repository, REPO)
    assert all(TOKEN.encode() not in content for content in pushed(hub).values())
    assert sha256(pushed(hub)["model.safetensors"]) in hub.objects
