"""Where images come from: the embedded digits, timm's data sets by name, a folder or an archive of class folders."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from daas.data.images import DiskImages, ImageData, MemoryImages, fitted
from daas.errors import BadInput

_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_SPLIT_FOLDERS = frozenset({"train", "training", "val", "validation", "valid", "test"})
_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "validation", "valid", "test"),
    "test": ("test", "val", "validation"),
}
_MEMORY_LIMIT = 2 * 2**30  # bytes of decoded images
_DIGITS_TRAIN, _DIGITS_SIZE = 1297, 16


@dataclass(frozen=True)
class _Source:
    """Images that can be read by index, before anything is decoded."""

    name: str
    read: Callable[[int], Image.Image]
    labels: Sequence[int]
    class_names: tuple[str, ...]
    describe: Callable[[int], str]


def load_images(
    dataset: str = "",
    data_dir: Path | str | None = None,
    *,
    split: str = "train",
    image_size: int | None = None,
    skip_bad_images: bool = False,
    workers: int = 0,
) -> ImageData:
    """Loads a set of labelled images.

    Args:
        dataset: ``digits`` (embedded), a timm name such as ``torch/cifar10``, ``hfds/...`` or ``wds/...``, or empty for
            ``data_dir`` alone.
        data_dir: A folder of class folders or a ``.tar`` of one, possibly below ``train`` and ``val`` (or ``test``)
            folders; for a named data set the place where it is stored.
        split: ``train``, ``val`` or ``test``: the folder of that name where there are such folders, and only ``train``
            where there are none.
        image_size: Side in pixels; by default 32 where the median image is at most 40 pixels wide, otherwise 64.
        skip_bad_images: Leave out and count images that cannot be read.
        workers: Threads that decode; 0 for one.

    Returns:
        The images: in memory up to 2 GiB, otherwise decoded when asked for.

    Raises:
        BadInput: Nothing there, fewer than two classes, an unreadable image (named), an unknown data set.
    """
    if dataset == "digits":
        return _digits(split, image_size or _DIGITS_SIZE)
    if dataset:
        source = _timm_source(dataset, data_dir, split)
    elif data_dir is None:
        raise BadInput("No images: name a data set or a folder.")
    elif str(data_dir).endswith(".tar"):
        source = _tar_source(Path(data_dir), split)
    else:
        source = _folder_source(Path(data_dir), split)
    if len(source.class_names) < 2:
        raise BadInput(
            f"{source.name} has {len(source.class_names)} class ({', '.join(source.class_names)}); at least 2 are "
            "needed, one folder per class, with its images inside."
        )
    return _decoded(source, image_size, skip_bad_images, max(1, workers))


def _decoded(source: _Source, image_size: int | None, skip: bool, threads: int) -> ImageData:
    count = len(source.labels)
    size = image_size or _usual_size(source)
    if count * size * size * 3 > _MEMORY_LIMIT:
        labels = torch.tensor(source.labels, dtype=torch.int64)
        return DiskImages(
            source.name, source.read, torch.arange(count), labels, source.class_names, size, threads=threads
        )
    pixels = torch.empty(count, size, size, 3, dtype=torch.uint8)
    good = torch.ones(count, dtype=torch.bool)

    def one(index: int) -> None:
        try:
            pixels[index] = torch.from_numpy(np.asarray(fitted(source.read(index), size)).copy())
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            if not skip:
                raise BadInput(
                    f"{source.describe(index)} cannot be read as an image ({error}). Remove or repair it, or leave "
                    "such images out with --skip-bad-images."
                ) from error
            good[index] = False

    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(one, range(count))
        for _ in tqdm(done, total=count, unit="img", desc=f"reading {source.name}", disable=None, leave=False):
            pass
    labels = torch.tensor(source.labels, dtype=torch.int64)
    skipped = int((~good).sum())
    if skipped:
        pixels, labels = pixels[good], labels[good]
        if not len(labels):
            raise BadInput(f"{source.name}: none of {skipped} images could be read.")
    images = pixels.permute(0, 3, 1, 2).contiguous()
    return MemoryImages(source.name, images, labels, source.class_names, skipped)


def _usual_size(source: _Source) -> int:
    widths = []
    for index in np.linspace(0, len(source.labels) - 1, min(25, len(source.labels))).astype(int).tolist():
        try:
            widths.append(min(source.read(index).size))
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
            continue  # reported, or skipped, when all images are read
    return 32 if not widths or float(np.median(widths)) <= 40 else 64


def _digits(split: str, size: int) -> MemoryImages:
    """scikit-learn's 1,797 scanned digits of 8 x 8 pixels, enlarged: 1,297 to train, 500 to test, always the same."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise BadInput("--dataset digits comes with scikit-learn: pip install 'timm-daas[demo]'.") from error
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    chosen = order[:_DIGITS_TRAIN] if split == "train" else order[_DIGITS_TRAIN:]
    small = torch.from_numpy(digits.images).float()[chosen].mul(255.0 / 16.0).unsqueeze(1)
    large = torch.nn.functional.interpolate(small, (size, size), mode="bilinear", align_corners=False)
    images = large.round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    labels = torch.from_numpy(digits.target).long()[chosen]
    return MemoryImages("digits", images, labels, tuple(str(name) for name in digits.target_names))


