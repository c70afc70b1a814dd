"""Operations of a user's own: registered in a few lines, then used everywhere, or refused where they are registered."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

import daas
from benchmarks.pillow_policy import reference
from daas.augment import (
    DAASPolicy,
    Draw,
    Operation,
    PillowForm,
    PlacedMatrix,
    PolicyOp,
    SubPolicy,
    register_operation,
    space,
)
from daas.augment.__main__ import main
from daas.augment.moves import move
from daas.augment.ops import Backend, apply
from daas.augment.space import INDEX, OPERATION_NAMES, has_magnitude, indices, is_signed, magnitude_table, named
from daas.errors import BadInput
from daas.search.spaces.policy_space import PolicySpace
from tests.augment.inputs import NAMES, pictures

pytestmark = pytest.mark.usefixtures("own_operations")
both = pytest.mark.parametrize("backend", ["torch", "numba"])


def wash(images: Tensor, share: Tensor) -> Tensor:
    """Mixes white into images."""
    white = share.view(-1, 1, 1, 1)
    return (images + (255 - images) * white).to(images.dtype)


def wash_pillow(image: Image.Image, share: float) -> Image.Image:
    return Image.fromarray((np.asarray(image) + (255 - np.asarray(image)) * share).astype(np.uint8))


WASH = Operation("Wash", unit="share of white", low=0.0, high=0.8, identity=0.0, largest=1.0, byte_form=wash,
                 float_form=lambda images, share: images + (1 - images) * share.view(-1, 1, 1, 1).to(images.dtype),
                 pillow_form=wash_pillow)  # fmt: skip
SWAP = Operation("Swap", byte_form=lambda images, value: images.flip(1) if images.shape[1] == 3 else 255 - images)


@both
def test_a_users_own_operation(tmp_path: Path, capsys: pytest.CaptureFixture[str], backend: Backend) -> None:
    """Registered, in a policy file, on both backends, in a search space, in words and in a drawing."""
    daas.register_operation(
        daas.Operation(
            "Wash", unit="share of white", low=0.0, high=0.8, identity=0.0, largest=1.0, byte_form=wash,
            pillow_form=wash_pillow,
        )
    )  # fmt: skip
    daas.Policy.of_operations(["Wash", "Rotate"]).save(tmp_path / "mine.json")
    policy = daas.DAASPolicy.load(tmp_path / "mine.json", backend=backend)
    images = pictures(40, 12, 9)
    draw = policy.sample(40, torch.Generator().manual_seed(1))

    assert torch.equal(policy.apply(images, draw), reference(images, draw))
    assert Draw.from_dict(draw.to_dict()).op.equal(draw.op)
    assert any("Wash 0." in line for image in range(40) for line in draw.describe(image))
    searched = PolicySpace(slots=2, operations=["Wash", "HFlip", "Rotate"]).distribution(
        torch.Generator().manual_seed(0)
    )
    found = searched.derive()
    assert {op.op for sub in found.sub_policies for op in sub.ops} == {"Wash", "HFlip", "Rotate"}
    drawn = searched.to_draw(
        searched.sample(40, torch.Generator().manual_seed(2)), 40, torch.Generator().manual_seed(3)
    )
    assert torch.equal(apply(images, drawn, backend=backend), reference(images, drawn))
    assert int((drawn.op == INDEX["Wash"]).sum()) > 5
    assert magnitude_table(["Wash"])[0].tolist() == pytest.approx([0.8 * level / 9 for level in range(10)])
    assert policy.policy.operation_share()["Wash"] == pytest.approx(0.5)
    assert main(["list", "--operations"]) == 0
    assert "share of white" in capsys.readouterr().out
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    assert main(["show", str(tmp_path / "mine.json"), "--images", str(tmp_path), "--out", str(tmp_path / "o.jpg")]) == 0
    assert main(["convert", str(tmp_path / "mine.json"), str(tmp_path / "two.json")]) == 0
    assert main(["convert", str(tmp_path / "mine.json"), str(tmp_path / "o.py"), "--to", "torchvision"]) == 2
    assert "has Wash, registered by a program" in capsys.readouterr().err


def test_indices_are_in_the_order_of_registration_and_the_search_space_stays() -> None:
    before = (magnitude_table(), has_magnitude(), is_signed(), OPERATION_NAMES)
    for row in (WASH, SWAP):
        assert register_operation(row) is row
    assert list(INDEX)[-2:] == ["Wash", "Swap"]
    assert list(INDEX)[: len(NAMES)] == list(NAMES)
    assert [INDEX["Wash"], INDEX["Swap"]] == indices(["Wash", "Swap"]).tolist() == [len(NAMES), len(NAMES) + 1]
    after = (magnitude_table(), has_magnitude(), is_signed(), OPERATION_NAMES)
    assert all(torch.equal(a, b) for a, b in zip(before[:3], after[:3], strict=True))
    assert before[3] == after[3]
    names = ["Swap", "Rotate", "Wash"]
    assert has_magnitude(names).tolist() == [False, True, True]
    assert is_signed(names).tolist() == [False, True, False]
    for wrong in ([], ["Swap", "Swap"], "Swap", ["Nope"]):
        with pytest.raises(BadInput):
            magnitude_table(wrong)


@pytest.mark.parametrize("normalize", [None, ((0.5,) * 3, (0.25,) * 3)])
def test_numba_leaves_images_to_the_byte_form_one_by_one(normalize: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    register_operation(WASH)
    images = pictures(60, 16, 10, seed=3)
    names = ("Wash", *NAMES)
    op = torch.tensor([[INDEX[names[(5 * k + 3 * slot * k) % len(names)]] for slot in range(3)] for k in range(60)])
    value = magnitude_table(list(INDEX))[op, torch.arange(60).view(-1, 1) % 10]
    draw = Draw.from_choices(op, value, torch.ones_like(op, dtype=torch.bool), torch.Generator().manual_seed(2))
    expected = apply(images, draw, backend="torch", normalize=normalize)
    compiled: list[int] = []
    from daas.augment.cpu import driver

    run = driver.run
    monkeypatch.setattr(driver, "run", lambda images, *more: compiled.append(len(images)) or run(images, *more))
    assert torch.equal(apply(images, draw, backend="numba", normalize=normalize), expected)
    assert compiled == [int((op != INDEX["Wash"]).all(1).sum())]


def test_a_compiled_form_is_what_numba_runs() -> None:
    calls: list[float] = []

    def compiled(source: Any, target: Any, value: float) -> None:
        calls.append(value)
        target[:] = 255 - source

    register_operation(Operation("Negative", byte_form=lambda images, value: 255 - images, compiled_form=compiled))
    images = pictures(3, 6, 6)
    draw = Draw(torch.full((3, 1), INDEX["Negative"]), torch.zeros(3, 1).double(), torch.zeros(3, 1, 2).double())
    calls.clear()
    assert torch.equal(apply(images, draw, backend="numba"), 255 - images)
    assert len(calls) == 3
    assert torch.equal(apply(images, draw, backend="torch"), 255 - images)
    assert len(calls) == 3


@both
def test_an_affine_map_is_enough_and_marks_follow_it(backend: Backend) -> None:
    def squeeze(value: Any, height: int, width: int) -> Any:
        zero, one = np.zeros_like(value), np.ones_like(value)
        return np.stack([1 + value, zero, -value * width / 2, zero, one, zero], -1)

    row = Operation("Squeeze", "geometric", "share", 0.0, 0.5, signed=True, identity=0.0, largest=0.9, matrix=squeeze)
    register_operation(row)
    images = pictures(20, 11, 14)
    draw = Draw(torch.full((20, 1), INDEX["Squeeze"]), torch.linspace(-0.5, 0.5, 20).double().view(-1, 1),
                torch.zeros(20, 1, 2).double())  # fmt: skip
    for interpolation, resampling in (("nearest", Image.Resampling.NEAREST), ("bilinear", Image.Resampling.BILINEAR)):
        result = apply(images, draw, backend=backend, interpolation=interpolation)  # type: ignore[arg-type]  # literals
        for k, value in enumerate(draw.value[:, 0].tolist()):
            image = Image.fromarray(images[k].permute(1, 2, 0).numpy())
            map_ = tuple(squeeze(np.array([value]), 11, 14)[0])
            expected = np.asarray(image.transform(image.size, Image.Transform.AFFINE, map_, resampling))
            assert np.array_equal(result[k].permute(1, 2, 0).numpy(), expected)
    policy = DAASPolicy(daas.Policy("s", "a test", (SubPolicy(1.0, (PolicyOp("Squeeze", 1.0, 0.5),)),)))
    policy(images)
    assert not torch.equal(policy.get_transformation_matrix(images[:1], None)[0], torch.eye(3))


def test_what_is_no_operation_is_named() -> None:
    with pytest.raises(BadInput, match=r"takes a daas\.Operation; found str"):
        register_operation("Rotate")  # type: ignore[arg-type]  # the point of the test


def test_floats_need_a_float_form() -> None:
    register_operation(WASH)
    register_operation(SWAP)
    images = torch.rand(2, 3, 8, 8)
    draw = Draw(torch.full((2, 1), INDEX["Wash"]), torch.full((2, 1), 0.5).double(), torch.zeros(2, 1, 2).double())
    torch.testing.assert_close(apply(images, draw, quantize=False), images + (1 - images) * 0.5)
    with pytest.raises(BadInput, match="Swap has no float form, which quantize=False needs"):
        apply(images, dataclasses.replace(draw, op=draw.op * 0 + INDEX["Swap"]), quantize=False)


def _batch_mean(images: Tensor, value: Tensor) -> Tensor:
    return (images.float() * 0 + images.float().mean()).to(images.dtype)


def _in_place(images: Tensor, value: Tensor) -> Tensor:
    return images.mul_(0)


def _raises(images: Tensor, value: Tensor) -> Tensor:
    raise KeyError("three channels only")


def _blur(image: Image.Image, value: float) -> Image.Image:
    return image.filter(ImageFilter.BoxBlur(1))


def _negative(images: Tensor, value: Tensor) -> Tensor:
    return 255 - images


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "Rotate"}, "there is an operation Rotate already"),
    ({"name": "a b"}, "is named by up to 40 letters"),
    ({"name": ""}, "is named by up to 40 letters"),
    ({"name": 3}, "found 3"),
    ({"byte_form": None}, "has no byte_form"),
    ({"byte_form": lambda images, value: images}, "leaves every image as it is"),
    ({"byte_form": lambda images, value: images.float()}, "gives torch.float32"),
    ({"byte_form": lambda images, value: images[:, :1, :1]}, r"the byte form gives torch.uint8 \[2, 1, 1, 5\]"),
    ({"byte_form": lambda images, value: None}, "gives NoneType"),
    ({"byte_form": _in_place}, "changes the images that it is given"),
    ({"byte_form": _raises}, "fails on uint8 .*KeyError: 'three channels only'"),
    ({"byte_form": _batch_mean}, "other values than alone"),
    ({"byte_form": lambda images, value: torch.randint_like(images, 255)}, "other values than alone"),
    ({"float_form": _raises}, "the float form fails on float32"),
    ({"float_form": lambda images, value: images / 0}, "values that are no numbers"),
    ({"pillow_form": _blur}, "the Pillow form differs from the byte form by up to"),
    ({"pillow_form": PillowForm(lambda image, value, where: image.resize((1, 1)))}, "the Pillow form fails"),
    ({"compiled_form": lambda source, target, value: None}, "the compiled form differs from the byte form"),
    ({"compiled_form": "fused"}, "'fused' is the package's own"),
    ({"signed": True}, "is signed and has no magnitude"),
    ({"low": 0.0, "high": 1.0}, "found smallest 0.0, low 0.0, high 1.0, largest 0.0, identity None"),
    ({"low": 0.0, "high": 1.0, "identity": 0.0}, "found smallest 0.0, low 0.0, high 1.0, largest 0.0, identity 0.0"),
    ({"low": 0.0, "high": float("nan"), "identity": 0.0, "largest": 1.0}, "high nan"),
    ({"low": 0.0, "high": 1.0, "identity": 0.0, "largest": 1e9}, "none beyond 10000"),
    ({"low": 0.0, "high": 1.0, "identity": 1.0, "largest": 1.0, "signed": True}, "its identity is 0"),
    ({"low": 0.0, "high": 1.0, "identity": 1.0, "largest": 1.0}, "changes images at the identity 1.0"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_an_operation_that_nobody_can_run_is_refused_where_it_is_registered(
    change: dict[str, Any], message: str
) -> None:
    row = Operation(**{"name": "Bad", "byte_form": _negative, **change})
    count = len(INDEX)
    with pytest.raises(BadInput, match=message):
        register_operation(row)
    assert len(INDEX) == count


def test_registering_twice_is_refused_and_what_is_unknown_is_named() -> None:
    register_operation(SWAP)
    with pytest.raises(BadInput, match="there is an operation Swap already"):
        register_operation(SWAP)
    with pytest.raises(BadInput, match=r"unknown operation 'Wash'; known are .*Crop, Swap"):
        named("Wash")


def test_a_draw_of_another_process_has_its_operations_by_name() -> None:
    names = ["Rotate", "Wash", "Swap", "HFlip"]
    for row in (WASH, SWAP):
        register_operation(row)
    op = indices(names).view(2, 2)
    draw = Draw(op, torch.zeros(2, 2).double(), torch.zeros(2, 2, 2).double())
    policy = DAASPolicy(daas.Policy.of_operations(["Wash", "Swap"]))
    sent, sent_policy = pickle.dumps(draw), pickle.dumps(policy)
    assert pickle.loads(sent).op.equal(op)
    count = len(NAMES)
    # What another process has: the other order, then one of them alone.
    space._all[count:], space.INDEX["Wash"], space.INDEX["Swap"] = [SWAP, WASH], count + 1, count
    assert [space.at(index).name for index in pickle.loads(sent).op.flatten().tolist()] == names
    there = pickle.loads(sent_policy).sample(50, torch.Generator().manual_seed(0))
    assert there.describe(0) == DAASPolicy(policy.policy).sample(50, torch.Generator().manual_seed(0)).describe(0)
    assert torch.equal(there.value[there.op == count], torch.zeros(int((there.op == count).sum())).double())  # Swap
    del space._all[count + 1 :], space.INDEX["Wash"]
    with pytest.raises(BadInput, match="unknown operation 'Wash'"):
        pickle.loads(sent)
    with pytest.raises(BadInput, match="unknown operation 'Wash'"):
        pickle.loads(sent_policy)
    space.INDEX["Wash"] = count + 1
    space._all.append(WASH)


def test_a_map_that_depends_on_the_place_is_a_whole_operation() -> None:
    def half(
        value: Any, center: Any, height: int, width: int
    ) -> Any:  # a quarter of the image, enlarged, wherever the centre is drawn
        result = np.tile([0.5, 0.0, 0.0, 0.0, 0.5, 0.0], (len(value), 1))
        result[value == 0] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        result[value > 0, 2], result[value > 0, 5] = (center[value > 0] * (0.5 * width, 0.5 * height)).T
        return result

    row = Operation("Half", low=0.0, high=1.0, identity=0.0, largest=1.0, matrix=PlacedMatrix(half))
    register_operation(row)
    images = pictures(2, 8, 8)
    center = torch.tensor([[[0.0, 0.0]], [[0.5, 0.5]]]).double()
    draw = Draw(torch.full((2, 1), INDEX["Half"]), torch.ones(2, 1).double(), center)
    parts = [image[:, k : k + 4, k : k + 4] for image, k in zip(images, (0, 2), strict=True)]
    expected = [part.repeat_interleave(2, 1).repeat_interleave(2, 2) for part in parts]
    assert torch.equal(apply(images, draw), torch.stack(expected))
    assert torch.equal(move(images, draw, 0.0, bilinear=False), torch.stack(expected))
