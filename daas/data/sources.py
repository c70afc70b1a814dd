"""From a name, a folder or an archive to images of one size."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from daas.data.census import Census
from daas.data.files import folder_source, tar_source
from daas.data.formats import without_pillows_warnings
from daas.data.images import DiskImages, ImageData, MemoryImages, Source
from daas.data.layout import IN_A_TABLE, held_out, unread_sentence
from daas.data.named import DIGITS_SIZE, digits, timm_source
from daas.data.pixels import UNREADABLE
from daas.errors import BadInput

_MEMORY_LIMIT = 2 * 2**30  # bytes of decoded images
_LOOKED_AT = 64  # images that are looked at where not all are read, and their side
_CHUNK = 64  # images that a thread reads between two ticks of the progress bar


def load_images(
    dataset: str = "",
    data_dir: Path | str | None = None,
    *,
    split: str = "train",
    image_size: int | None = None,
    skip_bad_images: bool = False,
    workers: int = 0,
    download: bool = True,
) -> ImageData:
    """Loads a set of labelled images: RGB, the shorter side resized to ``image_size``, the centre cropped.

    Photographs are turned upright by their EXIF orientation first.

    Args:
        dataset: ``digits`` (embedded), a timm name such as ``torch/cifar10``, ``hfds/...`` or ``wds/...``, or empty for
            ``data_dir`` alone.
        data_dir: A folder of class folders or a ``.tar`` of one, possibly below ``train`` and ``val`` (or ``test``)
            folders (``layout.arranged``); for a named data set the place where it is stored.
        split: ``train``, ``val`` or ``test``: the folder of that name where there are such folders, and only ``train``
            where there are none; for a named data set a split of that set. ``HELD_OUT`` for a place that was named
            for validation: its ``val`` or ``test`` folder, and all of it where it is not divided.
        image_size: Side in pixels; by default 16 for ``digits``, 32 where the median image is at most 40 pixels wide,
            otherwise 64.
        skip_bad_images: Leave out and count images that cannot be read.
        workers: Threads that decode; 0 for one.
        download: Fetch a named data set that is not there.

    Returns:
        The images: in memory up to 2 GiB, otherwise decoded when asked for.

    Raises:
        BadInput: Nothing there, fewer than two classes, an unreadable image (named), an unknown data set.
    """
    if dataset == "digits":
        return digits(split, image_size or DIGITS_SIZE)
    source = open_source(dataset, data_dir, split=split, download=download, image_size=image_size)
    return read_source(source, image_size, skip_bad_images, max(1, workers))


def open_source(
    dataset: str,
    data_dir: Path | str | None,
    *,
    split: str = "train",
    download: bool = True,
    image_size: int | None = None,
) -> Source:
    """Finds labelled images; only those that can be streamed alone are decoded. The arguments are ``load_images``'s.

    Raises:
        BadInput: Nothing there, fewer than two classes (of images to validate on: none), an unknown data set.
    """
    if dataset:
        source = timm_source(dataset, None if data_dir is None else Path(data_dir), split, download, image_size)
    elif data_dir is None:
        raise BadInput("No images: name a data set or a folder.")
    elif str(data_dir).lower().endswith(".tar") and not os.path.isdir(data_dir):
        source = tar_source(Path(data_dir), split)
    else:
        source = folder_source(Path(data_dir), split)
    if len(source.class_names) == 1 and held_out(split):
        only = f"There is one class in the {split} images, {source.class_names[0]}: they say nothing of the others."
        return replace(source, notes=(*source.notes, only))
    if len(source.class_names) < 2:
        raise BadInput(
            f"{source.name} has {len(source.class_names)} class ({', '.join(source.class_names)}) in its {split} "
            f"images; at least 2 are needed, one folder per class, with its images inside. {IN_A_TABLE}"
        )
    return source


def read_source(
    source: Source, image_size: int | None = None, skip_bad_images: bool = False, threads: int = 1
) -> ImageData:
    """Reads the images of a source, each fitted to a square.

    Args:
        source: The images.
        image_size: Side in pixels; by default 32 where the median image is at most 40 pixels wide, otherwise 64.
        skip_bad_images: Leave out and count images that cannot be read.
        threads: That decode; more than one only where ``source.read`` may be called by several at once.

    Raises:
        BadInput: An unreadable image (named), or none that can be read.
    """
    return _decoded(source, image_size or _usual_size(source), skip_bad_images, threads)


def _decoded(source: Source, size: int, skip: bool, threads: int) -> ImageData:
    count = len(source.labels)
    labels = torch.tensor(source.labels, dtype=torch.int64)
    in_memory = count * size * size * 3 <= _MEMORY_LIMIT
    pixels = torch.empty(count, size, size, 3, dtype=torch.uint8) if in_memory else None
    if pixels is not None or skip:  # large sets are read through once only to find the bad images
        good, census = read_through(source, size, skip, threads, pixels)
        originals = census.facts(count) if source.original else None
    else:
        good, census, originals = torch.ones(count, dtype=torch.bool), look(source), None
    kept = good.nonzero().squeeze(1)
    skipped, warnings = count - len(kept), warnings_about(source, census, source.unread)
    if pixels is None:
        return DiskImages(source, kept, labels[kept], size, skipped, threads, originals, warnings)
    if skipped:
        pixels, labels = pixels[kept], labels[kept]
    images: Tensor = pixels.permute(0, 3, 1, 2).contiguous()
    return MemoryImages(
        source.name, images, labels, source.class_names, skipped, originals, source.held_out, source.unread, warnings,
        source.folders,
    )  # fmt: skip


def read_through(
    source: Source, size: int, skip: bool, threads: int, out: Tensor | None = None
) -> tuple[Tensor, Census]:
    """Decodes all images once.

    Args:
        source: The images.
        size: Side of the squares.
        skip: Pass over images that cannot be read.
        threads: That decode.
        out: [N, size, size, 3] uint8 that receives the squares, or None.

    Returns:
        Which images can be read, [N] bool, and what they are like.

    Raises:
        BadInput: An unreadable image (named), or none that can be read, in all or of a class.
    """
    good, census = torch.ones(len(source.labels), dtype=torch.bool), Census()

    def one(index: int) -> None:
        try:
            read = source.pixels(index, size, census)
        except BadInput:
            if not skip:
                raise
            good[index] = False
        else:
            if out is not None:
                out[index] = read

    _in_parallel(one, len(good), threads, f"reading {source.name}")
    if not good.any():
        raise BadInput(f"{source.name}: none of {len(good)} images could be read.")
    _refuse_lost(source, good)
    return good, census


def _refuse_lost(source: Source, good: Tensor) -> None:
    """Raises BadInput where a class would vanish, since none of its images can be read."""
    labels = torch.tensor(source.labels)
    lost = sorted(set(labels.tolist()) - set(labels[good].tolist()))
    if lost:
        names = ", ".join(source.class_names[label] for label in lost[:5])
        more = f" and {len(lost) - 5} more classes" if len(lost) > 5 else ""
        first = source.describe(int((labels == lost[0]).nonzero()[0]))
        raise BadInput(
            f"{source.name}: none of the images of {names}{more} can be read ({first} for example). Repair them, or "
            "remove the folder where there is to be no such class."
        )


@without_pillows_warnings()
def look(source: Source) -> Census:
    """Decodes a few images, evenly spaced, to see what they are like.

    Raises:
        BadInput: One of them cannot be read; the message names it.
    """
    census, count = Census(), len(source.labels)
    for index in np.linspace(0, count - 1, min(_LOOKED_AT, count)).astype(int).tolist():
        source.pixels(index, _LOOKED_AT, census)
    return census


def warnings_about(source: Source, census: Census, unread: Mapping[str, int]) -> tuple[str, ...]:
    """What people should know before they trust these images: what was not read, and values that look wrong."""
    said = (unread_sentence(unread), *source.notes, *census.warnings(source.describe))
    return tuple(f"{source.name}: {text}" for text in said if text)


class HasFolders(Protocol):
    """Images that lie in folders, or none."""

    @property
    def folders(self) -> frozenset[str]:
        """Real paths of the folders that hold the images, where they are files."""


def refuse_among_images(out: Path | str | None, *sets: HasFolders, flag: str = "--out") -> None:
    """Checks that a folder for results is none that would be read as a class of the images next time.

    Args:
        out: The folder; None where nothing is written.
        *sets: The images.
        flag: The option that named it, for the message.

    Raises:
        BadInput: It lies beside or in a class folder.
    """
    if out is None:
        return
    real = os.path.realpath(out)
    for parent in sorted({os.path.dirname(folder) for images in sets for folder in images.folders}):
        if real == parent or real.startswith(parent + os.sep):
            raise BadInput(
                f"{flag} {out} lies among the class folders in {parent}, and would be read as a class the next time. "
                "Name a folder outside of the images."
            )


@without_pillows_warnings()
def _in_parallel(work: Callable[[int], None], count: int, threads: int, title: str) -> None:
    """Runs ``work(0)`` to ``work(count - 1)`` in threads, with a progress bar; the first error ends it."""

    def chunk(start: int) -> int:
        indices = range(start, min(start + _CHUNK, count))
        for index in indices:
            work(index)
        return len(indices)

    pool = ThreadPoolExecutor(threads)
    try:
        tasks = [pool.submit(chunk, start) for start in range(0, count, _CHUNK)]
        with tqdm(total=count, unit="img", desc=title, disable=None, leave=False) as bar:
            for task in as_completed(tasks):
                bar.update(task.result())
    finally:
        pool.shutdown(cancel_futures=True)


@without_pillows_warnings()
def _usual_size(source: Source) -> int:
    widths = []
    for index in np.linspace(0, len(source.labels) - 1, min(25, len(source.labels))).astype(int).tolist():
        try:
            widths.append(min(source.read(index).size))
        except UNREADABLE:
            continue  # reported, or skipped, when all images are read
    return 32 if not widths or float(np.median(widths)) <= 40 else 64
