"""DAASPolicy: draws follow the policy, application is pure, and the output is what is asked for."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path

import pytest
import torch

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


def within(count: int, total: int, probability: float) -> bool:
    return abs(count / total - probability) < 4.5 * (probability * (1 - probability) / total) ** 0.5


@pytest.mark.parametrize("granularity", ["image", "batch"])
def test_draws_have_the_policys_frequencies(granularity: str) -> None:
    transform = DAASPolicy(POLICY, granularity=granularity)  # type: ignore[arg-type]  # a parameter of the test
    random = torch.Generator().manual_seed(1)
    if granularity == "image":
        draw = transform.sample(100_000, random)
    else:
        draws = [transform.sample(2, random) for _ in range(20_000)]
        assert all(torch.equal(d.op[0], d.op[1]) for d in draws)
        draw = type(draws[0]).concat([d[:1] for d in draws])
    total = len(draw)
    rotated = draw.op[:, 0] == INDEX["Rotate"]
    assert within(int(rotated.sum()), total, 0.75 * 0.3)
    assert within(int((draw.op[:, 1] == INDEX["Invert"]).sum()), total, 0.75 * 0.9)
    assert within(int((draw.op[:, 0] == INDEX["Solarize"]).sum()), total, 0.25 * 0.6)
    assert within(int((draw.value[rotated, 0] > 0).sum()), int(rotated.sum()), 0.5)
    assert set(draw.value[rotated, 0].abs().tolist()) == {20.0}


def test_a_draw_replays_exactly_also_from_its_dict() -> None:
    transform = DAASPolicy(POLICY)
    draw = transform.sample(32, torch.Generator().manual_seed(2))
    again = transform.sample(32, torch.Generator().manual_seed(2))
    assert torch.equal(transform.apply(IMAGES, draw), transform.apply(IMAGES, again))
    restored = type(draw).from_dict(draw.to_dict())
    assert torch.equal(transform.apply(IMAGES, restored), transform.apply(IMAGES, draw))


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
