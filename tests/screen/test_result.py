from __future__ import annotations

import errno
import json
import os
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from daas import files
from daas.augment import Policy
from daas.augment.space import named
from daas.errors import BadInput
from daas.screen.page import page
from daas.screen.result import Moved, Picture, Screen
from daas.screen.using import kept, meant, swap_words, swapped_words, train_words, worth_showing
from daas.screen.verdicts import Verdict
from daas.screen.words import answer, limit_words, next_lines, report
from daas.train.checks import check
from daas.train.command_line import parse


def test_the_file_has_the_documented_keys(planted: Screen, tmp_path: Path) -> None:
    planted.save(tmp_path / "screen")
    values = json.loads((tmp_path / "screen" / "screen.json").read_text())
    assert values["format"] == "daas-screen/1"
    assert values["clean"].keys() >= {"accuracy", "confidence"}
    assert values["flip"] == 0.0
    wanted = {"op", "accuracy", "confidence", "excess", "interval", "verdict", "safe_up_to"}
    assert all(row.keys() >= wanted for row in values["operations"])
    assert values["swaps"] == [["left", "right"]]


def test_a_screen_is_read_back_as_it_was(planted: Screen, tmp_path: Path) -> None:
    page = planted.save(tmp_path)
    assert page == tmp_path / "screen.html"
    assert Screen.load(tmp_path) == planted
    assert Screen.load(tmp_path / "screen.json")["Rotate"] == planted["Rotate"]
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")
    assert Policy.load(tmp_path / "policy.json").to_dict() == planted.policy().to_dict()


def test_a_name_that_is_no_text_is_written_and_drawn_escaped(planted: Screen, tmp_path: Path) -> None:
    """A folder of the system whose name is not UTF-8 has a lone surrogate in its name."""
    values = dict(planted.about)
    odd = replace(planted, about={**values, "data": {**values["data"], "name": "photos\udce9"}})
    assert "photos\\udce9" in odd.save(tmp_path).read_text(encoding="utf-8")


def test_a_dollar_in_a_name_is_drawn_as_it_is(planted: Screen, tmp_path: Path, capsys: Any) -> None:
    """``$x_{2$`` is no formula; as one it could not be parsed."""
    data = {**planted.about["data"], "name": "photos $x_{2$"}
    replace(planted, about={**planted.about, "data": data}).save(tmp_path)
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")
    assert "photos $x_{2$" in (tmp_path / "screen.html").read_text()
    assert capsys.readouterr().err == ""


def test_what_is_said_of_odd_class_names_is_harmless_in_a_terminal(planted: Screen) -> None:
    odd = "le\x1b[31mft\n"
    flip = replace(
        planted["HFlip"], moves=(Moved(odd, "right", 0.9, 50),), exchanges=((odd, "right"),)
    )  # fmt: skip
    data = {**planted.about["data"], "name": "my\x1b[31m photos"}
    source = {**planted.about["source"], "data_dir": "my\x1b[31m photos"}
    found = replace(
        planted, operations=(flip, *planted.operations[1:]), about={**planted.about, "data": data, "source": source}
    )
    lines = [*report(found).split("\n"), *next_lines(found, None)]
    assert all(line.isprintable() for line in lines)
    assert len([line for line in lines if r"le\x1b[31mft\n" in line]) == 3  # what changes, the exchange, the command
    assert len(report(found).split("\n")) == len(report(planted).split("\n"))


def test_a_screen_of_an_operation_that_is_not_registered_says_so_when_it_is_read(
    planted: Screen, tmp_path: Path
) -> None:
    planted.save(tmp_path)
    text = (tmp_path / "screen.json").read_text().replace('"Brightness"', '"Mine"')
    (tmp_path / "screen.json").write_text(text)
    with pytest.raises(BadInput, match=r"screen\.json: this screen tried Mine, which .* Register it as .* before"):
        Screen.load(tmp_path)


