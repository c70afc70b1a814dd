"""The exported Python file: it runs without this package and does to images what DAASPolicy does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from daas import DAASPolicy
from daas.augment import Draw, Policy, PolicyOp, SubPolicy, find_policy
from daas.augment.export import torchvision_source
from daas.augment.space import OPERATION_NAMES
from tests.augment.test_ops import pictures

TWO = Policy(
    'a "name""" with \\ quotes',
    "a test",
    (
        SubPolicy(3.0, (PolicyOp("Rotate", 0.3, 20.0), PolicyOp("Invert", 0.9, None))),
        SubPolicy(1.0, (PolicyOp("Cutout", 0.6, 0.4),)),
    ),
    (10, 200, 90),
)


def module_of(policy: Policy) -> ModuleType:
    module = ModuleType("exported")
    exec(compile(torchvision_source(policy), "exported.py", "exec"), module.__dict__)  # the file under test
    return module


def by_the_file(module: ModuleType, images: Tensor, draw: Draw) -> Tensor:
    """Our draw, applied by the exported file."""
    rows = []
    for image, ops, values, centers in zip(
        images, draw.op.tolist(), draw.value.tolist(), draw.center.tolist(), strict=True
    ):
        chosen = [
            (OPERATION_NAMES[op], value, tuple(center))
            for op, value, center in zip(ops, values, centers, strict=True)
            if op >= 0
        ]
        rows.append(functional.pil_to_tensor(module.apply(functional.to_pil_image(image), chosen)))
    return torch.stack(rows)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", ["random", "autoaugment_cifar10", "randaugment", "two"])
def test_the_same_draw_gives_the_same_images(name: str, channels: int) -> None:
    random = torch.Generator().manual_seed(0)
    policies = {"random": Policy.random(random), "two": TWO}
    policy = policies[name] if name in policies else find_policy(name)
    transform = DAASPolicy(policy)
    draw = transform.sample(300, random)
    images = pictures(300, 33, 26, seed=1, channels=channels)
    assert torch.equal(by_the_file(module_of(policy), images, draw), transform.apply(images, draw))


def test_it_draws_with_the_policys_frequencies() -> None:
    module = module_of(TWO)
    torch.manual_seed(0)
    draws = [module.draw() for _ in range(4000)]
    share = {name: sum(any(op == name for op, _, _ in draw) for draw in draws) / 4000 for name in OPERATION_NAMES}
    expected = TWO.operation_share()
    for name in OPERATION_NAMES:
        assert abs(share[name] - expected[name]) <= 4.5 * (expected[name] / 4000) ** 0.5
    angles = [value for draw in draws for op, value, _ in draw if op == "Rotate"]
    assert set(angles) == {20.0, -20.0}
    assert abs(angles.count(20.0) / len(angles) - 0.5) < 4.5 * 0.5 / len(angles) ** 0.5


def test_it_takes_what_torchvisions_pipelines_hold() -> None:
    transform = module_of(TWO).AugmentationPolicy()
    images = pictures(24, 20, 28)
    torch.manual_seed(1)
    expected = transform(images)
    assert (expected != images).flatten(1).any(1).sum() > 10
    assert len(expected[::8].flatten(1).unique(dim=0)) == 3

    def again(value: Any) -> Any:
        torch.manual_seed(1)
        return transform(value)

    floats = again(images.float() / 255)
    assert torch.equal((floats * 255).round().to(torch.uint8), expected)
    wrapped = again(tv_tensors.Image(images))
    assert isinstance(wrapped, tv_tensors.Image)
    assert torch.equal(wrapped, expected)
    torch.manual_seed(1)
    one_by_one = [functional.pil_to_tensor(transform(functional.to_pil_image(image))) for image in images]
    assert torch.equal(torch.stack(one_by_one), expected)
    image, label = v2.Compose([v2.RandomHorizontalFlip(), transform])(functional.to_pil_image(images[0]), 7)
    assert (image.size, label) == ((28, 20), 7)
    assert transform(images[:0]).shape == images[:0].shape
    boxes = tv_tensors.BoundingBoxes([[0, 0, 4, 4]], format="XYXY", canvas_size=(20, 28))
    with pytest.raises(TypeError, match="images only; found BoundingBoxes"):
        transform({"image": tv_tensors.Image(images[0]), "boxes": boxes})


def test_the_file_runs_where_this_package_is_not(tmp_path: Path) -> None:
    """In a process of its own, in which importing the package is an error; also through pickle, as workers need it."""
    (tmp_path / "policy.py").write_text(torchvision_source(find_policy("autoaugment_cifar10")))
    (tmp_path / "use.py").write_text(
        "import pickle, sys\n"
        "for name in ('daas', 'timm', 'kornia'): sys.modules[name] = None\n"
        "import torch, policy\n"
        "transform = pickle.loads(pickle.dumps(policy.AugmentationPolicy()))\n"
        "torch.manual_seed(0)\n"
        "print(transform, transform(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).shape)\n"
    )
    done = subprocess.run([sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'autoaugment_cifar10', 45 sub-policies" in done.stdout
    assert "torch.Size([2, 3, 8, 8])" in done.stdout
