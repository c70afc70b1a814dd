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
from torchvision.transforms.v2 import functional

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
    assert [tuple(result.shape) for result in done.values()] == [(3, 224, 224)] * 4 + [(8, 3, 224, 224)]
    assert all(result.dtype == torch.float32 for result in done.values())
    assert isinstance(done["tv_tensors.Image"], tv_tensors.Image)
    assert len(done["batch"].flatten(1).unique(dim=0)) > 2  # the images of a batch differ


@run("kornia_sequential")
def test_kornia_sequential(example: ModuleType) -> None:
    images, masks, boxes, points = example.main()
    assert images.shape == (16, 3, 64, 64)
    assert masks.dtype == torch.int64
    assert len(boxes.unique(dim=0)) > 4  # each where its image went
    assert points.shape == (16, 2, 2)


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


@run("timm_loader")
def test_a_line_in_timms_script(example: ModuleType) -> None:
    plain, augmented = example.loader(), example.loader()
    example.in_timms_script(augmented)
    (before, _), (after, _) = next(iter(plain)), next(iter(augmented))
    assert before.shape == after.shape == (16, 3, 64, 64)
    assert after.mean() != before.mean()
    names = [type(part).__name__ for part in augmented.dataset.transform.transforms]
    assert names.index("DAASPolicy") == len(names) - 2


@run("hugging_face")
def test_hugging_face(example: ModuleType) -> None:
    batch, plain = example.main()
    for one in (batch, plain):
        assert one["pixel_values"].shape == (20, 3, 32, 32)
        assert one["pixel_values"].min() >= -2.0
        assert one["labels"].dtype == torch.int64
    rows = {"image": [functional.to_pil_image(torch.full((3, 32, 32), 200, dtype=torch.uint8))] * 8, "label": [0] * 8}
    assert len(torch.stack(example.evaluation(rows)["pixel_values"]).unique()) == 1  # evaluation is not augmented
    assert len(example.training(rows)["pixel_values"].unique()) > 1


@run("hugging_face_trainer")
def test_hugging_faces_trainer(example: ModuleType) -> None:
    model, found = example.main()
    assert found["eval_accuracy"] == 1.0
    plain, augmented = (torch.cat(model.seen[mode]) for mode in (False, True))
    assert len(plain.flatten(1).unique(dim=0)) == 2  # the pictures as they are, one per class
    assert len(augmented.flatten(1).unique(dim=0)) > 40


@run("lightning_module")
def test_lightning(example: ModuleType) -> None:
    module = example.main()
    plain, augmented = (torch.cat(module.seen[loop]) for loop in ("validate", "train"))
    assert len(plain.flatten(1).unique(dim=0)) == 2
    assert len(augmented.flatten(1).unique(dim=0)) > 30
    assert plain.dtype == augmented.dtype == torch.float32
    assert module.trainer.callback_metrics["accuracy"] == 1.0
    assert {name.split(".")[0] for name in module.state_dict()} == {"model"}  # the policy adds nothing


@run("accelerate_loop")
def test_accelerate(example: ModuleType) -> None:
    assert 0 < example.main() < 100


def test_timm_takes_policies_by_name(tmp_path: Path) -> None:
    """What ``--aa`` of timm's script does with a name."""
    import timm.data
    from timm.data import create_loader, create_transform
    from torchvision.datasets import FakeData

    found = daas.Policy.of_operations(["Invert", "Rotate"])
    found.save(tmp_path / "policy.json")
    for name, expected in (("randaugment", daas.DAASPolicy.load("randaugment").policy), (tmp_path, found)):
        transform = create_transform((3, 32, 32), is_training=True, auto_augment=f"daas:{name}")
        kinds = [type(part).__name__ for part in transform.transforms]
        place = kinds.index("DAASPolicy")
        assert kinds[:place] == ["RandomResizedCropAndInterpolation", "RandomHorizontalFlip"]
        assert "ColorJitter" not in kinds
        assert transform.transforms[place].policy.sub_policies == expected.sub_policies
    loader = create_loader(
        FakeData(16, (3, 40, 40)), (3, 32, 32), 8, is_training=True, auto_augment="daas:randaugment", num_workers=2,
        device=torch.device("cpu"),
    )  # fmt: skip
    assert [images.shape for images, _ in loader] == [(8, 3, 32, 32)] * 2
    assert create_transform(32, is_training=True, auto_augment="original-mstd0.5") is not None  # timm's own go on
    with pytest.raises(daas.BadInput, match="neither shipped nor a file"):
        create_transform(32, is_training=True, auto_augment="daas:randaugmnt")
    (tmp_path / "policy.json").rename(tmp_path / "3a.json")
    with pytest.warns(UserWarning, match="--color-jitter 0"):
        create_transform(32, is_training=True, auto_augment=f"daas:{tmp_path / '3a.json'}")
    once = timm.data.transforms_factory.auto_augment_transform
    daas.timm_names.teach("daas.augment")
    assert timm.data.transforms_factory.auto_augment_transform is once


@run("segmentation")
def test_segmentation(example: ModuleType) -> None:
    losses = example.main()
    assert losses[-1] < 0.4 * losses[0]


@run("detection")
def test_detection(example: ModuleType) -> None:
    assert 0.0 < example.main() < 50.0
    torch.manual_seed(1)
    squares = example.Squares(20, example.TRAINING)
    for image, target in (squares[index] for index in range(20)):
        assert image.dtype == torch.float32
        assert len(target["boxes"]) == len(target["labels"])
        assert (target["boxes"] >= 0).all()
        assert (target["boxes"] <= 96).all()


@run("worker_collate")
def test_worker_collate(example: ModuleType) -> None:
    assert example.main()
    in_this_process = example.epoch(seed=1, workers=0)
    assert [images.shape for images in in_this_process] == [(16, 3, 32, 32)] * 6