def test_a_picture_that_cannot_be_drawn_loses_nothing(
    planted: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted.save(tmp_path)
    (tmp_path / "screen.json").unlink()

    def broken(_: Screen) -> bytes:
        raise RuntimeError("no font")

    monkeypatch.setattr("daas.screen.plots.png", broken)
    planted.save(tmp_path)
    assert Screen.load(tmp_path) == planted
    assert {path.name for path in tmp_path.iterdir()} == {"screen.json", "policy.json"}  # no page of another screen
    said = capsys.readouterr().err
    assert "warning: the screen is done" in said
    assert "no font (RuntimeError)" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ('{"format": "daas-policy/1"}', "format 'daas-screen/1'"),
        ('{"format": "daas-screen/1", "clean": {}}', "no whole screen"),
        ('{"format": "daas-screen/1", "clean": {}, "operations": [{}], "about": {}}', "no whole screen"),
    ],
)  # fmt: skip
def test_files_that_are_no_screens_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "screen.json").write_text(text)
    with pytest.raises(BadInput, match=message):
        Screen.load(tmp_path)
    with pytest.raises(BadInput, match="no such screen file"):
        Screen.load(tmp_path / "other.json")


def test_the_policy_holds_what_is_safe_within_its_limits(planted: Screen) -> None:
    rows = tuple(replace(s, safe_up_to=1.45) if s.op == "Brightness" else s for s in planted.operations)
    found = replace(planted, operations=rows).policy()
    share = {name: value for name, value in found.operation_share().items() if value > 0}
    assert share.keys() == {"Brightness", "Posterize", "AutoContrast"}
    assert share["Posterize"] == pytest.approx(1 / 3)
    values = [op.value for sub in found.sub_policies for op in sub.ops if op.op == "Brightness"]
    assert all(value is not None and 0.55 <= round(value, 9) <= 1.45 for value in values)


def test_where_nothing_is_left_there_is_no_policy(planted: Screen, tmp_path: Path) -> None:
    bad = replace(planted, operations=tuple(s for s in planted.operations if s.op in ("HFlip", "Rotate")))
    with pytest.raises(BadInput, match="No operation is left"):
        bad.policy()
    planted.save(tmp_path)
    bad.save(tmp_path)
    assert not (tmp_path / "policy.json").exists()


def test_unclear_operations_are_used_unless_they_look_harmful(planted: Screen) -> None:
    def with_share(share: float) -> Screen:
        rows = tuple(
            replace(s, verdict="unclear", share=share) if s.op == "Posterize" else s for s in planted.operations
        )
        return replace(planted, operations=rows)

    used = with_share(0.1)
    assert "Posterize" in kept(used)
    said = answer(used)
    assert "Safe, and in policy.json: Brightness, AutoContrast." in said
    assert (
        "Unclear, and in policy.json all the same (estimated to change fewer than 25% of the labels): Posterize."
    ) in said
    assert "Posterize" not in kept(with_share(0.3))
    assert not any(line.startswith("Unclear, and") for line in answer(with_share(0.3)))


def test_what_the_policy_leaves_out_has_no_safe_range_in_the_table(planted: Screen) -> None:
    """Rotations change the label, and are safe up to 15 degrees: the policy has none of them."""
    assert limit_words(planted["Rotate"])
    assert limit_words(planted["Rotate"]) not in next(
        line for line in report(planted).splitlines() if line.startswith("Rotate")
    )


