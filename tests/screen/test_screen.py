from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import daas
from daas.augment import DAASPolicy
from daas.errors import BadInput
from daas.files import sha256
from daas.screen import Screen
from daas.screen.__main__ import main
from daas.screen.using import train_words
from tests.augment.conftest import own_operations  # noqa: F401  # a fixture
from tests.conftest import saved_network
from tests.screen.conftest import stripes

TRIED = ["HFlip", "VFlip", "Brightness", "Posterize"]


def tiny() -> nn.Module:
    """Reads where the light is: a convolution, then the average of each of nine places."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(),
        nn.Linear(72, 2),
    )  # fmt: skip


QUICK: dict[str, Any] = {"epochs": 8, "operations": TRIED, "batch_size": 25, "lr": 0.05}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Screen, Path]:
    """A screen of planted images, and its folder."""
    out = tmp_path_factory.mktemp("screens") / "planted"
    torch.manual_seed(0)
    return daas.screen(stripes(300, 1), val=stripes(200, 2), network=tiny(), out=out, **QUICK), out


def test_a_planted_flip_is_found_and_nothing_else(seen: tuple[Screen, Path]) -> None:
    found, _ = seen
    assert found["HFlip"].verdict == "changes the label"
    assert found["HFlip"].excess > 80
    assert found.swaps == (("left", "right"),)
    assert found.flip == 0.0
    assert {found[op].verdict for op in ("VFlip", "Brightness", "Posterize")} <= {"harmless", "harder"}
    assert {row.op for row in found} == set(TRIED)


def test_the_folder_holds_everything(seen: tuple[Screen, Path]) -> None:
    found, out = seen
    assert {path.name for path in out.iterdir()} == {
        "screen.json", "policy.json", "screen.html", "screen.png", "network.safetensors",
    }  # fmt: skip
    assert Screen.load(out) == found
    policy = DAASPolicy.load(out / "policy.json")
    images = stripes(4, 3).images
    assert policy(images).shape == images.shape
    assert found.pictures
    assert "Sure and wrong" in (out / "screen.html").read_text()


def test_pictures_show_what_was_done(seen: tuple[Screen, Path]) -> None:
    for shown in seen[0].pictures:
        assert shown.op == "HFlip"
        assert torch.equal(shown.after, shown.before.flip(2))
        assert {shown.label, shown.taken_for} == {"left", "right"}


def test_a_module_is_left_as_it_was(seen: tuple[Screen, Path]) -> None:
    torch.manual_seed(1)
    network = tiny().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    stream = torch.random.get_rng_state()
    daas.screen(stripes(60, 1), network=network, epochs=1, operations=["HFlip"])
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), stream)


def test_seeds_repeat() -> None:
    torch.manual_seed(2)
    network = tiny()
    first, again, other = (
        daas.screen(stripes(80, 1), network=network, epochs=1, operations=["HFlip", "Rotate"], seed=seed)
        for seed in (3, 3, 4)
    )
    assert first.operations == again.operations
    assert first.operations != other.operations


def test_a_finished_training_is_not_done_again(
    seen: tuple[Screen, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, out = seen
    torch.manual_seed(0)
    network = tiny()
    (tmp_path / "network.safetensors").write_bytes((out / "network.safetensors").read_bytes())

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("it trained again")

    monkeypatch.setattr("daas.screen.api.fit", never)
    again = daas.screen(
        stripes(300, 1), val=stripes(200, 2), network=network, out=tmp_path, resume="auto", **QUICK
    )  # fmt: skip
    assert again.operations == found.operations
    assert again.pictures[0].said == found.pictures[0].said
    monkeypatch.setattr("daas.screen.api.measure", never)
    (tmp_path / "screen.html").unlink()
    assert daas.screen(
        stripes(300, 1), val=stripes(200, 2), network=network, out=tmp_path, resume="auto", **QUICK
    ) == again  # fmt: skip
    assert (tmp_path / "screen.html").exists()


def drawing() -> nn.Module:
    """``tiny`` with dropout, which draws from torch's global stream."""
    return nn.Sequential(*tiny()[:4], nn.Dropout(0.3), *tiny()[4:])


