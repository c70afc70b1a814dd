"""verification.json: checksums of a repository's files and the logits that its model gives for a fixed input."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from daas.errors import BadInput
from daas.files import sha256, write_json
from daas.reading import read_json
from daas.repository import HUBS_OWN, VERIFICATION, files_of

FORMAT = "daas-hub/1"
_SEED = "daas-hub/1 reference input"
_IMAGES = 2
TOLERANCE = 1e-4
"""How far logits may be from the reference on other hardware or another PyTorch, as a share of the largest one."""


@dataclass(frozen=True)
class Verification:
    """What is written down at export to be checked later.

    Attributes:
        written: When the weights were, ISO 8601 in UTC.
        torch: The PyTorch that computed the logits.
        files: SHA-256 of every other file, by path.
        logits: [2, num_classes] of the reference input.
    """

    written: str
    torch: str
    files: dict[str, str]
    logits: list[list[float]]

    def save(self, folder: Path) -> None:
        """Writes verification.json."""
        write_json(folder / VERIFICATION, {"format": FORMAT, **asdict(self)})

    @classmethod
    def load(cls, folder: Path) -> Verification:
        """Reads verification.json.

        Raises:
            BadInput: There is none, or it is none.
        """
        path = folder / VERIFICATION
        if not os.path.isfile(path):
            raise BadInput(f"{VERIFICATION} is missing: the folder was not made by daas hub export.")
        values = read_json(path, "verification")
        keys = {"format", "written", "torch", "files", "logits"}
        if not isinstance(values, dict) or values.get("format") != FORMAT or set(values) != keys:
            raise BadInput(f"{VERIFICATION}: this version reads the format {FORMAT!r} with the keys {sorted(keys)}.")
        _check(values)
        return cls(**{key: values[key] for key in keys - {"format"}})


def _check(values: dict[str, Any]) -> None:
    files, logits = values["files"], values["logits"]
    texts = all(isinstance(values[key], str) for key in ("written", "torch"))
    if not texts or not isinstance(files, dict) or not all(isinstance(hash_, str) for hash_ in files.values()):
        raise BadInput(f"{VERIFICATION}: 'written', 'torch' and every entry of 'files' are texts.")
    try:
        table = np.asarray(logits, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{VERIFICATION}: 'logits' is no table of numbers ({error}).") from error
    if table.ndim != 2 or len(table) != _IMAGES or not all(math.isfinite(value) for value in table.flat):
        raise BadInput(f"{VERIFICATION}: 'logits' must be {_IMAGES} rows of finite numbers; found shape {table.shape}.")


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder but for verification.json itself and what the Hub adds."""
    return {name: sha256(folder / name) for name in files_of(folder) if name not in (VERIFICATION, HUBS_OWN)}


def reference_input(input_size: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """A batch that is the same everywhere, for ever: bytes of SHAKE-256, normalised as images are.

    Args:
        input_size: (channels, height, width).
        mean: Per channel, as a share of the full range.
        std: The same.

    Returns:
        [2, channels, height, width] float32.
    """
    count = _IMAGES * math.prod(input_size)
    pixels = np.frombuffer(hashlib.shake_256(_SEED.encode()).digest(count), dtype=np.uint8)
    images = torch.from_numpy(pixels.copy()).view(_IMAGES, *input_size).float() / 255
    shift, scale = (torch.tensor(list(values)).view(-1, 1, 1) for values in (mean, std))
    return (images - shift) / scale


def reference_logits(model: nn.Module, images: Tensor) -> Tensor:
    """[2, num_classes] float32, on the CPU, in evaluation mode."""
    model = model.cpu().float().eval()
    with torch.inference_mode():
        logits: Tensor = model(images)
    return logits