def _timm_source(dataset: str, data_dir: Path | str | None, split: str) -> _Source:
    from timm.data import create_dataset

    root = str(data_dir) if data_dir is not None else str(Path.home() / ".cache" / "daas")
    try:
        found: Any = create_dataset(
            dataset,
            root=root,
            split="validation" if split == "val" else split,
            is_training=split == "train",
            download=True,
        )
        labels = [int(label) for label in _labels_of(found)]
    except (AssertionError, AttributeError, ImportError, KeyError, OSError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"--dataset {dataset} (split {split}, stored in {root}) could not be opened: "
            f"{error or type(error).__name__}. Known forms are digits, torch/cifar10, torch/cifar100, hfds/..., "
            "wds/...; for a folder use --data-dir alone."
        ) from error
    names = getattr(found, "classes", None) or [str(label) for label in range(max(labels) + 1)]

    def read(index: int) -> Image.Image:
        image = found[index][0]
        assert isinstance(image, Image.Image)
        return image

    return _Source(dataset, read, labels, tuple(map(str, names)), lambda index: f"image {index} of {dataset}")


def _labels_of(found: Any) -> Sequence[int]:
    if hasattr(found, "targets"):
        return list(found.targets)
    reader = getattr(found, "reader", None)
    if reader is not None and hasattr(reader, "samples"):
        return [label for _, label in reader.samples]
    return [int(found[index][1]) for index in range(len(found))]


def _folder_source(root: Path, split: str) -> _Source:
    if not root.is_dir():
        raise BadInput(f"{root}: there is no such folder. It must hold one folder per class, with the images inside.")
    folder = _split_folder(str(root), {path.name for path in root.iterdir() if path.is_dir()}, split)
    root = root / folder
    files = sorted(
        path for path in root.rglob("*") if path.suffix.lower() in _EXTENSIONS and len(path.relative_to(root).parts) > 1
    )
    entries = [(path.relative_to(root).parts[0], path) for path in files]
    names = _class_names(str(root), [entry[0] for entry in entries])
    number = {name: index for index, name in enumerate(names)}

    def read(index: int) -> Image.Image:
        image = Image.open(entries[index][1])
        image.load()
        return image

    return _Source(root.name, read, [number[name] for name, _ in entries], names, lambda index: str(entries[index][1]))


def _tar_source(path: Path, split: str) -> _Source:
    if not path.is_file():
        raise BadInput(f"{path}: there is no such archive.")
    try:
        with tarfile.open(path, "r:") as archive:
            members = [member for member in archive if member.isfile()]
    except tarfile.TarError as error:
        raise BadInput(f"{path} is no whole .tar archive ({error}).") from error
    spans = [(PurePosixPath(m.name), m.offset_data, m.size) for m in members]
    spans = [span for span in spans if span[0].suffix.lower() in _EXTENSIONS]
    folder = _split_folder(str(path), {span[0].parts[0] for span in spans}, split)
    if folder:
        spans = [(PurePosixPath(*p.parts[1:]), o, s) for p, o, s in spans if p.parts[0] == folder]
    spans = sorted((span for span in spans if len(span[0].parts) > 1), key=lambda span: str(span[0]))
    names = _class_names(str(path), [span[0].parts[0] for span in spans])
    number = {name: index for index, name in enumerate(names)}

    def read(index: int) -> Image.Image:
        _, offset, size = spans[index]
        with path.open("rb") as file:
            file.seek(offset)
            image = Image.open(io.BytesIO(file.read(size)))
        image.load()
        return image

    labels = [number[span[0].parts[0]] for span in spans]
    return _Source(path.name, read, labels, names, lambda index: f"{spans[index][0]} in {path}")


def _split_folder(where: str, folders: set[str], split: str) -> str:
    """The folder of a split, or an empty name where the images are not divided into splits."""
    if not folders or not folders <= _SPLIT_FOLDERS:
        if split != "train":
            raise BadInput(
                f"{where} has no folder for the {split} split. Put the images into train/CLASS/ and val/CLASS/, or "
                "name validation images with --val-dir."
            )
        return ""
    for name in _SPLITS[split]:
        if name in folders:
            return name
    raise BadInput(f"{where} has the splits {', '.join(sorted(folders))}, and none of {', '.join(_SPLITS[split])}.")


def _class_names(where: str, folders: Sequence[str]) -> tuple[str, ...]:
    if not folders:
        raise BadInput(
            f"{where} holds no images in class folders. Expected CLASS/IMAGE with one folder per class; images are "
            f"{', '.join(_EXTENSIONS)}."
        )
    return tuple(sorted(set(folders)))