def test_a_training_that_was_killed_goes_on_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was killed: in the first epoch, twice in the middle, or before the trained network was written."""
    import daas.train.fit as room

    torch.manual_seed(0)
    network = drawing()
    plain = room.batch_by_batch
    options: dict[str, Any] = {**QUICK, "epochs": 5, "network": network, "val": stripes(60, 2)}
    whole = daas.screen(stripes(100, 1), out=tmp_path / "whole", **options)
    epochs: list[int] = []

    def killed(at: int) -> Any:
        def batch_by_batch(run: Any) -> Any:
            epochs.append(run.progress.epoch)
            steps = plain(run)
            while True:
                try:
                    images = next(steps)
                except StopIteration as end:
                    return end.value
                if run.progress.epoch == at:
                    raise KeyboardInterrupt
                yield images

        return batch_by_batch

    out = tmp_path / "killed"
    for at in (0, 2, 4):
        monkeypatch.setattr(room, "batch_by_batch", killed(at))
        torch.rand(at + 1)  # the streams of another process
        with pytest.raises(KeyboardInterrupt):
            daas.screen(stripes(100, 1), out=out, resume="auto" if at else "", **options)
    assert epochs == [0, 0, 1, 2, 2, 3, 4]
    assert {path.name for path in out.iterdir()} == {"checkpoint.safetensors"}
    with pytest.raises(BadInput, match=r"already holds checkpoint\.safetensors\. Go on with --resume auto"):
        daas.screen(stripes(100, 1), out=out, **options)
    with pytest.raises(BadInput, match=r"other epochs \(5 there, 6 here\)"):
        daas.screen(stripes(100, 1), out=out, resume="auto", **{**options, "epochs": 6})
    monkeypatch.setattr(room, "batch_by_batch", plain)
    monkeypatch.setattr("daas.screen.folder.keep_network", killed_writing)
    with pytest.raises(KeyboardInterrupt):
        daas.screen(stripes(100, 1), out=out, resume="auto", **options)
    monkeypatch.undo()
    found = daas.screen(stripes(100, 1), out=out, resume="auto", **options)
    assert found.operations == whole.operations
    assert found.clean == whole.clean
    for name, tensor in load_file(tmp_path / "whole" / "network.safetensors").items():
        assert torch.equal(load_file(out / "network.safetensors")[name], tensor)
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


def killed_writing(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_folder_of_another_screen_is_refused(seen: tuple[Screen, Path]) -> None:
    _, out = seen
    before = (out / "screen.json").read_bytes()
    torch.manual_seed(0)
    network = tiny()
    with pytest.raises(BadInput, match="already holds screen"):
        daas.screen(stripes(300, 1), val=stripes(200, 2), network=network, out=out, **QUICK)
    with pytest.raises(BadInput, match="other seed"):
        daas.screen(stripes(300, 1), val=stripes(200, 2), network=network, out=out, resume="auto", seed=5, **QUICK)
    with pytest.raises(BadInput, match="other images"):
        daas.screen(stripes(300, 7), val=stripes(200, 2), network=network, out=out, resume="auto", **QUICK)
    assert (out / "screen.json").read_bytes() == before


@pytest.mark.parametrize("finished", [True, False])
def test_a_screen_of_before_there_was_an_operation_goes_on_with_its_own(tmp_path: Path, finished: bool) -> None:
    names = ("HFlip", "Rotate", "Invert")
    options: dict[str, Any] = {**QUICK, "network": tiny(), "out": tmp_path}
    del options["operations"]
    before = daas.screen(stripes(100, 1), operations=names, **options)
    if not finished:
        (tmp_path / "screen.json").unlink()
    again = daas.screen(stripes(100, 1), resume="auto", **options)
    assert {seen.op for seen in again} == set(names)
    assert str(again) == str(before)
    with pytest.raises(BadInput, match="a screen with other operations"):
        daas.screen(stripes(100, 1), resume="auto", operations=names[:2], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "--epochs 0: it must be at least 1"),
        ({"operations": ["Twist"]}, "unknown operation 'Twist'"),
        ({"operations": ["HFlip", "HFlip"]}, "each is named once"),
        ({"epoch": 3}, "unknown option epoch. Did you mean epochs"),
        ({"data_dir": "photos"}, "takes no data_dir; pass data"),
        ({"resume": "auto"}, "name it with out="),
        ({"network": 3}, "it is a timm name or a torch.nn.Module"),
        ({"network": "resnet_of_mine"}, "unknown to timm"),
        ({"pretrained": True}, "--pretrained needs --model"),
        ({"network": nn.Linear(2, 2), "model": "resnet18"}, "are for timm's names"),
        ({"network": nn.ReLU()}, "without a parameter"),
        ({"lr": -1.0}, "--lr -1.0: it must be above 0"),
        ({"image_size": 4}, "--image-size 4: it must be at least 8"),
    ],
)
def test_bad_input_is_said_before_anything_is_done(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message.replace("(", r"\(")):
        daas.screen(stripes(60, 1), **({} if "resume" in options else {"out": tmp_path / "out"}), **options)
    assert not (tmp_path / "out").exists()


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    from daas.locks import locked

    with locked(tmp_path / "out"), pytest.raises(BadInput, match="works on it now"):
        daas.screen(stripes(60, 1), out=tmp_path / "out", epochs=1, operations=["HFlip"])


class Caught(Exception):
    """What a training was asked for."""


def caught(monkeypatch: pytest.MonkeyPatch, data: Any, **options: Any) -> tuple[Any, ...]:
    """Network, training images, validation images, recipe and the rest, as the training gets them."""

    def catch(*given: Any, **rest: Any) -> None:
        raise Caught(*given, rest)

    monkeypatch.setattr("daas.screen.api.fit", catch)
    with pytest.raises(Caught) as found:
        daas.screen(data, **options)
    return found.value.args


def test_options_reach_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"epochs": 7, "batch_size": 11, "lr": 0.03, "weight_decay": 0.001, "seed": 5, "max_images": 50}
    network, train, val, recipe, rest = caught(monkeypatch, stripes(200, 1), **options)
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay) == (7, 11, 0.03, 0.001)
    assert recipe.hflip == 0.0
    assert (len(train), len(val), rest["seed"], str(rest["device"])) == (25, 25, 5, "cpu")
    assert sum(parameter.numel() for parameter in network().parameters()) < 100_000
    named = {"model_kwargs": {"depth": 16, "widen": 1}}
    network, *_, recipe, _ = caught(monkeypatch, stripes(20, 1), network="wide_resnet40_2_cifar", **named)
    assert sum(parameter.numel() for parameter in network().parameters()) > 100_000
    assert (recipe.batch_size, recipe.lr) == (10, 0.1)  # no more than there are; nothing is known of its weights
    *_, recipe, _ = caught(monkeypatch, stripes(20, 1), network=tiny())
    assert recipe.lr == 0.02


def test_folders_to_ask_about_and_images_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "left" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"bad\.png cannot be read"):
        daas.screen(str(folder))
    _, train, val, _, _ = caught(monkeypatch, str(folder), skip_bad_images=True, image_size=16)
    assert (len(train), len(val), train.image_size) == (30, 30, 16)
    _, train, val, _, _ = caught(monkeypatch, stripes(40, 2), val=str(folder), skip_bad_images=True)
    assert (len(train), len(val), val.image_size) == (40, 60, 12)


def test_images_that_are_left_out_are_counted(folder: Path) -> None:
    (folder / "left" / "bad.png").write_bytes(b"no picture")
    options: dict[str, Any] = {"epochs": 1, "operations": ["HFlip"], "batch_size": 20, "image_size": 12}
    found = daas.screen(str(folder), skip_bad_images=True, **options)
    assert "warning: 1 image could not be read and was left out." in str(found)


def test_what_was_not_read_and_what_is_a_copy_is_said(folder: Path) -> None:
    (folder / "left" / "lost.dng").write_bytes(b"raw")
    options: dict[str, Any] = {"epochs": 1, "operations": ["HFlip"], "batch_size": 20, "image_size": 12}
    found = daas.screen(str(folder), **options)
    assert "1 file was not read: 1 .dng" in found.warnings[0]
    assert "warning: photos: 1 file was not read" in str(found)
    assert found.about["data"]["unread"] == {".dng": 1}
    again = daas.screen(stripes(60, 1), val=stripes(60, 1), **options)
    assert "60 of 60 images to validate on that were looked at are copies" in again.warnings[0]


def test_everything_that_is_known_is_tried_base_transforms_first() -> None:
    from daas.augment.space import BASE, known
    from daas.screen.setting import _operations

    tried = _operations(())
    assert tried[: len(BASE)] == BASE
    assert set(tried) == set(known())
    assert len(tried) == len(known())


def test_a_pretrained_network_is_taken_by_name() -> None:
    """It begins with its weights, at its own size and with its own normalisation, and is trained gently."""
    options: dict[str, Any] = {"epochs": 1, "operations": ["HFlip"], "batch_size": 20}
    found = daas.screen("digits", network="daas_cifar10_nano", pretrained=True, max_images=40, **options)
    assert found.about["network"]["pretrained"]
    assert found.about["data"]["image_size"] == 32
    assert found.about["options"]["lr"] == 0.02
    assert "--pretrained" in str(train_words(found, None))
    with pytest.raises(BadInput, match="the same; give one of them"):
        daas.screen("digits", network="resnet18", model="resnet34")


def test_weights_of_folders_and_files(tmp_path: Path) -> None:
    """They are where the training begins, and the printed command names them."""
    _, saved = saved_network(tmp_path / "saved", classes=2)
    options: dict[str, Any] = {"epochs": 1, "lr": 1e-9, "operations": ["HFlip"], "batch_size": 20, "image_size": 12}
    name, out = f"local-dir:{saved}", tmp_path / "out"
    found = daas.screen(stripes(40, 1), network=name, pretrained=True, out=out, **options)
    begun = {key: value for key, value in load_file(saved / "model.safetensors").items() if key.endswith(".weight")}
    ended = load_file(out / "network.safetensors")
    shared = [key for key in begun if key in ended and begun[key].shape == ended[key].shape]
    assert len(shared) > 10
    assert all(torch.allclose(begun[key], ended[key], atol=1e-5) for key in shared)
    assert f"--model {name} --pretrained" in train_words(found, None)
    file = saved / "model.safetensors"
    other = daas.screen(stripes(40, 1), network="test_resnet", pretrained_path=str(file), **options)
    assert f"--pretrained-path {file}" in train_words(other, None)
    assert other.about["made_of"]["pretrained_path"] == sha256(file)


@pytest.mark.usefixtures("own_operations")
def test_an_operation_of_ones_own_is_screened() -> None:
    """It is tried like all others, found to exchange the classes, and left out of the policy."""
    daas.register_operation(daas.Operation("Mirror", byte_form=lambda images, value: images.flip(3)))
    torch.manual_seed(0)
    options = {**QUICK, "operations": ["Mirror", "Posterize"]}
    found = daas.screen(stripes(300, 1), val=stripes(150, 2), network=tiny(), **options)
    assert found["Mirror"].verdict == "changes the label"
    assert found["Mirror"].exchanges == (("left", "right"),)
    assert {op.op for sub in found.policy().sub_policies for op in sub.ops} == {"Posterize"}
    assert found.flip == 0.0  # it was not tried


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The planted images as a folder of class folders."""
    from PIL import Image

    images = stripes(60, 1)
    for index, (image, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
        place = tmp_path / "photos" / images.class_names[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(place / f"{index}.png")
    return tmp_path / "photos"


def test_the_command_prints_the_answer_and_what_to_type(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--data-dir", str(folder), "--out", str(out), "--epochs", "3", "--image-size", "12"]
    words += ["--operations", "HFlip", "Posterize"]
    assert main(words) == 0
    said = capsys.readouterr().out
    first, second = said.splitlines()[:2]
    assert first == (
        "Images: photos, 30 to train on and 30 to ask about, of 2 classes, 12 x 12 pixels. Network: WRN-10-1, 3 epochs "
        "under 2 operations."
    )
    assert second.startswith("An epoch takes ")
    assert "30 images trained on, 30 asked about, 2 classes, 12 px; WRN-10-1" in said
    assert f"daas train --data-dir {folder} --val-dir YOUR_TEST_PHOTOS --model YOUR_NETWORK" in said
    assert "--hflip 0" in said
    assert f"look at {out / 'screen.html'}" in said
    assert json.loads((out / "screen.json").read_text())["about"]["options"]["epochs"] == 3
    assert main([*words, "--resume", "auto"]) == 0
    assert "An epoch takes" not in capsys.readouterr().out
    assert main(words) == 2
    assert "already holds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "No images: name a folder"),
        (["--data-dir", "nowhere"], "nowhere: there is no such folder"),
        (["--dataset", "digits", "--epoch", "3"], "Did you mean --epochs"),
        (["--dataset", "digits", "--epochs", "many"], "--epochs"),
        (["--dataset", "digits", "--device", "abacus"], "--device abacus cannot be used"),
    ],
)
def test_the_command_says_what_is_wrong(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "runs").exists()


def test_stopping_and_diverging_have_their_codes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--data-dir", str(folder), "--out", str(tmp_path / "out"), "--epochs", "1"]
    for error, code, text in (
        (KeyboardInterrupt(), 130, "--resume auto"),
        (FloatingPointError("Try a smaller --lr."), 1, "error: Try a smaller --lr."),
    ):

        def fails(*_: Any, error: BaseException = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr("daas.screen.api.fit", fails)
        assert main(words) == code
        assert text in capsys.readouterr().err


def test_images_that_were_trained_on_are_not_asked_about(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(10):
            Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / name / f"{index}.png")
    with pytest.raises(BadInput, match="Validation would use the training images"):
        daas.screen(str(tmp_path), val=str(tmp_path / "." / "b" / ".."), image_size=8)
