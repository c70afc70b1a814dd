"""From a name, a folder or an archive to images of one size."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from daas.data.files import folder_source, tar_source
from daas.data.images import UNREADABLE, Census, DiskImages, ImageData, MemoryImages, Source
from daas.data.named import DIGITS_SIZE, digits, timm_source
from daas.errors import BadInput

_MEMORY_LIMIT = 2 * 2**30  # bytes of decoded images
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
            folders; for a named data set the place where it is stored. Hidden files, and images that lie beside the
            class folders, are not read.
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
    if dataset:
        source = timm_source(dataset, None if data_dir is None else Path(data_dir), split, download, image_size)
    elif data_dir is None:
        raise BadInput("No images: name a data set or a folder.")
    elif str(data_dir).endswith(".tar"):
        source = tar_source(Path(data_dir), split)
    else:
        source = folder_source(Path(data_dir), split)
    if len(source.class_names) < 2:
        raise BadInput(
            f"{source.name} has {len(source.class_names)} class ({', '.join(source.class_names)}); at least 2 are "
            "needed, one folder per class, with its images inside."
        )
    return read_source(source, image_size, skip_bad_images, max(1, workers))


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
    pixels = torch.empty(count if in_memory else 0, size, size, 3, dtype=torch.uint8)
    good = torch.ones(count, dtype=torch.bool)
    census = Census()

    def one(index: int) -> None:
        try:
            read = source.pixels(index, size, census if source.original else None)
        except BadInput:
            if not skip:
                raise
            good[index] = False
        else:
            if in_memory:
                pixels[index] = read

    if in_memory or skip:  # large sets are read through once only to find the bad images
        _in_parallel(one, count, threads, f"reading {source.name}")
    kept = good.nonzero().squeeze(1)
    if not len(kept):
        raise BadInput(f"{source.name}: none of {count} images could be read.")
    skipped = count - len(kept)
    originals = census.facts(count)
    if not in_memory:
        return DiskImages(source, kept, labels[kept], size, skipped, threads, originals, source.held_out)
    if skipped:
        pixels, labels = pixels[kept], labels[kept]
    images: Tensor = pixels.permute(0, 3, 1, 2).contiguous()
    return MemoryImages(source.name, images, labels, source.class_names, skipped, originals, source.held_out)


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


def _usual_size(source: Source) -> int:
    widths = []
    for index in np.linspace(0, len(source.labels) - 1, min(25, len(source.labels))).astype(int).tolist():
        try:
            widths.append(min(source.read(index).size))
        except UNREADABLE:
            continue  # reported, or skipped, when all images are read
    return 32 if not widths or float(np.median(widths)) <= 40 else 64
