"""DAASPolicy: draws follow the policy, application is pure, and the output is what is asked for."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from daas import DAASPolicy
from daas.augment import Policy, PolicyOp, SubPolicy
from daas.augment.space import INDEX
from daas.errors import BadInput

POLICY = Policy(
    "mine",
    "a test",
    (
        SubPolicy(3.0, (PolicyOp("Rotate", 0.3, 20.0), PolicyOp("Invert", 0.9, None))),
        SubPolicy(1.0, (PolicyOp("Solarize", 0.6, 100.0),)),
    ),
)
IMAGES = torch.randint(256, (32, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_a_draw_replays_exactly() -> None:
    transform = DAASPolicy(POLICY)
    draw = transform.sample(32, torch.Generator().manual_seed(2))
    again = transform.sample(32, torch.Generator().manual_seed(2))
    assert torch.equal(transform.apply(IMAGES, draw), transform.apply(IMAGES, again))


def test_as_with_kornia_eval_does_not_switch_it_off() -> None:
    from kornia.augmentation import RandomHorizontalFlip

    for transform in (DAASPolicy(POLICY), RandomHorizontalFlip(p=1.0)):
        images = IMAGES.float() / 255
        torch.manual_seed(0)
        training = transform(images)
        torch.manual_seed(0)
        assert torch.equal(transform.eval()(images), training)
        assert not torch.equal(training, images)


@pytest.fixture
def default_device() -> Iterator[None]:
    """A program that makes its tensors elsewhere unless it says where."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.mark.usefixtures("default_device")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"backend": "torch"},
        {"interpolation": "bilinear"},
        {"p": 0.5},
        {"same_on_batch": True},
        {"normalize": ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))},
    ],
)
def test_the_default_device_of_a_program_changes_nothing(options: dict[str, Any]) -> None:
    here = DAASPolicy.load("autoaugment_imagenet", **options)
    augmented = here(IMAGES, generator=torch.Generator().manual_seed(4))
    torch.set_default_device(None)
    there = DAASPolicy.load("autoaugment_imagenet", **options)
    assert torch.equal(augmented, there(IMAGES, generator=torch.Generator().manual_seed(4)))


@pytest.mark.usefixtures("default_device")
def test_float_images_stay_where_they_are_under_another_default_device() -> None:
    images = (IMAGES.float() / 255.0).requires_grad_()
    DAASPolicy.load("autoaugment_imagenet", quantize=False)(images).sum().backward()
    assert images.grad is not None
    assert images.grad.device.type == "cpu"


def test_images_of_a_batch_get_different_sub_policies_per_image_and_the_same_per_batch() -> None:
    random = torch.Generator().manual_seed(3)
    assert len(DAASPolicy(POLICY).sample(64, random).op.unique(dim=0)) > 2
    assert len(DAASPolicy(POLICY, granularity="batch").sample(64, random).op.unique(dim=0)) == 1
    with pytest.raises(BadInput, match="granularity is 'row'"):
        DAASPolicy(POLICY, granularity="row")  # type: ignore[arg-type]  # the point of the test


