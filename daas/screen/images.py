"""The two halves of a screen: images to train on, and others to ask about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from daas.data import ImageData, MemoryImages, stratified_halves
from daas.data.facts import facts_of
from daas.data.files import HELD_OUT
from daas.data.given import images_from
from daas.data.images import DiskImages
from daas.data.overlap import copies, refuse_training_images
from daas.errors import BadInput
from daas.screen.options import ScreenOptions
from daas.seeds import generator
from daas.train.labels import by_name

_SUBSET = 403  # what a random stream is for
_FEWEST = 10  # images of either half


def two_halves(
    data: Any, val: Any, options: ScreenOptions, size: int | None
) -> tuple[ImageData, ImageData, dict[str, Any]]:
    """Reads the images and divides them.

    Args:
        data: Anything that ``daas.data.images_from`` takes.
        val: The same, to ask about; None takes half of ``data``, every class having the same share of both.
        options: ``max_images``, ``seed``, ``skip_bad_images``, ``workers``.
        size: Side in pixels; None for the images' own.

    Returns:
        Images to train on, those to ask about, and what was not read (``facts_of``).

    Raises:
        BadInput: Images that cannot be used, classes in ``val`` that ``data`` does not have, or too few.
    """
    skip, threads = options.skip_bad_images, options.workers
    images = images_from(data, image_size=size, skip_bad_images=skip, workers=threads)
    facts = facts_of(images)
    images = evenly(images, options.max_images, options.seed)
    if val is None:
        first, second = stratified_halves(images.labels, options.seed)
        train, asked = images.subset(first), images.subset(second)
    else:
        train, side = images, images.image_size
        asked = images_from(val, split=HELD_OUT, image_size=side, skip_bad_images=skip, workers=threads)
        asked = _labelled_as(train, asked)
        refuse_training_images(train, asked)
        facts = facts_of(images, asked, also=copies(train, asked))
        asked = evenly(asked, options.max_images, options.seed)
    if len(asked):
        facts["image_warnings"] += _unasked(asked)
    for part, what in ((train, "train on"), (asked, "ask about")):
        if len(part) < _FEWEST:
            raise BadInput(f"There are {len(part)} images to {what}; a screen needs at least {_FEWEST}.")
    return train, asked, facts


def _labelled_as(train: ImageData, asked: ImageData) -> ImageData:
    """The images to ask about with the labels that their classes have in training; some classes may be missing.

    Raises:
        BadInput: A class that is not trained on.
    """
    if asked.class_names == train.class_names:
        return asked
    label = by_name(asked.class_names, train.class_names, "the training images")
    labels, names = label[asked.labels], train.class_names
    if isinstance(asked, MemoryImages):
        return replace(asked, labels=labels, class_names=names)
    assert isinstance(asked, DiskImages)  # there are no others
    source = replace(asked.source, class_names=names, labels=label[torch.tensor(asked.source.labels)].tolist())
    return replace(asked, labels=labels, source=source)


def _unasked(asked: ImageData) -> list[str]:
    """A sentence about classes of which there is nothing to ask about; the screen says nothing of them."""
    shown = set(asked.labels.tolist())
    missing = [name for label, name in enumerate(asked.class_names) if label not in shown]
    more = " ..." if len(missing) > 5 else ""
    said = f"{len(missing)} of {len(asked.class_names)} classes have no images to ask about: "
    return [f"{said}{', '.join(missing[:5])}{more}. The screen does not see what changes them."] if missing else []


def evenly(images: ImageData, most: int, seed: int) -> ImageData:
    """At most so many images, at random, of every class as many as the others as far as it has them.

    Args:
        images: All.
        most: How many; 0 for all.
        seed: Of the choice.
    """
    if most == 0 or len(images) <= most:
        return images
    order = torch.randperm(len(images), generator=generator(seed, _SUBSET))
    rank = torch.empty(len(images), dtype=torch.int64)  # position of each image within its class
    for label in images.labels.unique():
        members = order[images.labels[order] == label]
        rank[members] = torch.arange(len(members))
    return images.subset(order[rank[order].argsort(stable=True)][:most].sort().values)
