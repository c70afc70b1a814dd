import json
from pathlib import Path

import pytest

from daas.race.__main__ import main
from daas.search.report.commands import HELD_OUT_PHOTOS
from tests.conftest import saved_network, write_folder
from tests.race.test_race import ramps

SHORT = ["--candidates", "none", "--trainings", "4", "--folds", "2", "--batch-size", "20", "--workers", "1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images", *ramps(), ("left", "right"))


def test_a_race_from_the_command_line(
    folder: Path, small_convnet: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    (folder / "left" / "lost.dng").write_bytes(b"raw")
    (folder / "left" / "broken.png").write_bytes(b"no picture")
    words = [
        "--data-dir",
        str(folder),
        "--model",
        small_convnet,
        "--epochs",
        "8",
        "--image-size",
        "8",
        "--skip-bad-images",
        "--out",
        str(out),
        *SHORT,
    ]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "\n\nChosen: none, no flip" in told.out
    assert f"--data-dir {folder}" in told.out
    assert "--hflip 0.0" in told.out
    assert "images that nothing has seen" in told.out
    assert "Warning: images: 1 file was not read: 1 .dng." in told.err
    assert "Warning: 1 image could not be read and was left out." in told.err
    assert "1 file was not read" in (out / "race.html").read_text()
    written = json.loads((out / "race.json").read_text())
    assert written["chosen"]["hflip"] == 0.0
    assert written["images"]["unread"] == {".dng": 1}
    assert told.out.startswith("Race: 2 candidates, at most 4 trainings of 8 epochs on ")
    assert " images of images, 1 at a time." in told.out
    first, *_, last = (line for line in told.err.splitlines() if line.startswith("training "))
    assert first.endswith(" s left")
    assert last.startswith("training 4 of at most 4: ")
    assert " left" not in last
    assert main(words) == 2
    assert "--resume or --join" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert "training" not in capsys.readouterr().err


def test_the_winner_trains_by_the_printed_command(folder: Path, small_convnet: str, tmp_path: Path):
    import shlex

    import daas.race
    from daas.train.__main__ import main as train

    found = daas.race(
        folder, ["randaugment,hflip=0", "randaugment,hflip=0,smoothing=0.1"], network=small_convnet, trainings=2,
        folds=2, epochs=1, batch_size=20, image_size=8, out=tmp_path / "out",
    )  # fmt: skip
    words = shlex.split(found.command(tmp_path / "out"))[2:]
    others = write_folder(tmp_path / "others", *ramps(20), ("left", "right"))
    words[words.index(HELD_OUT_PHOTOS)] = str(others)
    assert train([*words, "--output", str(tmp_path / "trained"), "--device", "cpu"]) == 0


def test_the_printed_command_names_the_weights(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    _, saved = saved_network(tmp_path / "saved", classes=2)
    words = ["--data-dir", str(folder), "--model", f"local-dir:{saved}", "--pretrained", "--epochs", "1"]
    assert main([*words, "--image-size", "8", "--out", str(tmp_path / "out"), *SHORT]) == 0
    said = capsys.readouterr().out
    assert f"--model local-dir:{saved} --pretrained" in said
    assert "--lr 0.02" in said


def test_workers_train_side_by_side(folder: Path, tmp_path: Path):
    out = tmp_path / "out"
    words = [
        "--data-dir",
        str(folder),
        "--model",
        "daas_cifar10_nano",
        "--epochs",
        "1",
        "--image-size",
        "8",
        "--out",
        str(out),
    ]
    assert main([*words, *SHORT[:-1], "2"]) == 0
    assert json.loads((out / "race.json").read_text())["trainings"] == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "No images"),
        (["--dataset", "digits", "--data-dir", "."], "two sets"),
        (["--dataset", "digits"], "--model"),
        (["--dataset", "digits", "--model", "nonet"], "no model nonet"),
        (["--dataset", "digits", "--model", "resnet18", "--genotype", "darts_v2"], "two networks"),
        (["--dataset", "digits", "--genotype", "nowhere"], "nowhere"),
        (["--dataset", "digits", "--model", "resnet18", "--workers", "0"], "workers is 0"),
        (["--dataset", "digits", "--model", "resnet18", "--time-budget", "soon"], "soon"),
        (["--dataset", "digits", "--model", "resnet18", "--join", "--out", "nowhere"], "no race in"),
        (["--dataset", "digits", "--model", "resnet18", "--trainigs", "3"], "--trainings"),
    ],
)
def test_bad_input_is_said_and_leaves_with_2(words: list[str], says: str, capsys: pytest.CaptureFixture[str]):
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert says in told.err


def test_interrupted_leaves_with_130(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("daas.race.api.race", stop)
    assert main(["--data-dir", str(folder), "--model", "resnet18"]) == 130
    assert "--resume" in capsys.readouterr().err
