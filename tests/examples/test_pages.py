"""Every block of code in the documentation runs, in the order in which a reader of its page meets it."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision import tv_tensors

import daas
from daas.__main__ import main

ROOT = Path(__file__).parents[2]
RUN, SHOWN = ("sh", "bash", "python", "py"), ("json", "yaml", "text")
ELSEWHERE = {"library": "tests/test_library.py", "policies": "test_docs.py"}
"""Pages whose code other tests run."""
NOT_RUN = ("make", "pip", "hf", "torchrun", "python train.py", "python -c")
"""How command lines begin that install, log in, start several processes, or run a script that is not ours."""


@dataclass(frozen=True)
class Page:
    """What a page's code needs and how it is made short.

    Attributes:
        shorter: Text -> text, in its blocks; each of them must occur.
        behind: Words put behind a command line, by the verb of daas.
        names: Makes what its Python takes as given.
        made: Whether ``runs/mine`` holds a run already, and ``photos`` its training and its validation images apart.
        offline: Command lines, by their beginning, that need a network connection and are therefore not run.
    """

    shorter: dict[str, str] = field(default_factory=dict)
    behind: dict[str, list[str]] = field(default_factory=dict)
    names: Callable[[], dict[str, Any]] = dict
    made: bool = False
    offline: tuple[str, ...] = ()


def _images(side: int = 16) -> dict[str, Any]:
    return {"images": torch.randint(256, (160, 3, side, side), dtype=torch.uint8), "labels": torch.arange(160) % 2}


def _marked() -> dict[str, Any]:
    boxes = torch.tensor([[[2.0, 3.0, 20.0, 21.0]]] * 4)
    return {**_images(32), "images": torch.rand(4, 3, 32, 32), "masks": torch.zeros(4, 1, 32, 32), "boxes": boxes,
            "points": torch.full((4, 1, 2), 7.0), "torch": torch}  # fmt: skip


def _sample() -> dict[str, Any]:
    boxes = tv_tensors.BoundingBoxes([[2, 3, 20, 21]], format="XYXY", canvas_size=(32, 32))  # type: ignore[call-overload]
    mask = tv_tensors.Mask(torch.zeros(32, 32, dtype=torch.uint8))
    image = tv_tensors.Image(torch.zeros(3, 32, 32, dtype=torch.uint8))
    loader = [(torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8), torch.arange(4))]
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    return {"image": image, "target": {"boxes": boxes, "masks": mask, "labels": torch.tensor([1])}, "loader": loader,
            "model": model, "criterion": nn.CrossEntropyLoss(), "mean": (0.5,) * 3, "std": (0.25,) * 3}  # fmt: skip


def _given() -> dict[str, Any]:
    given = _images()
    one = given["images"][:40], given["labels"][:40]
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    policy = daas.augment.find_policy("randaugment")
    return {**given, "val_images": one[0], "val_labels": one[1], "my_network": net, "policy": policy,
            "found": type("Found", (), {"policy": policy})}  # fmt: skip


def _table() -> dict[str, Any]:
    """Images in one folder, and their labels in a table as Excel saves it."""
    images = sorted(Path("photos").rglob("*.png"))
    Path("images").mkdir()
    for index, path in enumerate(images):
        shutil.copy(path, f"images/{index}.png")
    rows = [f"{index}.png,{path.parent.name}" for index, path in enumerate(images)]
    Path("labels.csv").write_text("\r\n".join(["file,label", *rows]), encoding="utf-8-sig")
    return {}


_TRAIN = ["--workers", "0", "--epochs", "1"]
_ONE_STEP = shlex.split(
    "--max-steps 1 --batch-size 16 --image-size 16 --max-images 160 --channels 2 --layers 3 --nodes 2"
)
_SMALL = '"daas_test_convnet"'
_WEIGHTS = "--pretrained-path pretrained.safetensors"
PAGES = {
    "augment": Page(names=_marked),
    "data": Page(names=_table),
    "hub": Page(
        {"--recipe digits-cpu": "--recipe digits-cpu --epochs 1", "hf-hub:user/mine": "local-dir:repositories/mine"},
        {"search": ["--max-steps", "2", "--channels", "2", "--layers", "3", "--nodes", "2", "--max-images", "160"]},
        offline=("daas hub push", "hf auth login"),
    ),
    "finetune": Page(
        {
            "--model resnet18 --pretrained": f"--model test_resnet {_WEIGHTS}",
            "--aa daas:runs/race/policy.json": "--aa daas:randaugment",  # a race of moments may choose none
            "--recipe finetune --model resnet18": f"--recipe finetune --model test_resnet {_WEIGHTS}",
            "--preset finetune --model resnet18": f"--preset finetune --model test_resnet {_WEIGHTS}",
        },
        {
            "screen": ["--epochs", "1", "--image-size", "32"],
            "race": ["--epochs", "1", "--folds", "2", "--batch-size", "20", "--trainings", "4", "--image-size", "32"],
            "train": [*_TRAIN, "--img-size", "32", "-b", "16"],
            "search": ["--max-steps", "2", "--batch-size", "16", "--image-size", "32"],
        },
    ),
    "index": Page(
        {
            "--model resnet18": "--model daas_test_convnet",
            "daas:runs/screen/policy.json": "daas:randaugment",  # a screen of moments may leave no policy
        },
        {
            "screen": ["--epochs", "1", "--image-size", "16"],
            "search": _ONE_STEP,
            "train": [*_TRAIN, "--img-size", "32", "-b", "16"],
        },
        names=_images,
    ),
    "models": Page(
        {
            'model = timm.create_model("pc_darts_image_imagenet")': "",
            'model = timm.create_model("wide_resnet28_10_cifar", num_classes=100)': "",
            'model = timm.create_model("mine_imagenet", channels=48, layers=14)': "",
            'genotype.json"), "mine")': 'genotype.json"), "of_a_page")',  # other tests have a "mine"
        },
        names=lambda: {"images": torch.rand(2, 3, 32, 32)},
        made=True,
    ),
    "pipelines": Page(names=_sample),
    "race": Page(
        {
            'network="resnet18", trainings=48': 'network="test_resnet", trainings=4, epochs=1, folds=2, batch_size=20',
            "--model resnet18 --trainings 48": "--model test_resnet --trainings 4",
            "--out runs/race": "--out runs/race2",
            'search("photos", out="runs/search", screen=False, race=0)': (
                'search("photos", out="runs/search", max_steps=1, batch_size=16, image_size=16, '
                "network=daas.CellSpace(channels=4, layers=3))"
            ),
            "*published], trainings=24": "*published], trainings=8, epochs=1, folds=2, batch_size=20, image_size=16",
        },
        {"race": ["--epochs", "1", "--folds", "2", "--batch-size", "20"]},
    ),
    "screen": Page(
        {'screen("photos")': f'screen("photos", network={_SMALL}, epochs=2)', "--out screen": "--out screen2"},
        {
            "screen": ["--epochs", "2", "--image-size", "16", "--model", "daas_test_convnet"],
            "train": [*_TRAIN, "--img-size", "32", "-b", "16"],
        },
    ),
    "search": Page(behind={"search": _ONE_STEP}),
    "train": Page(
        {
            '"photos", model="resnet18"': f'"photos", model={_SMALL}, img_size=16, workers=0, batch_size=16',
            "    epochs=20,": "    epochs=1, workers=0, batch_size=16,",
            '    model="resnet18"': f"    model={_SMALL}",
            "epochs=20": "epochs=1",
            "--data-dir photos --model resnet18 --pretrained --img-size 224 -b 64": (
                "--data-dir photos --model daas_test_convnet --img-size 16 -b 16"
            ),
            "--dataset torch/cifar10": "--data-dir photos -b 16",
            " --dataset-download": "",
            "genotype=runs/mine/genotype.json": "genotype=runs/mine/genotype.json channels=2 layers=3",
        },
        {"train": _TRAIN},
        names=_given,
        made=True,
    ),
}


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of a page's blocks."""
    return re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / f"docs/{page}.md").read_text(encoding="utf-8"), re.S | re.M)


