"""Training of any timm model under a searched policy: ``python -m daas.train`` and ``train`` for programs."""

from __future__ import annotations

from daas.train.command_line import parse
from daas.train.options import TrainOptions
from daas.train.run import train

__all__ = ["TrainOptions", "parse", "train"]
