"""Weights in a file: read, fitted to a network, their classifier in the order of its classes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from daas import checkpoint
from daas.errors import BadInput
from daas.models.foreign import check_fit, unwrapped

CLASS_NAMES = "class_names"
"""Where the header of weights has a JSON list of what their outputs mean."""
_SHOWN = 8  # classes that a message names
_COUNTER = "num_batches_tracked"
_PART = re.compile(r"-\d+-of-0*(\d+)\.safetensors$")
_WHOLE = (
    "Put the tensors of all files into one dict (safetensors.torch.load_file), and save it with "
    "safetensors.torch.save_file."
)
_KINDS = {
    (".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl", ".pickle"): (
        " Convert them where you trust them: load them with torch.load(..., weights_only=True), and save the state "
        "dict with safetensors.torch.save_file."
    ),
    (".onnx",): " This is an ONNX graph; save the state dict of the PyTorch model that it was exported from.",
    (".h5", ".hdf5", ".keras", ".pb", ".tflite"): (
        " These are of Keras or TensorFlow, whose networks are not timm's; take weights of a timm model."
    ),
    (".npz", ".npy", ".msgpack"): " These are arrays of NumPy or JAX; take the safetensors file of the timm model.",
    (".json",): f" This is JSON, perhaps the index of weights in several files. {_WHOLE}",
}  # fmt: skip
"""What to do with files of other endings."""


@dataclass(frozen=True)
class Weights:
    """A state dict from a file.

    Attributes:
        path: The file.
        tensors: By name, on the CPU.
        class_names: Of the outputs; None where the file does not say.
    """

    path: str | Path
    tensors: dict[str, Tensor]
    class_names: tuple[str, ...] | None

    @classmethod
    def read(cls, path: str | Path) -> Weights:
        """Reads a safetensors file.

        Raises:
            BadInput: No such file, not safetensors, or the checkpoint of a run.
        """
        tensors, header = checkpoint.read_tensors(path, "safetensors file of weights")
        if not tensors:
            raise BadInput(f"{path} holds no tensors. Name the right file.")
        if checkpoint.META in header:
            raise BadInput(
                f"{path} is the checkpoint of a run, which holds more than weights. Those of a training are in "
                "model_best.safetensors and last.safetensors beside it."
            )
        try:
            names = json.loads(header.get(CLASS_NAMES, "null"))
        except ValueError:
            names = None
        known = isinstance(names, list) and all(isinstance(name, str) for name in names)
        return cls(path, tensors, tuple(names) if known else None)

    def into(self, model: nn.Module, class_names: Sequence[str] | None = None) -> None:
        """Puts the weights into a model, without auxiliary heads that it does not have and prefixes of wrappers.

        Files of other programs may lack the counters of batch norms, which no output depends on.

        Args:
            model: Is changed.
            class_names: What its outputs are to mean. Where the file names the same classes in another order, its
                classifier's rows are put into this one.

        Raises:
            BadInput: Weights of another network, or of other classes; values that are no numbers.
        """
        own = model.state_dict()
        state = {n: tensor for n, tensor in self.named(own).items() if n in own or not n.startswith("aux_head.")}
        if class_names is not None and self.class_names is not None and tuple(class_names) != self.class_names:
            state = self._reordered(state, model, class_names)
        wanted = {n: tensor for n, tensor in own.items() if n in state or not n.endswith(_COUNTER)}
        check_fit(self.path, state, wanted, classifiers(model))
        model.load_state_dict({**own, **state})

    def named(self, known: Collection[str]) -> dict[str, Tensor]:
        """The tensors under a network's own names (``foreign.unwrapped``)."""
        return unwrapped(self.path, self.tensors, known)

    def _reordered(self, state: dict[str, Tensor], model: nn.Module, names: Sequence[str]) -> dict[str, Tensor]:
        known = self.class_names or ()
        if sorted(known) != sorted(names):
            raise BadInput(
                f"{self.path} is for other classes: {difference(known, names, 'the weights', 'the images')}. To go on "
                "from weights of other classes with a new classifier, name them with --pretrained-path."
            )
        row = {name: index for index, name in enumerate(known)}
        rows = torch.tensor([row[name] for name in names])
        found = dict(state)
        for name in classifiers(model):
            tensor = state.get(name)
            if tensor is not None and len(tensor) >= len(rows):
                found[name] = torch.cat([tensor[rows], tensor[len(rows) :]])
        return found


def classifiers(model: nn.Module) -> set[str]:
    """Names of the tensors with one row per class: of the classifier and of an auxiliary one."""
    classifier: Any = getattr(model, "get_classifier", lambda: None)()
    heads = set(classifier) if isinstance(classifier, (tuple, list)) else {classifier}
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    auxiliary = [name for name, _ in layers if name.startswith("aux_head.")][-1:]
    last = [] if heads - {None} else [name for name, _ in layers][-1:]
    chosen = {*auxiliary, *last, *(name for name, layer in layers if layer in heads)}
    return {f"{name}.{part}" for name in chosen for part in ("weight", "bias")}


def load_weights(model: nn.Module, path: str | Path, class_names: Sequence[str] | None = None) -> None:
    """Reads a safetensors state dict into a model: ``Weights.read`` and ``Weights.into``."""
    Weights.read(path).into(model, class_names)


def difference(first: Sequence[str], second: Sequence[str], one: str, other: str) -> str:
    """In what two sets of class names differ, in words.

    >>> difference(["ape", "bee"], ["bee", "cow"], "validation", "the training images")
    'ape only in validation; cow only in the training images'
    """
    parts = []
    for names, others, where in ((first, second, one), (second, first, other)):
        known = set(others)
        only = [name for name in names if name not in known]
        if only:
            more = f" and {len(only) - _SHOWN} more" if len(only) > _SHOWN else ""
            parts.append(f"{', '.join(only[:_SHOWN])}{more} only in {where}")
    return "; ".join(parts) or "they stand in another order"


def check_ending(flag: str, path: str) -> None:
    """Refuses weights in anything but a safetensors file, by the file's name.

    Args:
        flag: The option that names them.
        path: The file.

    Raises:
        BadInput: An address, a folder, another ending, one of several files of one network.
    """
    if path.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
        raise BadInput(
            f"{flag} {path}: this is no file. Weights of a repository come with --model {path} --pretrained."
        )
    if "://" in path:
        raise BadInput(f"{flag} {path}: this is an address. Download the file first, and name it on this computer.")
    if os.path.isdir(path):
        raise BadInput(f"{flag} {path}: this is a folder. Name the .safetensors file in it.")
    part = _PART.search(path)
    if part is not None and int(part[1]) > 1:
        raise BadInput(f"{flag} {path}: this is one of {part[1]} files that hold a network's weights. {_WHOLE}")
    if not path.endswith(".safetensors"):
        kind = next((said for endings, said in _KINDS.items() if path.lower().endswith(endings)), "")
        raise BadInput(f"{flag} {path}: weights are read from .safetensors files; nothing is unpickled.{kind}")
