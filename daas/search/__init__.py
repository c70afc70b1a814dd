"""The joint search: images in, a genotype and an augmentation policy out; ``daas.search(data)`` calls it."""

from __future__ import annotations

from daas.rooms import open_room

open_room("daas.search", "daas.whole.api", "search")  # with the screen before it and the race behind it
