"""Every example runs, and does what its docstring says."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torchvision import tv_tensors

import daas

FOLDER = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "demo")  # the demo is a search of its own


@pytest.fixture
def example(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    name = f"daas_example_{request.param}"
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{request.param}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


def run(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", [name], indirect=True)


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_shows_and_how_to_run_it(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    assert text.startswith('"""')
    assert f"python examples/{name}.py" in text
    assert f'@run("{name}")' in Path(__file__).read_text(), "an example without a test"


@run("plain_loop")
def test_plain_loop(example: ModuleType) -> None:
    assert 0 < example.main() < 100


@run("torchvision_compose")
def test_torchvision_compose(example: ModuleType) -> None:
    done = example.main()
    assert [tuple(result.shape) for result in done.values()] == [(3, 224, 224)] * 3 + [(8, 3, 224, 224)]
    assert all(result.dtype == torch.float32 for result in done.values())
    assert isinstance(done["tv_tensors.Image"], tv_tensors.Image)
    assert len(done["batch"].flatten(1).unique(dim=0)) > 2  # the images of a batch differ


@run("kornia_sequential")
def test_kornia_sequential(example: ModuleType) -> None:
    assert example.main().shape == (16, 3, 64, 64)


def test_kornia_runs_the_policy_as_it_is() -> None:
    import kornia.augmentation as K  # what Kornia's users call it

    images = torch.rand(12, 3, 16, 16)
    policy = daas.DAASPolicy.load("autoaugment_svhn")
    torch.manual_seed(1)
    expected = policy(images)
    torch.manual_seed(1)
    assert torch.equal(K.AugmentationSequential(policy, data_keys=["input"])(images), expected)


@run("timm_loader")
def test_timm_loader(example: ModuleType) -> None:
    batch, targets = example.main()
    assert batch.shape == (16, 3, 64, 64)
    assert batch.min() < -1.5  # normalised, not in [0, 1]
    torch.testing.assert_close(targets.sum(1), torch.ones(16))
    assert targets.max() < 1.0  # mixed and smoothed


@run("hugging_face")
def test_hugging_face(example: ModuleType) -> None:
    batch = example.main()
    assert batch["pixel_values"].shape == (20, 3, 32, 32)
    assert batch["pixel_values"].min() >= -2.0
    assert batch["labels"].dtype == torch.int64


@run("worker_collate")
def test_worker_collate(example: ModuleType) -> None:
    assert example.main()
    in_this_process = example.epoch(seed=1, workers=0)
    assert [images.shape for images in in_this_process] == [(16, 3, 32, 32)] * 6
