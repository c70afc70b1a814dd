"""What comes from strangers and goes to them: text that stays text, recipes without code, answers that are no Hub's."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
import yaml
from huggingface_hub import constants

import daas
from daas.answers import HubFailure
from daas.errors import BadInput
from daas.hub import export, pull, push, verify
from daas.huggingface import local_name
from daas.models.config import outline
from daas.train.command_line import parse
from tests.hub.server import Hub

REPO = "ada/small"
HOSTILE = "<script>x</script>`a`\x1b[31m[b](http://evil.example)"


@pytest.fixture
def loaded(hub: Hub, exported: Path) -> Hub:
    """A Hub with the repository on it."""
    push(exported, REPO)
    return hub


def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_what_was_verified_is_there_without_a_network(
    loaded: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verify(REPO).notes == []
    _offline(monkeypatch)
    report = verify(REPO)
    assert report.faults == []
    assert "This is the copy from the last time" in report.notes[-1]
    assert pull(REPO, tmp_path / "back").faults == []
    assert daas.DAASPolicy.load(f"hf-hub:{REPO}").policy.name == "chance"
    timm.create_model(f"hf-hub:{REPO}", pretrained=True)
    with pytest.raises(HubFailure, match="cannot be reached"):
        verify("ada/other")


def test_the_beginning_of_a_commits_hash_is_recognised(loaded: Hub) -> None:
    head = loaded.repositories[REPO]
    first = head.branches["main"]
    assert verify(f"{REPO}@{first[:7]}").where == f"{REPO}@{first}"
    head.commit("main", {**head.files(), "more.md": b"more"}, "more")
    wrong = "0000000" if not first.startswith("0000000") else "1111111"
    with pytest.raises(BadInput, match=r"beginning of a commit's hash; the Hub knows commits by all 40 digits"):
        verify(f"{REPO}@{wrong}")


def test_a_model_is_of_one_commit_and_nothing_else_of_it_is_fetched(loaded: Hub) -> None:
    head = loaded.repositories[REPO]
    head.commit("main", {**head.files(), "pytorch_model.bin": b"\x80\x02.", "evil.py": b"1"}, "more")
    asked = len(loaded.requests)
    folder = Path(local_name(f"hf-hub:{REPO}").removeprefix("local-dir:"))
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    files = [request for request in loaded.requests[asked:] if "/resolve/" in request]
    assert all(f"/resolve/{head.branches['main']}/" in request for request in files)
    outline(folder)
    without = {name: content for name, content in head.files().items() if name != "model.safetensors"}
    head.commit("pickled", without, "no safetensors")
    with pytest.raises(BadInput, match=r"a file is missing there \(model.safetensors\)"):
        local_name(f"hf-hub:{REPO}@pickled")


def test_a_folder_of_pickled_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r"has no model.safetensors.*convert them to safetensors"):
        local_name(f"local-dir:{tmp_path}")


@pytest.fixture
def portal() -> Iterator[str]:
    """The address of what answers every request with a page to log in on."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = b"<!DOCTYPE html><html>Welcome to the hotel</html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_HEAD = do_POST = do_GET  # noqa: N815  # names that the base class looks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_log_in_page_is_no_answer_of_the_hub(
    loaded: Hub, portal: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", portal)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    for go in (lambda: verify(REPO), lambda: pull(REPO, tmp_path / "back"), lambda: push(exported, REPO)):
        with pytest.raises(HubFailure, match=r"what answered is not the Hub: perhaps the log-in page"):
            go()
    with pytest.raises(BadInput, match="what answered is not the Hub"):
        daas.DAASPolicy.load(f"hf-hub:{REPO}")


def test_a_recipe_that_imports_is_refused(edited: Callable[[str, str, str], Path], exported: Path) -> None:
    first = (exported / "recipe.yaml").read_text().splitlines()[0]
    folder = edited("recipe.yaml", first, f"device_modules: [evil]\n{first}")
    assert any("device_modules names code to import" in fault for fault in verify(folder).faults)
    with pytest.raises(BadInput, match="device_modules names code to import"):
        parse(["--config", str(folder / "recipe.yaml")])


def test_a_recipe_works_from_anywhere(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = parse(["--config", str(exported / "recipe.yaml")])
    assert options.aa == f"daas:{exported / 'policy.json'}"
    assert options.model_kwargs["genotype"] == str(exported / "genotype.json")
    card = (exported / "README.md").read_text()
    assert f"daas train --config {exported.name}/recipe.yaml" in card
    assert "in this folder" not in card


def test_strangers_text_stays_text(run_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for path in run_folder.iterdir():
        if path.is_file():
            (run / path.name).write_bytes(path.read_bytes())
    result = json.loads((run / "result.json").read_text())
    result["class_names"][0] = result["policy"]["name"] = HOSTILE
    result["policy"]["source"] = "daas search, /home/ada/secret/photos, seed 1"
    result["data"]["name"] = "/home/ada/secret/photos"
    (run / "result.json").write_text(json.dumps(result))
    options = yaml.safe_load((run / "args.yaml").read_text())
    options["log_note"] = "```\n# Title\n"
    options["class_map"] = "/home/ada/secret/map.txt"
    (run / "args.yaml").write_text(yaml.safe_dump(options))
    folder = export(run, tmp_path / "out")
    card = (folder / "README.md").read_text()
    assert "\x1b" not in card
    assert "<script>" not in card
    assert not re.search(r"(?<!\\)\]\(http://evil", re.sub(r"`[^`\n]*`", "", card))  # a link inside code is none
    for name in ("README.md", "recipe.yaml", "policy.json"):
        assert "/home/ada" not in (folder / name).read_text()
        assert "secret" not in (folder / name).read_text()
    assert verify(folder).faults == []
    assert str(verify(folder)).replace("\n", "").isprintable()


def test_nothing_of_another_model_is_inherited(exported: Path) -> None:
    cfg = json.loads((exported / "config.json").read_text())["pretrained_cfg"]
    assert set(cfg) <= {
        "num_classes", "first_conv", "classifier", "fixed_input_size", "min_input_size", "input_size", "mean", "std",
        "interpolation", "crop_pct", "crop_mode", "license", "custom_load",
    }  # fmt: skip
    model = timm.create_model(f"local-dir:{exported}", pretrained=True)
    for test in (False, True):
        config = timm.data.resolve_data_config(model=model, use_test_size=test)
        assert list(config["input_size"]) == cfg["input_size"]
    assert len(model.pretrained_cfg["label_names"]) == 10


@pytest.mark.parametrize(
    ("name", "value"), [("channels", 4000), ("layers", 10**9), ("num_classes", 10**9), ("in_chans", 10**7)]
)
def test_a_network_is_built_no_further_than_its_weights_reach(repository: Path, name: str, value: int) -> None:
    config = json.loads((repository / "config.json").read_text())
    config["model_args"][name] = value
    (repository / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=r"many more parameters|are built|cannot|timm can build|Make them agree"):
        outline(repository)


def test_what_a_desktop_leaves_behind_is_not_pushed(loaded: Hub, repository: Path) -> None:
    (repository / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    report = verify(repository)
    assert report.faults == []
    assert "left out, as a desktop leaves it behind: .DS_Store" in report.notes
    push(repository, REPO, force=True)
    assert ".DS_Store" not in loaded.repositories[REPO].files()
