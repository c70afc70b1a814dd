"""SingleImage: the policy inside torchvision's v2 pipelines, for every kind of sample."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from daas import DAASPolicy
from daas.augment import SingleImage
from daas.errors import BadInput
from tests.augment.test_ops import pictures

IMAGES = pictures(12, 24, 30)


def seeded(transform: object, value: object) -> object:
    torch.manual_seed(3)
    return transform(value)  # type: ignore[operator]  # a transform


@pytest.fixture
def single() -> SingleImage:
    return SingleImage(DAASPolicy.load("autoaugment_svhn"))


def test_every_kind_of_image_gets_what_the_batched_policy_gives(single: SingleImage) -> None:
    policy = single.policy
    for image in IMAGES:
        expected = seeded(policy, image.unsqueeze(0))[0]  # type: ignore[index]  # a tensor
        assert torch.equal(seeded(single, image), expected)  # type: ignore[arg-type]
        wrapped = seeded(single, tv_tensors.Image(image))
        assert isinstance(wrapped, tv_tensors.Image)
        assert torch.equal(wrapped, expected)
        pil = seeded(single, functional.to_pil_image(image))
        assert isinstance(pil, Image.Image)
        assert torch.equal(functional.pil_to_tensor(pil), expected)
        floats = seeded(single, image.float() / 255)
        assert torch.equal((floats * 255).round().to(torch.uint8), expected)  # type: ignore[operator]
    assert torch.equal(seeded(single, IMAGES), seeded(policy, IMAGES))  # type: ignore[arg-type]
    assert seeded(single, IMAGES.view(3, 4, 3, 24, 30)).shape == (3, 4, 3, 24, 30)  # type: ignore[attr-defined]


def test_labels_pass_and_boxes_are_refused(single: SingleImage) -> None:
    image, label = v2.Compose([v2.RandomCrop(20), single, v2.ToImage()])(functional.to_pil_image(IMAGES[0]), 4)
    assert (tuple(image.shape), label) == ((3, 20, 20), 4)
    mask = tv_tensors.Mask(torch.zeros(24, 30, dtype=torch.uint8))
    with pytest.raises(TypeError, match="images only; found Mask"):
        single(tv_tensors.Image(IMAGES[0]), mask)


def test_normalising_policies_make_tensors_of_pil_images() -> None:
    single = SingleImage(DAASPolicy.load("randaugment", normalize=((0.5,) * 3, (0.5,) * 3)))
    result = single(functional.to_pil_image(IMAGES[0]))
    assert result.dtype == torch.float32
    assert result.shape == (3, 24, 30)
    assert result.min() >= -1.0


def test_grey_images_and_a_clear_word_about_other_modes(single: SingleImage) -> None:
    assert single(functional.to_pil_image(IMAGES[0]).convert("L")).mode == "L"
    with pytest.raises(TypeError, match="RGB or L; found RGBA"):
        single(functional.to_pil_image(IMAGES[0]).convert("RGBA"))
    with pytest.raises(BadInput, match="takes a DAASPolicy; found str"):
        SingleImage("randaugment")  # type: ignore[arg-type]  # the point of the test


def test_pickled_copied_and_restored_transforms_do_the_same(single: SingleImage) -> None:
    other = SingleImage(DAASPolicy.load("autoaugment_svhn"))
    other.load_state_dict(single.state_dict())
    for twin in (copy.deepcopy(single), pickle.load(io.BytesIO(pickle.dumps(single))), other):  # our own bytes
        assert torch.equal(seeded(twin, IMAGES), seeded(single, IMAGES))  # type: ignore[arg-type]
