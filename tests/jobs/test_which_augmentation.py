"""Which augmentation is safe for my photographs, which is best, by how much, how sure: screen, search, race, train."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from daas.__main__ import main
from daas.shell import typed
from tests.jobs.conftest import SAME, SIDED, photographs

SMALL = ("--image-size", "16", "--device", "cpu")


@pytest.mark.parametrize(("classes", "flip"), [(SIDED, 0.0), (SAME, 0.5)])
def test_from_photographs_to_a_trained_network(
    classes: tuple[str, str],
    flip: float,
    places_network: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    photographs(Path("photos"), classes, 150, seed=1)
    photographs(Path("test_photos"), classes, 20, seed=2)
    of_all = ["--data-dir", "photos", "--model", places_network, *SMALL]

    tried = ["--operations", "HFlip", "Posterize", "Brightness", "Contrast", "Color"]
    assert main(["screen", *of_all, *tried, "--epochs", "12", "--batch-size", "25", "--out", "screen"]) == 0
    said = capsys.readouterr().out
    seen = {one["op"]: one for one in json.loads(Path("screen/screen.json").read_text())["operations"]}
    assert (seen["HFlip"]["verdict"] == "changes the label") == (flip == 0.0)
    assert f"--hflip {flip:g}" in said
    assert ("left <-> right" in said) == (flip == 0.0)

    alone = ["--no-screen", "--race", "0", "--max-steps", "4", "--batch-size", "25"]
    assert main(["search", "--mode", "aug", *of_all, *alone, "--out", "search"]) == 0
    said = capsys.readouterr().out
    assert "guessing gives 50.0%" in said
    command = json.loads(Path("search/summary.json").read_text())["options"]
    assert command["model"] == places_network

    candidates = ["none", "screen/policy.json", "search/policy.json"]
    race = ["--candidates", *candidates, "--screen", "screen", "--trainings", "6", "--epochs", "6", "--folds", "2"]
    assert main(["race", *of_all, *race, "--batch-size", "25", "--workers", "1", "--out", "race"]) == 0
    said = capsys.readouterr().out
    result = json.loads(Path("race/race.json").read_text())
    assert {one["hflip"] for one in result["candidates"]} == ({0.0, 0.5} if flip == 0.0 else {0.5})
    assert result["chosen"]["hflip"] == flip or result["chosen"].get("hflip_swap") == ["left:right"]
    assert all(one["accuracy"] is not None for one in result["candidates"] if one["runs"])
    assert "Chosen: " in said

    command = next(line for line in said.splitlines() if line.startswith("Train it: ")).removeprefix("Train it: ")
    words = shlex.split(command.replace("YOUR_TEST_PHOTOS", "test_photos"))
    verb = len(shlex.split(typed("daas train")))
    assert words[:verb] == shlex.split(typed("daas train"))
    assert main(["train", *words[verb:], "--device", "cpu", "--experiment", "won"]) == 0
    assert "top-1 100.00%" in capsys.readouterr().out
    assert Path("output/train/won/model_best.safetensors").is_file()
