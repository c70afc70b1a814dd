"""The doors of the package that take files of anybody: for each, how inputs are made and what is done with them."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from hypothesis import strategies as st
from PIL import Image

from benchmarks.fuzzing.checkpoints import checkpoint_doors
from benchmarks.fuzzing.door import Door, Try, quiet
from benchmarks.fuzzing.inputs import HOSTILE, damaged, json_files, texts, trees
from daas.augment import Policy, PolicySchedule, find_policy
from daas.augment.draw import Draw
from daas.augment.importers import PREFIXES, import_policy
from daas.data import load_images
from daas.hub.run_folder import Run
from daas.hub.verifying import verify_folder
from daas.models import Genotype
from daas.search.report.page import write_report
from daas.train.command_line import parse


def doors(place: Path) -> list[Door]:
    """All doors.

    Args:
        place: An empty folder for files.
    """
    random = torch.Generator().manual_seed(0)
    genotype = Genotype.random(random, nodes=2).to_dict()
    policy = find_policy("autoaugment_cifar10")
    small = Policy.from_dict({**policy.to_dict(), "sub_policies": policy.to_dict()["sub_policies"][:3]})
    schedule = PolicySchedule.from_dict(
        {"format": "daas-policy-schedule/1", "name": "s", "source": "s", "epochs": 4,
         "segments": [{"start": 0, "policy": small.to_dict()}, {"start": 2, "policy": small.to_dict()}]}
    )  # fmt: skip
    file = place / "file"

    def reader(load: Try) -> Try:
        def go(content: bytes) -> None:
            file.write_bytes(content)
            load(file)

        return go

    found = [
        Door("genotypes", json_files(genotype), reader(Genotype.load)),
        Door("genotypes in logs", texts(_DARTS), reader(Genotype.load)),
        Door("policies", json_files(small.to_dict()), reader(Policy.load)),
        Door("schedules", json_files(schedule.to_dict()), reader(PolicySchedule.load)),
        Door("draws", json_files(_draw(small, random)), reader(Draw.load)),
        Door("importers: words", _words(), lambda word: import_policy(word)),
        Door("importers: files", st.tuples(st.sampled_from(_FILES), texts(_LEVELS)), _import(file)),
        Door("recipes (YAML)", st.one_of(texts(_RECIPE), _recipes()), _recipe(place / "recipe.yaml")),
    ]
    return [*found, *checkpoint_doors(place), *_run_folders(place), _repositories(place), *_images(place)]


_DARTS = (
    "06:12 genotype = Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], normal_concat=range(2, 3), "
    "reduce=[('max_pool_3x3', 0), ('skip_connect', 1)], reduce_concat=[2])\n06:13 next\n"
)
_LEVELS = "[[('Rotate', 0.5, 0.3), ('Invert', 0.1, 0.9)], [('ShearX', 0.9, 0.3), ('Color', 0.2, 0.1)]]"
_FILES = ("fast-autoaugment:{}", "dada:{}", "fast-autoaugment:{}:name", "pba:{}")
_RECIPE = "lr: 0.1\nopt: sgd\nepochs: 5\nmodel_kwargs: {layers: 3}\nbetas: [0.9, 0.99]\naa: daas:autoaugment_cifar10\n"


def _draw(policy: Policy, random: torch.Generator) -> dict[str, Any]:
    from daas.augment import DAASPolicy

    return DAASPolicy(policy).sample(3, random).to_dict()


def _words() -> st.SearchStrategy[str]:
    tails = st.one_of(
        st.sampled_from(["original", "rand-m9-mstd0.5", "v0r", "cifar10", "num_ops=2", "num_ops=99999999",
        "augmix-m5-w9999999"]),
        st.text(max_size=40),
        st.from_regex(r"\A[a-z0-9=,.-]{0,40}\Z"),
    )  # fmt: skip
    return st.builds(
        lambda prefix, tail: f"{prefix}{tail}", st.sampled_from([p.split(":")[0] + ":" for p in PREFIXES]), tails
    )


def _import(file: Path) -> Try:
    def go(given: tuple[str, bytes]) -> None:
        file.write_bytes(given[1])
        word = given[0].format(file)
        import_policy(word, epochs=200 if word.startswith("pba") else None)

    return go


def _recipes() -> st.SearchStrategy[bytes]:
    return trees(yaml.safe_load(_RECIPE) | {"device_modules": ["this"]}).map(
        lambda tree: yaml.safe_dump(tree).encode("utf-8", "surrogatepass")
    )


def _recipe(file: Path) -> Try:
    def go(content: bytes) -> None:
        file.write_bytes(content)
        parse(["--config", str(file)])

    return go


def _run_folders(place: Path) -> Iterator[Door]:
    result = {
        "format": "daas-train-result/1", "model": "daas_cell_cifar", "model_kwargs": {"channels": 2, "layers": 3},
        "num_classes": 2, "class_names": ["a", "b"], "input_size": [3, 8, 8], "mean": [0.5] * 3, "std": [0.5] * 3,
        "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "center", "data": {"name": "d", "train_images": 4,
        "val_images": 4},
        "epochs": 1, "seed": 0, "best": {"epoch": 0, "loss": 0.5, "top1": 50.0, "top5": 99.0,
        "weights": "model_best.safetensors"},
        "last": {"epoch": 0, "loss": 0.5, "top1": 50.0, "top5": 99.0, "weights": "last.safetensors"},
        "time": {"seconds": 1.0},
        "versions": {"torch": "2"}, "written": "2020-01-01T00:00:00+00:00", "policy": None,
    }  # fmt: skip
    folder = place / "run"
    folder.mkdir()
    (folder / "summary.csv").write_text("epoch\n")
    (folder / "args.yaml").write_text(_RECIPE)

    def run(content: bytes) -> None:
        (folder / "result.json").write_bytes(content)
        Run.load(folder)

    yield Door("run folders of a training", json_files(result), run)
    searched = place / "searched"
    _search(searched)
    summary = json.loads((searched / "summary.json").read_text())
    lines = [json.loads(line) for line in (searched / "metrics.jsonl").read_text().splitlines()]

    def report(given: tuple[Any, Any]) -> None:
        (searched / "summary.json").write_bytes(given[0])
        (searched / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in given[1]))
        write_report(searched)

    both = st.tuples(json_files(summary), st.one_of(st.just(lines), trees(lines).map(_as_list)))
    yield Door("run folders of a search", both, report, 0.08)


def _as_list(tree: Any) -> list[Any]:
    return tree if isinstance(tree, list) else [tree]


def _search(out: Path) -> None:
    from daas.search.__main__ import main

    with quiet():
        code = main(
            ["--preset", "demo", "--channels", "2", "--layers", "3", "--nodes", "2", "--max-steps", "2",
            "--batch-size", "16", "--no-screen", "--race", "0",
             "--max-images", "64", "--architectures", "1", "--device", "cpu", "--out", str(out)]
        )  # fmt: skip
    if code:
        raise RuntimeError(f"the search that the fuzz needs ended with {code}")


def _repositories(place: Path) -> Door:
    """A repository folder of which one file is hostile, or that holds another one."""
    from importlib.resources import files

    source = Path(str(files("daas"))).parent / "hub" / "daas_digits"
    folder = place / "repository"
    shutil.copytree(source, folder)
    good = {path.name: path.read_bytes() for path in folder.iterdir()}
    trees_of = {name: json.loads(content) for name, content in good.items() if name.endswith(".json")}
    config = trees_of["config.json"]
    changed = st.sampled_from(sorted(trees_of)).flatmap(
        lambda name: st.tuples(st.just(name), json_files(trees_of[name]))
    )
    broken = st.sampled_from(sorted(good)).flatmap(lambda name: st.tuples(st.just(name), damaged(good[name])))
    arguments = st.sampled_from(
        ["layers", "channels", "num_classes", "in_chans", "stem", "global_pool", "drop_rate", "x"]
    )
    models = st.tuples(arguments, st.sampled_from([*HOSTILE, 4096, 10_000, 10**6])).map(
        lambda pair: (
            "config.json",
            json.dumps({**config, "model_args": {**config["model_args"], pair[0]: pair[1]}}).encode(
                "utf-8", "surrogatepass"
            ),
        )
    )  # fmt: skip
    names = st.sampled_from(
        [
            "train.py",
            "daas.py",
            "x.bin",
            "a/b.json",
            ".DS_Store",
            "é.md",
            "n" * 250,
            "\x1b[2J.md",
            "._x",
            "Thumbs.db",
            "k.svg",
        ]
    )
    added = st.tuples(names, st.sampled_from([b"", b"\x80\x04.", b"<svg onload='x'/>", b"import os\n"]))

    def go(given: tuple[str, bytes]) -> None:
        name, content = given
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
        try:
            str(verify_folder(folder))
        finally:
            if name in good:
                target.write_bytes(good[name])
            else:
                target.unlink()
                if target.parent != folder:
                    target.parent.rmdir()

    return Door("repositories", st.one_of(changed, models, broken, added), go, 0.25)


def _images(place: Path) -> Iterator[Door]:
    image = Image.effect_noise((24, 18), 60).convert("RGB")
    contents = {}
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "EPS", "ICO", "TGA"):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        contents[kind.lower()] = buffer.getvalue()
    folder = place / "images"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        image.save(folder / name / "0.png")

    def picture(given: tuple[str, bytes]) -> None:
        ending, content = given
        target = folder / "a" / f"1.{ending}"
        target.write_bytes(content)
        try:
            with quiet():
                load_images("", folder, image_size=16, skip_bad_images=True, workers=1)
        finally:
            target.unlink()

    kinds = st.sampled_from(sorted(contents)).flatmap(
        lambda kind: st.tuples(st.sampled_from([kind, "png", "jpg", "tif"]), damaged(contents[kind]))
    )
    yield Door("images", kinds, picture)
    archive = place / "images.tar"
    with tarfile.open(archive, "w") as made:
        made.add(folder, arcname="train")
    content = archive.read_bytes()

    def unpack(damage: bytes) -> None:
        archive.write_bytes(damage)
        with quiet():
            load_images("", archive, image_size=16, skip_bad_images=True, workers=1)

    yield Door("archives", damaged(content), unpack)
