"""``daas augment``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import daas
from daas.augment import Policy, PolicySchedule, find_policy
from daas.augment.__main__ import main
from daas.augment.grid import grid, pictures
from daas.augment.importers import from_timm, from_torchvision


def test_list_names_every_shipped_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in daas.list_policies())
    assert "TrivialAugment, wide" in printed
    assert main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == daas.list_policies()
    assert rows[0]["operation_share"] == find_policy(rows[0]["name"]).operation_share()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["torchvision:svhn", "--image-size", "64"], from_torchvision("svhn", 64)),
        (["timm:v0", "--leave-out", "SolarizeAdd"], from_timm("v0", leave_out=["SolarizeAdd"])),
        (["randaugment"], find_policy("randaugment")),
    ],
)
def test_convert_writes_policy_files(
    arguments: list[str], expected: Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    assert main(["convert", *arguments, str(out)]) == 0
    assert Policy.load(out) == expected
    assert f"{len(expected.sub_policies)} sub-policies" in capsys.readouterr().out
    assert main(["convert", str(out), str(tmp_path / "again.json"), "--name", "mine"]) == 0
    assert Policy.load(tmp_path / "again.json").name == "mine"


def test_convert_writes_schedules_and_their_epochs(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(str(["1", "0", 3, 3, [0] * 60, [5] * 60]))
    schedule, one, late = tmp_path / "s.json", tmp_path / "one.json", tmp_path / "late.py"
    assert main(["convert", f"pba:{tmp_path / 'log.txt'}", "--epochs", "8", str(schedule)]) == 0
    loaded = PolicySchedule.load(schedule)
    assert (loaded.epochs, len(loaded.segments)) == (8, 2)
    assert main(["convert", str(schedule), "--epoch", "2", str(one)]) == 0
    assert Policy.load(one) == loaded.at(2)
    assert main(["convert", str(schedule), "--epoch", "7", "--to", "torchvision", str(late)]) == 0
    assert f"NAME = {loaded.at(7).name!r}" in late.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "no_such", "{tmp}/o.json"], "neither shipped nor a file. Shipped are autoaugment_cifar10"),
        (["convert", "timm:v0", "{tmp}/o.json"], "--leave-out SolarizeAdd"),
        (["convert", "randaugment", "{tmp}/o.txt"], "with --to daas the file ends with .json"),
        (["convert", "randaugment", "{tmp}/o.json", "--to", "torchvision"], "ends with .py"),
        (["convert", "randaugment", "{tmp}/there.json"], "there.json is there already; --force writes over it"),
        (["convert", "randaugment", "{tmp}/none/o.json"], "could not be written"),
        (["convert", "randaugment", "{tmp}/o.json", "--image-size", "3"], "--image-size belongs to a published format"),
        (["convert", "randaugment", "{tmp}/o.json", "--epoch", "3"], "is one policy for all epochs"),
        (
            ["convert", "{tmp}/s.json", "{tmp}/o.py", "--to", "torchvision"],
            "a schedule of 8 epochs; say with --epoch N",
        ),
        (["convert", "{tmp}/s.json", "{tmp}/o.json", "--epoch", "8"], "there is no epoch 8"),
        (["show", "randaugment", "--images", "{tmp}/none", "--out", "{tmp}/o.png"], "no such folder"),
        (["show", "randaugment", "--images", "{tmp}", "--out", "{tmp}/o.png"], "there are no pictures in it"),
        (
            ["show", "randaugment", "--images", "{tmp}/broken", "--out", "{tmp}/o.png"],
            "a.png cannot be read as a picture",
        ),
        (["show", "randaugment", "--images", "{tmp}", "--out", "{tmp}/o.gif"], "drawings are .png or .jpg"),
        (["show", "randaugment", "--images", "{tmp}", "--out", "{tmp}/o.png", "--rows", "0"], "--rows 0: at least 1"),
    ],
)
def test_bad_input_says_what_and_leaves_with_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.json").write_text("mine")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_text("no picture")
    if "broken" not in " ".join(arguments):
        (tmp_path / "broken" / "a.png").unlink()
    (tmp_path / "log.txt").write_text(str(["1", "0", 3, 3, [0] * 60, [5] * 60]))
    main(["convert", f"pba:{tmp_path / 'log.txt'}", "--epochs", "8", str(tmp_path / "s.json")])
    capsys.readouterr()
    assert main([argument.format(tmp=tmp_path) for argument in arguments]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "there.json").read_text() == "mine"
    assert not list(tmp_path.glob("o.*"))


def test_force_writes_over(tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("mine")
    assert main(["convert", "randaugment", str(tmp_path / "there.json"), "--force"]) == 0
    assert Policy.load(tmp_path / "there.json") == find_policy("randaugment")


def test_show_draws_a_row_per_picture(two_classes: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    arguments = ["show", "autoaugment_svhn", "--images", str(two_classes), "--out", str(out), "--size", "40"]
    assert main([*arguments, "--rows", "3", "--columns", "4"]) == 0
    with Image.open(out) as drawn:
        first = drawn.copy()
    assert first.width > 5 * 160
    assert first.height > 3 * 160
    assert main([*arguments, "--rows", "3", "--columns", "4", "--force", "--seed", "1"]) == 0
    with Image.open(out) as drawn:
        assert drawn.size == first.size
        assert drawn.tobytes() != first.tobytes()


def test_the_drawing_shows_the_original_and_the_draws(two_classes: Path) -> None:
    images = pictures(two_classes, 2, 160)
    policy = find_policy("autoaugment_svhn")
    drawn = grid(policy, images, columns=3, seed=4)
    transform = daas.DAASPolicy(policy)
    random = torch.Generator().manual_seed(4)
    for row, image in enumerate(images):
        expected = [image, *transform.apply(image.expand(3, -1, -1, -1), transform.sample(3, random))]
        top = 4 * 14 + 12 + row * (160 + 2 * 17 + 6 + 12)
        for column, version in enumerate(expected):
            left = 12 + column * 172
            tile = drawn.crop((left, top, left + 160, top + 160))
            assert tile.tobytes() == version.permute(1, 2, 0).contiguous().numpy().tobytes()


def test_pictures_are_spread_over_the_folder(two_classes: Path) -> None:
    dark, bright = pictures(two_classes, 2, 8)
    assert dark.shape == (3, 8, 8)
    means = sorted((dark.float().mean(), bright.float().mean()))
    assert means[0] < 90 < means[1]
    assert len(pictures(two_classes, 500, 8)) == 80


def test_sixteen_bit_grey_pictures_keep_their_range(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    (shown,) = pictures(tmp_path, 1, 64)
    assert shown.double().mean().item() == pytest.approx(127, abs=1)
    assert shown.max() == 255