@pytest.mark.parametrize(
    ("images", "words"), [(100, "--batch-size 12 --hflip"), (128, "--hflip"), (8, "--batch-size 2 ")]
)
def test_the_command_fits_the_number_of_images(planted: Screen, images: int, words: str) -> None:
    data = {**planted.about["data"], "train_images": images // 2, "val_images": images - images // 2}
    command = train_words(replace(planted, about={**planted.about, "data": data}), None)
    assert words in command
    assert ("--batch-size" in command) == ("--batch-size" in words)
    apart = {**planted.about, "data": {**data, "val_images": 900}, "source": {"data_dir": "a", "val_dir": "b"}}
    assert "--batch-size" in train_words(replace(planted, about=apart), None)  # those asked about are not trained on


@pytest.mark.parametrize(("verdict", "flip"), [("harmless", 0.5), ("harder", 0.0), ("unclear", 0.0)])
def test_only_a_harmless_flip_is_used(planted: Screen, verdict: str, flip: float) -> None:
    rows = tuple(replace(s, verdict=verdict) if s.op == "HFlip" else s for s in planted.operations)  # type: ignore[arg-type]
    found = replace(planted, operations=rows)
    assert found.flip == flip
    assert found.swaps == ()
    assert "HFlip" not in kept(found)


def test_a_flip_that_costs_accuracy_says_which_classes_it_takes_for_which(planted: Screen) -> None:
    flip = replace(planted["HFlip"], verdict="harder", accuracy=71.0, moves=(Moved("2", "5", 0.58, 50),))
    found = replace(planted, operations=(flip, *planted.operations[1:]), clean={"accuracy": 97.5, "confidence": 97.0})
    assert answer(found)[-1] == (
        "No horizontal flip (--hflip 0): it makes images harder; 97.5% are right as they are, 71.0% flipped. Flipped, "
        "58% of 2 are taken for 5."
    )
    rest = [replace(row, verdict="harmless") for row in planted.operations[1:]]
    mild = replace(found, operations=(flip, *rest))
    assert answer(mild)[0] == (
        "Nothing was seen to change your labels throughout; a flip takes some classes for others."
    )
    rare = replace(flip, moves=(Moved("2", "5", 0.2, 50),))
    assert answer(replace(mild, operations=(rare, *rest)))[0] == "Nothing was seen to change your labels."
    assert "taken for" not in answer(replace(found, operations=(rare, *planted.operations[1:])))[-1]
    assert worth_showing(flip)
    assert not worth_showing(replace(flip, verdict="harmless"))
    assert not worth_showing(replace(planted["Rotate"], verdict="harder"))
    assert "2 &rarr; 5: 58% (50 images)" in page(found, None)


def with_crop(planted: Screen, verdict: Verdict, safe_up_to: float, share: float = 0.0) -> Screen:
    pieces = tuple(replace(piece, safe=piece.high <= safe_up_to) for piece in planted["Brightness"].by_magnitude[:4])
    row = replace(
        planted["Posterize"], op="Crop", verdict=verdict, safe_up_to=safe_up_to, share=share, by_magnitude=pieces
    )
    return replace(planted, operations=(*planted.operations, row))


@pytest.mark.parametrize(
    ("verdict", "safe_up_to", "share", "scale"),
    [
        ("harmless", 0.7, 0.0, (0.09, 1.0)),
        ("harder", 0.35, 0.0, (0.43, 1.0)),  # 0.65 ** 2 is 0.4225
        ("unclear", 0.35, 0.1, (0.43, 1.0)),
        ("unclear", 0.35, 0.3, (1.0, 1.0)),
        ("harder", 0.0, 0.0, (1.0, 1.0)),
        ("changes the label", 0.35, 0.8, (1.0, 1.0)),
    ],
)
def test_crops_are_as_large_as_the_screen_says(
    planted: Screen, verdict: Verdict, safe_up_to: float, share: float, scale: tuple[float, float]
) -> None:
    found = with_crop(planted, verdict, safe_up_to, share)
    assert found.scale == pytest.approx(scale)
    assert "Crop" not in kept(found)
    command = train_words(found, None)
    small = f"--scale {scale[0]:g} 1" if scale[0] < 1 else "--train-crop-mode pad"
    assert small in command
    command = command.replace("YOUR_TEST_PHOTOS", "tests").replace("YOUR_NETWORK", "resnet18")
    options = parse(shlex.split(command)[2:])
    check(options)
    assert options.train_crop_mode == ("pad" if scale[0] == 1 else None)
    assert f"instead of {small} --hflip 0:" in "\n".join(next_lines(found, None))
    assert small in answer(found)[-2]
    assert ("unclear" in answer(found)[-2]) == (verdict == "unclear" and scale[0] < 1)
    network = {**found.about["network"], "default": False}
    named = replace(found, about={**found.about, "network": network})
    assert "--scale" not in train_words(named, None) + answer(named)[-2]  # that command pads
    digits = replace(found, about={**found.about, "source": {"dataset": "digits", "data_dir": "", "val_dir": ""}})
    assert "--" not in train_words(digits, None).split("--model")[1].split("--hflip")[0] + answer(digits)[-2]


def test_crops_that_were_not_tried_are_said_where_training_makes_them(planted: Screen) -> None:
    assert planted.scale is None
    assert answer(planted)[-2].startswith("Random resized crops were not tried: --train-crop-mode pad")
    assert swapped_words(planted) == "--hflip 0"
    digits = replace(planted, about={**planted.about, "source": {"dataset": "digits", "data_dir": "", "val_dir": ""}})
    assert "crop" not in "\n".join(answer(digits)).lower()


def test_where_most_is_unclear_the_answer_says_how_well_the_network_reads(planted: Screen) -> None:
    assert not any("Most of it is unclear" in line for line in answer(planted))
    rows = tuple(replace(seen, verdict="unclear", share=0.1) for seen in planted.operations)
    found = replace(
        planted, operations=rows, clean={"accuracy": 42.0, "confidence": 40.0},
        about={**planted.about, "null": {**planted.about["null"], "readable": 9.0}},
    )  # fmt: skip
    assert answer(found)[1] == (
        "Most of it is unclear: the screen's network is right on 42.0% of 300 images, where guessing gives 33.0%. More "
        "images would say more; so would daas screen with a larger --image-size or a pretrained --model."
    )
    blind = replace(found, operations=tuple(replace(row, share=None, share_error=None) for row in rows))
    first, *_, last = answer(blind)
    assert first.startswith("Nothing can be said of your labels: the screen's network is right on 42.0% of 300 images")
    assert last.startswith("No horizontal flip (--hflip 0): it is unclear")
    unsafe = tuple(
        replace(
            row, safe_up_to=named(row.op).identity, by_magnitude=tuple(replace(p, safe=False) for p in row.by_magnitude)
        )
        for row in blind.operations
    )
    said = page(replace(blind, operations=unsafe), None)
    assert "nowhere" not in said
    assert "By magnitude" not in said
    assert "By class" not in said  # of what a network says that reads nothing


def test_operations_that_are_safe_at_no_magnitude_are_named(planted: Screen) -> None:
    seen = planted["Brightness"]
    pieces = tuple(replace(piece, safe=False) for piece in seen.by_magnitude)
    none = replace(seen, safe_up_to=1.0, by_magnitude=pieces)
    rows = tuple(none if row.op == "Brightness" else row for row in planted.operations)
    assert "Left out, for no magnitude is safe: Brightness." in answer(replace(planted, operations=rows))


def test_base_transforms_join_the_policy_only_where_they_are_harmless(planted: Screen) -> None:
    def named(verdict: str) -> list[str]:
        rows = tuple(
            replace(s, op="Grayscale", verdict=verdict) if s.op == "HFlip" else s
            for s in planted.operations  # type: ignore[arg-type]
        )
        return kept(replace(planted, operations=rows, about={**planted.about, "operations": [s.op for s in rows]}))

    assert "Grayscale" in named("harmless")
    assert "Grayscale" not in named("harder")


def test_the_words_say_what_to_do(planted: Screen) -> None:
    text = report(planted)
    assert "Changes your labels: HFlip (left <-> right), Rotate (left <-> right)." in text
    assert "left <-> right: with exchanged labels" in text
    assert "No plain horizontal flip (--hflip 0): it changes the label." in text
    assert len([line for line in text.splitlines() if line.startswith(("HFlip", "Rotate", "Brightness"))]) == 3
    assert str(planted) == repr(planted) == text
    words = train_words(planted, "screen/policy.json")
    assert words.startswith("daas train --data-dir photos --val-dir YOUR_TEST_PHOTOS")
    assert words.endswith("--model YOUR_NETWORK --aa daas:screen/policy.json --hflip 0")
    network = {**planted.about["network"], "default": False, "pretrained": True}
    words = train_words(replace(planted, about={**planted.about, "network": network}), None)
    assert "--model wide_resnet40_2_cifar --model-kwargs depth=10 --pretrained" in words
    assert words.endswith("--train-crop-mode pad --img-size 16 --hflip 0")
    assert meant(train_words(planted, None)).startswith("YOUR_NETWORK: any timm model; YOUR_TEST_PHOTOS: a folder")
    assert meant("daas train --dataset digits") == ""
    assert swap_words(planted) == "--train-crop-mode pad --hflip 0.5 --hflip-swap left:right"


def test_limits_in_words(planted: Screen) -> None:
    def limited(op: str, end: float) -> str:
        seen = planted[op]
        pieces = tuple(replace(piece, safe=index == 0) for index, piece in enumerate(seen.by_magnitude))
        return limit_words(replace(seen, safe_up_to=end, by_magnitude=pieces))

    assert limit_words(planted["Rotate"]) == "up to 15 degrees"
    assert (
        limit_words(planted["Posterize"]) == limit_words(planted["Brightness"]) == limit_words(planted["HFlip"]) == ""
    )
    assert limited("Posterize", 6.0) == "down to 6 bits"
    assert limited("Brightness", 1.45) == "from 0.55 to 1.45"
    assert limited("Rotate", 0.0) == "nowhere"


def test_limits_are_what_policies_take(planted: Screen) -> None:
    assert planted.limits() == {"Rotate": 15.0, "Posterize": 4.0, "Brightness": 1.9}
    nothing = tuple(replace(s, safe_up_to=0.0) if s.op == "Rotate" else s for s in planted.operations)
    assert "Rotate" not in replace(planted, operations=nothing).limits()


def test_an_operation_that_was_not_tried_is_named(planted: Screen) -> None:
    with pytest.raises(BadInput, match=r"'VFlip' was not screened; there are HFlip, Rotate"):
        planted["VFlip"]
    assert "VFlip" not in planted
    assert "HFlip" in planted


def _open_tags(text: str) -> list[str]:
    """Tags that are opened and not closed, or closed in another order."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in ("meta", "img", "br"):
                found.append(tag)

        def handle_startendtag(self, tag: str, attrs: Any) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            if found and found[-1] == tag:
                found.pop()
            else:
                found.append(f"/{tag}")

    Reader().feed(text)
    return found


def test_the_page_answers_first_and_escapes_names(planted: Screen) -> None:
    from daas.screen.page import page

    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    shown = Picture("HFlip", "HFlip", image, image + 200, "<b>left", "right", 97.0)
    text = page(replace(planted, pictures=(shown,), warnings=("few <images>",)), "screen/policy.json")
    assert text.index(answer(planted)[0].split(":")[0]) < text.index("Every operation")
    assert "&lt;b&gt;left" in text
    assert "few &lt;images&gt;" in text
    assert "<b>left" not in text
    assert text.count("data:image/png;base64,") == 2
    assert _open_tags(text) == []
    assert "<script" not in text
    assert text.count('class="row"') == len(planted.operations)
    assert "color-scheme: light dark" in text
    assert "--hflip-swap left:right" in text


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing_leaves_the_older_screen_whole(
    planted: Screen, fault: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted.save(tmp_path / "screened")
    before = {path: path.read_bytes() for path in (tmp_path / "screened").iterdir()}

    def refuse(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(BadInput, match=os.strerror(fault)):
        planted.save(tmp_path / "screened")
    assert {path: path.read_bytes() for path in (tmp_path / "screened").iterdir()} == before
