"""Names of repositories, secrets in messages, loading from a Hub on the loopback."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image

import daas
from daas.answers import scrub
from daas.errors import BadInput
from daas.hub import HubFailure, pull, push, verify
from daas.hub.verification import reference_input
from daas.huggingface import Repository
from daas.repository import files_of
from tests.hub.server import LIMIT, TOKEN, Hub, serve

REPO = "ada/small"


def batch() -> torch.Tensor:
    return reference_input((3, 32, 32), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def logits(name: str, **options: object) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = timm.create_model(name, pretrained=True, **options).eval()(batch())
    return result


@pytest.mark.parametrize("text", ["ada/small", "hf-hub:ada/small", "hf_hub:ada/small"])
def test_names(text: str) -> None:
    assert Repository.parse(text) == Repository("ada/small")
    assert Repository.parse(f"{text}@v1/x") == Repository("ada/small", "v1/x")
    assert str(Repository.parse(f"{text}@v1")) == "ada/small@v1"


@pytest.mark.parametrize("text", ["small", "a/b/c", "ada/", "ada/../x", "ada/small@", "ada/sm all", "-a/b", ""])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(BadInput, match="write user/name"):
        Repository.parse(text)


def test_messages_hold_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "my-own.secret")
    text = "my-own.secret, hf_abcDEF123, Bearer abc.def; http://u:pw@hub/x, https://s3/o?X-Amz-Signature=77 (end)"
    assert scrub("hf_hub:ada/small") == "hf_hub:ada/small"
    assert scrub(text) == "***, hf_***, Bearer *** http://***@hub/x, https://s3/o?*** (end)"


def test_a_token_that_may_not_be_read_hides_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError("token")

    monkeypatch.setattr("daas.answers.get_token", refuse)
    assert scrub("hf_abcDEF123 is no folder") == "hf_*** is no folder"


def test_timm_loads_the_same_logits_to_the_bit(hub: Hub, exported: Path) -> None:
    push(exported, REPO)
    assert torch.equal(logits(f"hf-hub:{REPO}"), logits(f"local-dir:{exported}"))


def test_timm_adapts_what_it_loads(hub: Hub, exported: Path) -> None:
    push(exported, REPO)
    assert logits(f"hf-hub:{REPO}", num_classes=3).shape == (2, 3)
    levels = timm.create_model(f"hf-hub:{REPO}", pretrained=True, features_only=True)(batch())
    assert len(levels) == 3


def test_a_pinned_revision_stays(hub: Hub, exported: Path, repository: Path) -> None:
    first = push(exported, REPO).commit
    old = logits(f"hf-hub:{REPO}@{first}")
    head = hub.repositories[REPO]
    other = dict(head.files())
    other["model.safetensors"] = (repository / "model.safetensors").read_bytes()[:-4] + b"\0\0\0\1"
    hub.objects.clear()
    second = head.commit("main", other, "other weights")
    assert torch.equal(logits(f"hf-hub:{REPO}@{first}"), old)
    assert not torch.equal(logits(f"hf-hub:{REPO}"), old)
    assert verify(f"{REPO}@{first}").faults == []
    assert "model.safetensors is not the file that was exported" in verify(f"{REPO}@{second}").faults[0]
    with pytest.raises(BadInput, match="no such branch, tag or commit"):
        verify(f"{REPO}@nothing")


def test_the_policy_comes_back(hub: Hub, exported: Path) -> None:
    commit = push(exported, REPO).commit
    mine = daas.Policy.load(exported / "policy.json")
    assert daas.DAASPolicy.load(f"hf-hub:{REPO}").policy == mine
    assert daas.DAASPolicy.load(f"hf-hub:{REPO}@{commit}", granularity="batch").policy == mine


def test_a_policy_that_is_not_there(hub: Hub, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(exported, REPO)
    hub.repositories[REPO].commit("bad", {"policy.json": b'{"format": "daas-policy/1"}'}, "bad")
    hub.repositories[REPO].commit("none", {"a.txt": b""}, "none")
    for name, message in (
        ("ada/nothing", "no such repository"), (f"{REPO}@none", "a file is missing"), (f"{REPO}@bad", "missing keys"),
        ("nothing", "write user/name"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=message):
            daas.DAASPolicy.load(f"hf-hub:{name}")
    monkeypatch.setenv("HF_TOKEN", "hf_" + "W" * 34)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(exported.parent / "empty"))
    with pytest.raises(BadInput, match="refuses the token") as caught:
        daas.DAASPolicy.load(f"hf-hub:{REPO}")
    assert "WWW" not in str(caught.value)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BadInput, match="connection to the Hub failed"):
        daas.DAASPolicy.load(f"hf-hub:{REPO}")


def test_a_gated_repository_is_told_from_one_that_is_not_there(hub: Hub, exported: Path, tmp_path: Path) -> None:
    push(exported, REPO)
    hub.repositories[REPO].gated = True
    for load in (lambda: daas.DAASPolicy.load(f"hf_hub:{REPO}"), lambda: pull(REPO, tmp_path / "pulled")):
        with pytest.raises(BadInput, match="gated: accept its conditions on its page"):
            load()


def test_a_damaged_copy_in_the_cache_is_said_to_be_one(hub: Hub, exported: Path, tmp_path: Path) -> None:
    """As of a disk that was full, or of a cache that was copied by hand."""
    push(exported, REPO)
    daas.DAASPolicy.load(f"hf-hub:{REPO}")
    path = next((tmp_path / "cache").rglob("policy.json")).resolve()
    path.write_bytes(path.read_bytes()[:100])
    place = tmp_path / "cache" / "models--ada--small"
    with pytest.raises(BadInput, match=f"no JSON.*downloaded again, remove {re.escape(str(place))}"):
        daas.DAASPolicy.load(f"hf-hub:{REPO}")
    for report in (verify(REPO), pull(REPO, tmp_path / "pulled")):
        assert "policy.json is not the file that was exported" in report.faults[0]
        assert report.notes[-1].endswith(f"To have it downloaded again, remove {place}.")
    shutil.rmtree(place)
    assert not verify(REPO).faults
    assert verify(REPO).notes == []


def test_the_code_on_the_card_runs(
    hub: Hub, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    push(exported, REPO)
    code = re.search(r"```python\n(.*?)```", hub.repositories[REPO].files()["README.md"].decode(), re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    Image.new("L", (40, 30), 200).save("image.png")
    names = {"images": torch.zeros(2, 3, 32, 32, dtype=torch.uint8)}
    exec(code[1], names)
    assert capsys.readouterr().out.strip() in {str(digit) for digit in range(10)}
    assert names["augmented"].shape == (2, 3, 32, 32)


def test_pull_gives_the_folder_back(hub: Hub, exported: Path, tmp_path: Path) -> None:
    push(exported, REPO)
    out = tmp_path / "back"
    assert pull(REPO, out).faults == []
    assert set(files_of(out)) == {*files_of(exported), ".gitattributes"}
    assert torch.equal(logits(f"local-dir:{out}"), logits(f"local-dir:{exported}"))
    assert push(out, REPO).sent == {}
    with pytest.raises(BadInput, match="nothing is written over"):
        pull(REPO, out)


def test_pull_writes_nothing_that_is_faulty(hub: Hub, exported: Path, tmp_path: Path) -> None:
    push(exported, REPO)
    head = hub.repositories[REPO]
    head.commit("main", {**head.files(), "policy.json": b"{}"}, "spoilt")
    assert pull(REPO, tmp_path / "back").faults != []
    assert not list(tmp_path.glob("back*"))


@pytest.mark.parametrize("path", ["../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", "..\\evil.txt", "C:/evil.txt"])
def test_a_path_that_leaves_the_folder_is_refused(hub: Hub, exported: Path, tmp_path: Path, path: str) -> None:
    push(exported, REPO)
    head = hub.repositories[REPO]
    head.commit("main", {**head.files(), path: b"evil"}, "evil")
    for load in (lambda: verify(REPO), lambda: pull(REPO, tmp_path / "back")):
        asked = len(hub.requests)
        with pytest.raises(BadInput, match="leaves the folder"):
            load()
        assert not [request for request in hub.requests[asked:] if "/resolve/" in request]  # nothing was downloaded
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_repository_with_a_pickle_is_refused(hub: Hub, exported: Path, tmp_path: Path) -> None:
    push(exported, REPO)
    head = hub.repositories[REPO]
    head.commit("main", {**head.files(), "pytorch_model.bin": b"\x80\x02."}, "pickle")
    with pytest.raises(BadInput, match=r"pickle by its name.*safetensors only"):
        verify(REPO)
    head.commit("main", {**head.files(), "pytorch_model.bin": b"", "notes.txt": b"\x80\x04."}, "hidden")
    head.commits[head.branches["main"]].pop("pytorch_model.bin")
    with pytest.raises(BadInput, match=r"notes.txt.*its content is a pickle"):
        pull(REPO, tmp_path / "back")


def test_a_repository_whose_genotype_has_the_wrong_shape_is_refused(hub: Hub, exported: Path) -> None:
    push(exported, REPO)
    head = hub.repositories[REPO]
    text = head.files()["genotype.json"].decode()
    spoilt = re.sub(r'"normal": \[.*?\n  \]', '"normal": [[["skip_connect", 9]]]', text, flags=re.DOTALL)
    assert spoilt != text
    head.commit("main", {**head.files(), "genotype.json": spoilt.encode()}, "spoilt")
    faults = verify(REPO).faults
    assert any("genotype.json: genotype, normal cell, node 2, edge 0: input 9" in fault for fault in faults)


def test_a_download_that_breaks_off_is_tried_again(hub: Hub, exported: Path) -> None:
    push(exported, REPO)
    hub.cut["download"] = 2
    assert verify(REPO).faults == []
    assert hub.cut["download"] == 0


def test_no_server_is_a_clear_error(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubFailure, match="connection to the Hub failed"):
        verify(REPO)


def test_the_server_of_these_tests_is_bounded() -> None:
    import urllib.error
    import urllib.request

    with serve() as hub:
        assert hub.url.startswith("http://127.0.0.1:")
        request = urllib.request.Request(f"{hub.url}/api/validate-yaml", data=b"", method="POST")
        request.add_header("Content-Length", str(LIMIT + 1))
        request.add_header("Authorization", f"Bearer {TOKEN}")
        with pytest.raises(urllib.error.HTTPError, match="413"):
            urllib.request.urlopen(request, timeout=5)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{hub.url}/api/whoami-v2", timeout=5)
