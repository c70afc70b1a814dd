"""The two halves of a screen: images to train on, and others to ask about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from daas.data import ImageData, MemoryImages, stratified_halves
from daas.data.batches import rank_in_class
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
_OF_A_CLASS = 2  # that the largest number of images has to leave, of either half


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
    images = evenly(images, options.max_images, options.seed, _OF_A_CLASS * (2 if val is None else 1))
    if val is None:
        first, second = stratified_halves(images.labels, options.seed)
        train, asked = images.subset(first), images.subset(second)
    else:
        train, side = images, images.image_size
        asked = images_from(val, split=HELD_OUT, image_size=side, skip_bad_images=skip, workers=threads)
        asked = _labelled_as(train, asked)
        refuse_training_images(train, asked)
        facts = facts_of(images, asked, also=copies(train, asked))
        asked = evenly(asked, options.max_images, options.seed, _OF_A_CLASS)
    if len(asked):
        facts["image_warnings"] += _one_sided(train, asked)
    for part, what in ((train, "train on"), (asked, "ask about")):
        if len(part) < _FEWEST:
            raise BadInput(f"There are {len(part)} images to {what}; a screen needs at least {_FEWEST}.")
    _refuse_apart(train, asked)
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


def _one_sided(train: ImageData, asked: ImageData) -> list[str]:
    """Sentences about classes of which there is nothing to ask about, or nothing to train on."""
    found, names = [], train.class_names
    for part, what, then in (
        (asked, "ask about", "The screen does not see what changes them."),
        (train, "train on", "The screen's network cannot know them."),
    ):
        shown = set(part.labels.tolist())
        missing = [name for label, name in enumerate(names) if label not in shown]
        if missing:
            some = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
            found.append(f"{len(missing)} of {len(names)} classes have no images to {what}: {some}. {then}")
    return found


def _refuse_apart(train: ImageData, asked: ImageData) -> None:
    """Raises BadInput where the classes that are asked about are others than those that are trained on."""
    classes = len(train.class_names)
    both = set(train.labels.tolist()) & set(asked.labels.tolist())
    if len(both) < 2:
        raise BadInput(
            f"{len(both)} of {classes} classes have images both to train on and to ask about; a screen needs two at "
            f"least, and better {_OF_A_CLASS} images and more of every class on either side."
        )


def least_for(images: ImageData, of_a_class: int = 2 * _OF_A_CLASS) -> int:
    """How many images there have to be at least, to have so many of every class, or all that a class has."""
    return int(torch.bincount(images.labels).clamp(max=of_a_class).sum())


def evenly(images: ImageData, most: int, seed: int, of_a_class: int) -> ImageData:
    """At most so many images, at random, of every class as many as the others as far as it has them.

    Args:
        images: All.
        most: How many; 0 for all.
        seed: Of the choice.
        of_a_class: Images that have to be left of every class, as far as it has them.

    Raises:
        BadInput: Fewer are left.
    """
    if most == 0 or len(images) <= most:
        return images
    least, classes = least_for(images, of_a_class), len(images.class_names)
    if most < least:
        raise BadInput(
            f"--max-images {most} leaves fewer than {of_a_class} images of some of the {classes} classes, and a screen "
            f"trains on {_OF_A_CLASS} of each and asks about {_OF_A_CLASS} others. Name at least --max-images {least}, "
            f"or 0 for all {len(images)}."
        )
    order = torch.randperm(len(images), generator=generator(seed, _SUBSET))
    return images.subset(order[rank_in_class(images.labels[order]).argsort(stable=True)][:most].sort().values)
