"""Which operations change the label, and up to which magnitude the others are safe; ``daas.screen(data)`` says."""

from __future__ import annotations

from daas.rooms import open_room
from daas.screen.result import Screen, Seen

__all__ = ["Screen", "Seen"]

open_room("daas.screen", "daas.screen.api", "screen")
