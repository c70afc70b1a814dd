"""SingleImage: the policy inside torchvision's v2 pipelines, for every kind of sample, with what is marked on it."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from daas import DAASPolicy
from daas.augment import SingleImage
from daas.errors import BadInput
from tests.augment.inputs import pictures
from tests.augment.test_kornia import MOVING, SIZE, centroids, points, policy_of, spots

IMAGES = pictures(12, 24, 30)
FORMATS = ["XYXY", "XYWH", "CXCYWH", "XYWHR", "CXCYWHR", "XYXYXYXY"]


def seeded(transform: Any, *value: Any) -> Any:
    torch.manual_seed(3)
    return transform(*value)


@pytest.fixture
def single() -> SingleImage:
    return SingleImage(DAASPolicy.load("autoaugment_svhn"))


def test_every_kind_of_image_gets_what_the_batched_policy_gives(single: SingleImage) -> None:
    policy = single.policy
    for image in IMAGES:
        expected = seeded(policy, image.unsqueeze(0))[0]
        assert torch.equal(seeded(single, image), expected)
        wrapped = seeded(single, tv_tensors.Image(image))
        assert isinstance(wrapped, tv_tensors.Image)
        assert torch.equal(wrapped, expected)
        array = image.permute(1, 2, 0).numpy()
        for transform in (single, policy):
            pil = seeded(transform, functional.to_pil_image(image))
            assert isinstance(pil, Image.Image)
            assert torch.equal(functional.pil_to_tensor(pil), expected)
            plain = seeded(transform, array)
            assert isinstance(plain, np.ndarray)
            assert np.array_equal(plain, expected.permute(1, 2, 0).numpy())
        floats = seeded(single, image.float() / 255)
        assert torch.equal((floats * 255).round().to(torch.uint8), expected)
    assert torch.equal(seeded(single, IMAGES), seeded(policy, IMAGES))
    assert seeded(single, IMAGES.view(3, 4, 3, 24, 30)).shape == (3, 4, 3, 24, 30)


def test_a_policy_takes_arrays_and_pil_images_of_all_shapes() -> None:
    policy = DAASPolicy.load("autoaugment_svhn")
    batch = IMAGES.permute(0, 2, 3, 1).numpy()
    assert np.array_equal(seeded(policy, batch), seeded(policy, IMAGES).permute(0, 2, 3, 1).numpy())
    grey = np.ascontiguousarray(batch[0, :, :, 0])
    assert seeded(policy, grey).shape == (24, 30)
    assert seeded(policy, batch[0].astype(np.float32) / 255).dtype == np.float32
    image = functional.to_pil_image(IMAGES[0])
    first = policy(image)
    assert np.array_equal(np.array(policy(image, params=policy._params)), np.array(first))
    normal = DAASPolicy.load("autoaugment_svhn", normalize=((0.5,) * 3, (0.5,) * 3))
    assert normal(image).shape == (3, 24, 30)
    compose = v2.Compose([v2.RandomCrop(20), policy, v2.ToImage()])
    assert compose(image).shape == (3, 20, 20)
    for wrong in (7, "cat.jpg", np.zeros(3)):
        with pytest.raises(BadInput, match="an image is a tensor"):
            policy(wrong)


def test_labels_pass(single: SingleImage) -> None:
    image, label = v2.Compose([v2.RandomCrop(20), single, v2.ToImage()])(functional.to_pil_image(IMAGES[0]), 4)
    assert (tuple(image.shape), label) == ((3, 20, 20), 4)
    sample = {"image": tv_tensors.Image(IMAGES[0]), "label": torch.tensor(3), "weight": torch.ones(5)}
    after = single(sample)
    assert torch.equal(after["weight"], torch.ones(5))
    assert after["label"] == 3


def test_normalising_policies_make_tensors_of_pil_images() -> None:
    single = SingleImage(DAASPolicy.load("randaugment", normalize=((0.5,) * 3, (0.5,) * 3)))
    result = single(functional.to_pil_image(IMAGES[0]))
    assert result.dtype == torch.float32
    assert result.shape == (3, 24, 30)
    assert result.min() >= -1.0


def test_grey_images_and_a_clear_word_about_other_modes(single: SingleImage) -> None:
    assert single(functional.to_pil_image(IMAGES[0]).convert("L")).mode == "L"
    with pytest.raises(BadInput, match="RGB or L; found RGBA"):
        single(functional.to_pil_image(IMAGES[0]).convert("RGBA"))
    with pytest.raises(BadInput, match="takes a DAASPolicy; found str"):
        SingleImage("randaugment")  # type: ignore[arg-type]  # the point of the test


def test_pickled_copied_and_restored_transforms_do_the_same(single: SingleImage) -> None:
    other = SingleImage(DAASPolicy.load("autoaugment_svhn"))
    other.load_state_dict(single.state_dict())
    for twin in (copy.deepcopy(single), pickle.load(io.BytesIO(pickle.dumps(single))), other):  # our own bytes
        assert torch.equal(seeded(twin, IMAGES), seeded(single, IMAGES))


@pytest.mark.parametrize("policy", MOVING, ids=lambda p: "+".join(o.op for o in p.sub_policies[0].ops))
def test_masks_and_key_points_land_where_the_content_lands(policy: Any) -> None:
    single = SingleImage(DAASPolicy(policy, interpolation="nearest"))
    masks = tv_tensors.Mask(spots(points())[0].to(torch.uint8))
    image = tv_tensors.Image((spots(points())[0, :1] * 255).expand(3, -1, -1).to(torch.uint8))
    marks = tv_tensors.KeyPoints(points()[0], canvas_size=SIZE)
    torch.manual_seed(0)
    for _ in range(4):
        seen, moved, landed = single(image, masks, marks)
        assert isinstance(moved, tv_tensors.Mask)
        assert isinstance(landed, tv_tensors.KeyPoints)
        assert (centroids(moved[None].float())[0] - landed).norm(dim=-1).max() < 0.5
        if "Invert" not in str(policy):
            assert torch.equal(seen[0] == 255, moved[0] == 1)
        assert (landed - marks).norm(dim=-1).max() > 1.0


def in_format(kind: str, *corners: tuple[float, float, float, float]) -> Any:
    """Boxes of a format from their left, top, right and bottom."""
    plain = torch.tensor(corners)
    if kind in FORMATS[3:]:
        plain = plain[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    boxes = tv_tensors.BoundingBoxes(plain, format=f"XYXY{'XYXY' * (plain.shape[1] > 4)}", canvas_size=SIZE)
    return functional.convert_bounding_box_format(boxes, new_format=kind)


def upright(boxes: Any) -> Tensor:
    """[N, 4], the upright boxes around, corners first."""
    rotated = boxes.format.name in ("XYWHR", "CXCYWHR", "XYXYXYXY")
    flat = functional.convert_bounding_box_format(boxes, new_format="XYXYXYXY" if rotated else "XYXY")
    pairs = flat.as_subclass(Tensor).view(len(boxes), -1, 2)
    return torch.cat([pairs.amin(1), pairs.amax(1)], 1)


@pytest.mark.parametrize(
    ("policy", "kind"),
    # A sheared turned box is no box, and torchvision keeps its longer diagonal only.
    [(p, kind) for kind in FORMATS for p in MOVING if kind not in FORMATS[3:] or "Shear" not in str(p)],
    ids=lambda x: x if isinstance(x, str) else "+".join(o.op for o in x.sub_policies[0].ops),
)
def test_boxes_contain_what_they_contained(policy: Any, kind: str) -> None:
    corners = [(24.0, 22.0, 35.0, 30.0), (36.0, 30.0, 50.0, 40.0)]
    inside = torch.zeros(2, *SIZE, dtype=torch.uint8)
    for n, (left, top, right, bottom) in enumerate(corners):
        inside[n, int(top) : int(bottom), int(left) : int(right)] = 1
    boxes = in_format(kind, *corners)
    image = tv_tensors.Image(torch.zeros(3, *SIZE, dtype=torch.uint8))
    torch.manual_seed(1)
    for _ in range(3):
        _, moved, after = SingleImage(DAASPolicy(policy))(image, tv_tensors.Mask(inside), boxes)
        assert isinstance(after, tv_tensors.BoundingBoxes)
        assert (after.format, after.canvas_size, after.shape) == (boxes.format, SIZE, boxes.shape)
        x0, y0, x1, y1 = (side.view(-1, 1, 1) for side in upright(after).unbind(1))
        y, x = torch.arange(SIZE[0]).view(-1, 1) + 0.5, torch.arange(SIZE[1]) + 0.5
        edge = 0.75 * sum(op.op != "Invert" for op in policy.sub_policies[0].ops)
        covered = (x > x0 - edge) & (x < x1 + edge) & (y > y0 - edge) & (y < y1 + edge)
        assert moved.sum() > 100
        assert not (moved.bool() & ~covered).any()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("name", "theirs"), [("HFlip", functional.horizontal_flip), ("VFlip", functional.vertical_flip)]
)
def test_flips_are_torchvisions(name: str, theirs: Any, kind: str) -> None:
    boxes = in_format(kind, (24.0, 22.0, 35.0, 30.0))
    marks = tv_tensors.KeyPoints(points()[0], canvas_size=SIZE)
    image = tv_tensors.Image(pictures(1, *SIZE)[0])
    sample = SingleImage(DAASPolicy(policy_of(name)))(image, boxes, marks)
    assert torch.equal(sample[0], theirs(image))
    torch.testing.assert_close(upright(sample[1]), upright(theirs(boxes)), rtol=0, atol=1e-3)
    torch.testing.assert_close(sample[2], theirs(marks))


def test_boxes_are_clamped_as_they_say_and_whole_numbers_stay_whole() -> None:
    image = tv_tensors.Image(torch.zeros(3, *SIZE, dtype=torch.uint8))
    for mode in ("soft", None):
        boxes = tv_tensors.BoundingBoxes([[0, 0, 75, 61]], format="XYXY", canvas_size=SIZE, clamping_mode=mode)
        _, after = SingleImage(DAASPolicy(policy_of("Rotate")))(image, boxes)
        assert after.dtype == torch.int64
        assert (after[0, 0] < 0) == (mode is None)
        assert (after[0, 2] > 75) == (mode is None)


def test_marks_stay_where_nothing_moves_and_masks_take_a_fill() -> None:
    image, mask = tv_tensors.Image(IMAGES[0]), tv_tensors.Mask(torch.randint(5, (24, 30)))
    boxes = tv_tensors.BoundingBoxes([[1, 2, 33, 9]], format="XYXY", canvas_size=(24, 30))
    still = SingleImage(DAASPolicy(policy_of("Invert")))(image, mask, boxes)
    assert torch.equal(still[0], 255 - IMAGES[0])
    assert torch.equal(still[1], mask)
    assert torch.equal(still[2], boxes)
    _, moved = SingleImage(DAASPolicy(policy_of("TranslateX")), mask_fill=255)(image, mask)
    assert (moved == 255).any(0).sum() == 6  # 0.21 of 30 columns
    assert moved.dtype == mask.dtype


def test_a_clip_and_a_batch_with_marks_share_one_draw() -> None:
    single = SingleImage(DAASPolicy.load("trivialaugment"))
    clip = tv_tensors.Video(IMAGES[:1].expand(6, -1, -1, -1).contiguous())
    batch = tv_tensors.Image(IMAGES[:1].expand(6, -1, -1, -1).contiguous())
    torch.manual_seed(0)
    assert all(len(single(clip).flatten(1).unique(dim=0)) == 1 for _ in range(5))
    mask = tv_tensors.Mask(torch.zeros(6, 24, 30))
    assert all(len(single(batch, mask)[0].flatten(1).unique(dim=0)) == 1 for _ in range(5))
    assert len(single(batch).flatten(1).unique(dim=0)) > 1


def test_parts_of_a_sample_are_of_one_size() -> None:
    single, mask = SingleImage(DAASPolicy.load("trivialaugment")), tv_tensors.Mask(torch.zeros(12, 30))
    boxes = tv_tensors.BoundingBoxes([[1, 2, 3, 9]], format="XYXY", canvas_size=(24, 31))
    for picture in (tv_tensors.Image(IMAGES[0]), Image.new("RGB", (30, 24))):
        with pytest.raises(BadInput, match=r"different sizes .*24 x 30, Mask 12 x 30"):
            single(picture, mask)
        with pytest.raises(BadInput, match="BoundingBoxes 24 x 31"):
            single(picture, boxes)
