"""The base transforms: what they are, beside being Pillow's to the bit (``test_ops``)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from daas.augment import DAASPolicy, Policy, PolicyOp, SubPolicy
from daas.augment.draw import Draw
from daas.augment.moves import move, moves
from daas.augment.ops import Backend, apply
from daas.augment.space import INDEX, OPERATION_NAMES, matrices
from tests.augment.inputs import pictures

both = pytest.mark.parametrize("backend", ["torch", "numba"])


def drawn(name: str, value: float, count: int) -> Draw:
    shape = (count, 1)
    return Draw(torch.full(shape, INDEX[name]), torch.full(shape, value).double(), torch.zeros(*shape, 2).double())


@both
@pytest.mark.parametrize("size", [(16, 16), (7, 12), (1, 5)])
def test_they_are_what_they_are_called(size: tuple[int, int], backend: Backend) -> None:
    images = pictures(8, *size)
    expected = {"HFlip": images.flip(3), "VFlip": images.flip(2)}
    for name, flipped in expected.items():
        assert torch.equal(apply(images, drawn(name, 0.0, 8), backend=backend), flipped)
        assert torch.equal(apply(images, drawn(name, 0.0, 8), backend=backend, interpolation="bilinear"), flipped)
        assert torch.equal(apply(images / 255, drawn(name, 0.0, 8), quantize=False), flipped / 255)
    grey = apply(images, drawn("Grayscale", 0.0, 8), backend=backend)
    assert torch.equal(grey, grey[:, :1].expand_as(grey))
    assert torch.equal(apply(images[:, :1], drawn("Grayscale", 0.0, 8), backend=backend), images[:, :1])


@both
def test_quarter_turns_of_a_square_lose_nothing(backend: Backend) -> None:
    images = pictures(4, 9, 9)
    for value, turns in ((1.0, 1), (-1.0, 3), (2.0, 2), (-2.0, 2), (0.4, 0), (0.6, 1), (1.6, 2), (0.0, 0)):
        expected = torch.rot90(images, turns, (2, 3))  # counter-clockwise
        assert torch.equal(apply(images, drawn("Rot90", value, 4), backend=backend), expected), value


@both
def test_a_quarter_turn_of_an_oblong_stays_in_its_frame(backend: Backend) -> None:
    """As Rotate by 90 degrees: the middle is turned, what has no source is filled."""
    images = pictures(4, 6, 10)
    turned = apply(images, drawn("Rot90", 1.0, 4), fill=(1, 2, 3), backend=backend)
    assert torch.equal(turned, apply(images, drawn("Rotate", 90.0, 4), fill=(1, 2, 3), backend=backend))
    assert torch.equal(turned[..., 2:8], torch.rot90(images[..., 2:8], 1, (2, 3)))
    assert torch.equal(turned[:, :, 0, 0], torch.tensor([[1, 2, 3]], dtype=torch.uint8).expand(4, 3))
    assert torch.equal(apply(images, drawn("Rot90", 2.0, 4), backend=backend), images.flip(2, 3))


@both
def test_a_crop_is_a_part_of_the_image_enlarged(backend: Backend) -> None:
    """A quarter of the image, wherever it lies: every pixel of it twice as large."""
    images = pictures(3, 8, 12)
    draw = drawn("Crop", 0.5, 3)
    draw.center[:, 0] = torch.tensor([[0.0, 0.0], [0.5, 0.25], [0.999999, 0.999999]]).double()
    result = apply(images, draw, backend=backend)
    for index, (left, top) in enumerate(((0, 0), (3, 1), (6, 4))):
        part = images[index, :, top : top + 4, left : left + 6]
        assert torch.equal(result[index], part.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert torch.equal(apply(images, drawn("Crop", 0.0, 3), backend=backend), images)


def test_masks_follow_a_crop() -> None:
    images = pictures(2, 8, 8)
    draw = drawn("Crop", 0.5, 2)
    draw.center[:, 0] = torch.tensor([[0.5, 0.5], [0.0, 0.75]]).double()
    assert torch.equal(move(images, draw, 0.0, bilinear=False), apply(images, draw))
    corner = moves(draw, 8, 8, whole_pixels=True) @ torch.tensor([1.5, 1.5, 1.0]).double()
    assert corner[:, :2].tolist() == [[-0.5, -0.5], [3.5, -2.5]]  # left and top lie at (2, 2) and (0, 3)


@pytest.mark.parametrize(("name", "value"), [("HFlip", 0.0), ("VFlip", 0.0), ("Rot90", 1.0), ("Rot90", -2.0)])
def test_their_maps_can_be_inverted(name: str, value: float) -> None:
    full = torch.eye(3, dtype=torch.float64)
    full[:2] = torch.from_numpy(
        matrices(
            torch.tensor([INDEX[name]]).numpy(), torch.tensor([value]).double().numpy(), np.full((1, 2), 0.5), 8, 8
        )
    ).view(2, 3)
    assert float(full.det().abs()) == pytest.approx(1.0)
    corner = full @ torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    assert set(corner[:2].tolist()) <= {0.0, 8.0}  # corners go to corners


def test_they_are_usable_in_policies_and_no_part_of_the_search_space() -> None:
    names = ("HFlip", "VFlip", "Rot90", "Grayscale", "Crop")
    assert not set(names) & set(OPERATION_NAMES)
    ops = (PolicyOp("HFlip", 0.5, None), PolicyOp("VFlip", 0.5, None), PolicyOp("Rot90", 1.0, 1.0),
           PolicyOp("Grayscale", 0.2, None), PolicyOp("Crop", 0.3, 0.4))  # fmt: skip
    policy = Policy.from_dict(Policy("base", "a test", (SubPolicy(1.0, ops),)).to_dict())
    draw = DAASPolicy(policy).sample(1000, torch.Generator().manual_seed(0))
    assert set(draw.value[:, 2].tolist()) == {-1.0, 1.0}
    assert Draw.from_dict(draw.to_dict()).op.equal(draw.op)
    assert policy.operation_share() == dict.fromkeys(OPERATION_NAMES, 0.0) | dict(
        zip(names, (0.5, 0.5, 1.0, 0.2, 0.3), strict=True)
    )
