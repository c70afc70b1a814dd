"""The two halves of a screen: images to train on, and others to ask about."""

from __future__ import annotations

from typing import Any

import torch

from daas.data import ImageData, stratified_halves
from daas.data.facts import facts_of
from daas.data.files import HELD_OUT
from daas.data.given import images_from
from daas.data.overlap import copies, refuse_training_images
from daas.errors import BadInput
from daas.screen.options import ScreenOptions
from daas.seeds import generator
from daas.train.labels import same_classes

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
        BadInput: Images that cannot be used, other classes in ``val``, or too few.
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
        refuse_training_images(train, asked)
        facts = facts_of(images, asked, also=copies(train, asked))
        asked = evenly(asked, options.max_images, options.seed)
    same_classes(train.class_names, asked.class_names)
    for part, what in ((train, "train on"), (asked, "ask about")):
        if len(part) < _FEWEST:
            raise BadInput(f"There are {len(part)} images to {what}; a screen needs at least {_FEWEST}.")
    return train, asked, facts


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