def _runs(page: str) -> bool:
    return any(language in RUN for language, _ in blocks(page))


@pytest.fixture
def world(two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_convnet: str) -> Path:
    """A folder with what the pages speak of: photographs, a run of the search, a repository."""
    assert small_convnet == "daas_test_convnet"
    monkeypatch.chdir(tmp_path)
    two_classes.rename(tmp_path / "photos")
    for name in ("my_photos", "my_test_photos", "test_photos"):
        shutil.copytree(tmp_path / "photos", tmp_path / name)
    for index, path in enumerate(sorted((tmp_path / "test_photos").rglob("*.png"))):
        Image.new("RGB", (16, 16), (index, index, 90)).save(path)
    shutil.copytree(ROOT / "hub", tmp_path / "hub")
    save_file(timm.create_model("darts_v2_cifar").state_dict(), tmp_path / "model_best.safetensors")
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "pretrained.safetensors")
    return tmp_path


@pytest.mark.parametrize("page", sorted(PAGES))
def test_it_runs(page: str, world: Path) -> None:
    setting = PAGES[page]
    names, code = setting.names(), blocks(page)
    if setting.made:
        mine = world / "runs" / "mine"
        mine.mkdir(parents=True)
        daas.augment.find_policy("randaugment").save(mine / "policy.json")
        daas.models.find_genotype("darts_v2").save(mine / "genotype.json")
        (world / "photos").rename(world / "train")
        (world / "photos").mkdir()
        (world / "train").rename(world / "photos" / "train")
        (world / "test_photos").rename(world / "photos" / "validation")
    for text in setting.shorter:
        assert any(text in block for _, block in code), f"{text} is not on the page"
    for language, block in code:
        if language not in RUN:
            continue
        for text, short in setting.shorter.items():
            block = block.replace(text, short)
        if language.startswith("py"):
            exec(block, names)
            continue
        for line in block.replace("\\\n", " ").splitlines():
            _command(line, setting)


def _command(line: str, setting: Page) -> None:
    words = shlex.split(line, comments=True)
    if not words or line.startswith((*NOT_RUN, *setting.offline)):
        return
    verb = words[2].removeprefix("daas.") if words[:2] == ["python", "-m"] else words[1]
    rest = words[3:] if words[0] == "python" else words[2:]
    assert main([verb, *rest, *setting.behind.get(verb, [])]) == 0, line


def test_every_page_with_code_is_run() -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {page for page in pages if _runs(page)} == set(PAGES) | set(ELSEWHERE)


@pytest.mark.parametrize("page", sorted(path.stem for path in (ROOT / "docs").glob("*.md")))
def test_commands_are_marked_as_such(page: str) -> None:
    for language, block in blocks(page):
        assert language in (*RUN, *SHOWN), f"{language or 'no language'}: {block[:60]}"


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.stem)
def test_a_page_loses_no_formula_to_html(path: Path) -> None:
    """``<v, g>`` outside code is a tag for a browser, which shows nothing."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    tags = {tag.split()[0] for tag in re.findall(r"<(?:/?)([A-Za-z][^>\n]*)>", text)}
    assert tags <= {"a", "br", "img", "p", "sub", "sup", "div", "picture", "source"}, tags
