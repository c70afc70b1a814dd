"""Images of the size they have, as a torch data set, for loaders that crop and resize them (timm's)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from daas.data.formats import without_pillows_warnings
from daas.data.images import Source
from daas.data.layout import composed
from daas.data.sources import look, read_through, warnings_about
from daas.errors import BadInput
from daas.reading import read_text

_SIDE = 64  # of the squares that are made where only their readability matters


class Pictures(Dataset[tuple[Any, int]]):
    """A source's images: upright, RGB, 8 bits, in its order; ``transform`` is what a loader does to each.

    Args:
        source: The images.
        skip_bad_images: Leave out and count images that cannot be read; all are read once to find them.
        threads: That read them.
        labels: Class -> label, where the loader wants other ones; images of other classes are left out and counted.

    Attributes:
        classes: One name per label.
        skipped: Images that could not be read and were left out.
        unread: Files that look like images and are not read, by reason.
        warnings: What people should know before they trust these images, in sentences.

    Raises:
        BadInput: An unreadable image (named), or none that can be read; every access to such an image raises it, too.
    """

    def __init__(
        self,
        source: Source,
        skip_bad_images: bool = False,
        threads: int = 1,
        labels: Mapping[str, int] | None = None,
    ) -> None:
        self.source = source
        self.transform: Callable[[Any], Any] | None = None
        own = {name: label for label, name in enumerate(source.class_names)}
        labels = own if labels is None else labels
        self.classes = tuple(sorted(labels, key=labels.__getitem__))
        new = np.array([labels.get(name, -1) for name in source.class_names])
        self.labels = new[np.asarray(source.labels)]
        wanted = self.labels >= 0
        if not wanted.any():
            raise BadInput(
                f"{source.name}: no images are left. Its classes are {', '.join(source.class_names[:10])}; labels are "
                f"given to {', '.join(self.classes[:10])}. A class map has the name of a class folder in each line, "
                "and nothing else."
            )
        good, census = read_through(source, _SIDE, True, threads) if skip_bad_images else (None, look(source))
        readable = np.ones_like(wanted) if good is None else good.numpy()
        self.kept = np.flatnonzero(wanted & readable)
        self.skipped = int((~readable).sum())
        self.unread = dict(source.unread)
        if not wanted.all():
            self.unread["of classes that have no label"] = int((~wanted).sum())
        self.warnings = warnings_about(source, census, self.unread)
        if absent := [name for name in self.classes if name not in own]:
            several = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
            sentence = f"{source.name}: No folder belongs to {len(absent)} of {len(self.classes)} labels: {several}."
            self.warnings = (*self.warnings, sentence)

    def __len__(self) -> int:
        return len(self.kept)

    @without_pillows_warnings()
    def __getitem__(self, index: int) -> tuple[Any, int]:
        position = int(self.kept[index])
        image: Any = self.source.picture(position)
        return (image if self.transform is None else self.transform(image)), int(self.labels[position])

    def fingerprint(self) -> str:
        """A hash of names, labels and files (``Source.fingerprint``)."""
        found = hashlib.blake2b(self.labels[self.kept].tobytes(), digest_size=16)
        for part in self.source.fingerprint(self.kept.tolist()):
            found.update(part)
        return found.hexdigest()

    def filenames(self) -> list[str]:
        """What each image is called, as timm's data sets have it."""
        return [self.source.describe(int(position)) for position in self.kept]


def class_map(path: str, root: str) -> dict[str, int]:
    """Reads a text file with the name of a class folder in each line: name -> label, from 0.

    Args:
        path: Of the file; also looked for below ``root``.
        root: Folder of the images.

    Raises:
        BadInput: No such file, no text, an empty line, or a name that stands twice.
    """
    for place in (Path(path), Path(root) / path):
        if os.path.isfile(place):
            break
    else:
        raise BadInput(f"--class-map {path}: there is no such file, and none below {root or 'the images'}.")
    lines = [composed(line.strip()) for line in read_text(place, "class map").rstrip().splitlines()]
    found = {name: label for label, name in reversed(list(enumerate(lines)))}
    for label, name in enumerate(lines):
        if not name or found[name] != label:
            what = f"is {name} again, as line {found[name] + 1}" if name else "is empty"
            raise BadInput(
                f"--class-map {path}: line {label + 1} {what}. It has the name of a class folder in each line, in the "
                "order of the labels."
            )
    return found
