"""Training of any timm model under any policy: ``daas train``, and ``daas.train(data)`` for programs."""

from __future__ import annotations

from daas.rooms import open_room
from daas.train.command_line import parse
from daas.train.options import TrainOptions
from daas.train.run import train

__all__ = ["TrainOptions", "parse", "train"]

open_room("daas.train", "daas.train.api", "train")