def test_normalize_gives_a_normalised_float_batch() -> None:
    plain = DAASPolicy(POLICY)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    draw = plain.sample(32, torch.Generator().manual_seed(4))
    expected = plain.apply(IMAGES, draw).float() / 255
    expected = (expected - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    for images in (IMAGES, IMAGES.float() / 255):
        torch.testing.assert_close(DAASPolicy(POLICY, normalize=(mean, std)).apply(images, draw), expected)


def test_quantize_decides_whether_gradients_pass() -> None:
    images = (IMAGES.float() / 255).requires_grad_()
    assert not DAASPolicy(POLICY)(images).requires_grad
    assert DAASPolicy(POLICY, quantize=False)(images).requires_grad


def test_pickled_and_copied_transforms_do_the_same() -> None:
    transform = DAASPolicy(POLICY)
    draw = transform.sample(32, torch.Generator().manual_seed(5))
    for other in (copy.deepcopy(transform), pickle.load(io.BytesIO(pickle.dumps(transform)))):  # our own bytes
        assert torch.equal(other.apply(IMAGES, draw), transform.apply(IMAGES, draw))
    assert "mine" in repr(transform)


def test_load_takes_a_path_and_names_what_there_is(tmp_path: Path) -> None:
    POLICY.save(tmp_path / "p.json")
    assert DAASPolicy.load(tmp_path / "p.json").policy == POLICY
    with pytest.raises(BadInput, match="neither shipped nor a file"):
        DAASPolicy.load("no_such_policy")


def test_the_backend_is_said_and_forced() -> None:
    assert DAASPolicy(POLICY).backend == DAASPolicy(POLICY, backend="numba").backend == "numba"
    forced = DAASPolicy(POLICY, backend="torch")
    assert forced.backend == forced.backend_for(IMAGES) == "torch"
    soft = DAASPolicy(POLICY, quantize=False)
    assert (soft.backend_for(IMAGES), soft.backend_for(IMAGES / 255)) == ("numba", "torch")
    assert DAASPolicy(POLICY).backend_for(IMAGES.to("meta")) == "torch"
    assert "backend='torch'" in repr(forced)
    restored = pickle.loads(pickle.dumps(forced))  # our own bytes
    assert restored.backend_for(IMAGES) == "torch"


def test_what_a_backend_cannot_do_is_refused() -> None:
    with pytest.raises(BadInput, match="backend is 'cuda'"):
        DAASPolicy(POLICY, backend="cuda")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(BadInput, match="works on 256 levels"):
        DAASPolicy(POLICY, backend="numba", quantize=False)
    with pytest.raises(BadInput, match="the images are on meta"):
        DAASPolicy(POLICY, backend="numba")(IMAGES.to("meta"))


@pytest.mark.parametrize("normalize", [(0.5, 0.5), 3, (), ((0.5,), ("a",))])
def test_statistics_that_are_none_are_named(normalize: Any) -> None:
    with pytest.raises(BadInput, match=r"pair \(mean, std\)"):
        DAASPolicy(POLICY, normalize=normalize)


@pytest.mark.parametrize("mean", [(123.7, 116.3, 103.5), (-0.5, 0.5, 0.5)])
def test_means_of_another_scale_are_named_with_the_way_out(mean: tuple[float, ...]) -> None:
    with pytest.raises(BadInput, match="Divide levels from 0 to 255 by 255"):
        DAASPolicy(POLICY, normalize=(mean, (58.4, 57.1, 57.4)))


@pytest.mark.parametrize(("mean", "std"), [(float("nan"), 0.5), (0.5, float("inf"))])
def test_statistics_are_finite(mean: float, std: float) -> None:
    with pytest.raises(BadInput, match="a mean and a positive standard deviation"):
        DAASPolicy(POLICY, normalize=((mean,) * 3, (std,) * 3))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.rand(2, 3, 8, 8).to_sparse(), "images.to_dense"),
        (torch.rand(2, 3, 8, 8).to(torch.float8_e4m3fn), "found torch.float8_e4m3fn"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint16), "found torch.uint16"),
        (Image.new("RGB", (0, 5)), "found one of 0 x 5"),
    ],
)
def test_images_without_pixels_and_of_other_kinds_are_named(images: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        DAASPolicy(POLICY)(images)


def test_a_name_is_loaded_and_not_constructed() -> None:
    with pytest.raises(BadInput, match=r"found str\. DAASPolicy.load"):
        DAASPolicy("randaugment")  # type: ignore[arg-type]  # the point of the test


def test_interpolation_changes_geometric_operations() -> None:
    draw = DAASPolicy(POLICY).sample(32, torch.Generator().manual_seed(6))
    nearest = DAASPolicy(POLICY).apply(IMAGES, draw)
    bilinear = DAASPolicy(POLICY, interpolation="bilinear").apply(IMAGES, draw)
    different = (nearest != bilinear).flatten(1).any(1)
    assert torch.equal(different, (draw.op == INDEX["Rotate"]).any(1))
    with pytest.raises(BadInput, match="interpolation is 'cubic'"):
        DAASPolicy(POLICY, interpolation="cubic")  # type: ignore[arg-type]  # the point of the test


def test_a_generator_makes_a_call_reproducible() -> None:
    transform = DAASPolicy(POLICY)
    first, again, other = (transform(IMAGES, torch.Generator().manual_seed(seed)) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_model_that_holds_a_policy_can_be_initialised_in_the_usual_way() -> None:
    policy, seen = DAASPolicy.load("randaugment"), []
    model = torch.nn.Sequential(policy, torch.nn.Conv2d(3, 3, 1))
    assert model.apply(lambda module: seen.append(module)) is model
    assert seen == [policy, model[1], model]
    with pytest.raises(TypeError, match="needs a draw"):
        policy.apply(torch.zeros(1, 3, 8, 8))


def test_channels_in_another_place_come_with_the_way_out() -> None:
    policy = DAASPolicy.load("randaugment")
    with pytest.raises(BadInput, match=r"images\.permute\(0, 3, 1, 2\)"):
        policy(torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
    with pytest.raises(BadInput, match="channels last; found"):
        policy(np.zeros((3, 8, 8), dtype=np.uint8))
