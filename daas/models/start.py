"""Where the weights of a network begin: at random, as timm has them pretrained, or as a file has them."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models._hub import load_model_config_from_path
from torch import nn

from daas.answers import connection_failed
from daas.errors import BadInput
from daas.files import sha256
from daas.huggingface import again, local_name
from daas.models.config import outline, read_config
from daas.models.foreign import check_numbers, check_taken
from daas.models.weights import Weights, check_ending, classifiers, load_weights
from daas.repository import WEIGHTS as WEIGHTS_FILE

Channels = tuple[float, float, float]
WITHOUT_A_NETWORK = (
    "Fetch them once where there is a network (python -c \"import timm; timm.create_model('{name}', pretrained=True)\" "
    "fills the cache, which HF_HOME moves), or name a file with --pretrained-path WEIGHTS.safetensors, or a folder "
    "with config.json and model.safetensors as --model local-dir:FOLDER."
)


@dataclass(frozen=True)
class Start:
    """Where weights begin, under the names of timm's options; at random without any.

    Attributes:
        pretrained: With the model's pretrained weights, unless a file is named too.
        pretrained_path: With those of this file, loaded as if they were the pretrained ones: without a classifier.
        initial_checkpoint: With all weights of this file, whose classes are those of the images.

    >>> Start(pretrained=True).words()
    ['--pretrained']
    """

    pretrained: bool = False
    pretrained_path: str = ""
    initial_checkpoint: str = ""

    @classmethod
    def of(cls, options: Any) -> Start:
        """What options of these names say."""
        return cls(**{field.name: getattr(options, field.name) for field in fields(cls)})

    @property
    def given(self) -> bool:
        """Whether weights begin at anything but random."""
        return self != Start()

    @property
    def fetched(self) -> bool:
        """Whether timm loads weights when it makes the network: all that an initial checkpoint does not replace."""
        return bool(self.pretrained_path) or (self.pretrained and not self.initial_checkpoint)

    def named(self) -> dict[str, Any]:
        """What is given, by name."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}

    def contents(self) -> dict[str, Any]:
        """What is given, files by a hash of what is in them.

        Raises:
            BadInput: There is no such file.
        """
        self.check_files()
        return {name: value if value is True else sha256(Path(value)) for name, value in self.named().items()}

    def check_files(self) -> None:
        """Raises BadInput where a file is missing, under the name of its option."""
        for name, value in self.named().items():
            if value is not True and not os.path.isfile(Path(value)):
                raise BadInput(f"--{name.replace('_', '-')} {value}: there is no such file.")

    def words(self) -> list[str]:
        """The words of a command line that say the same."""
        return [
            word
            for name, value in self.named().items()
            for word in ("--" + name.replace("_", "-"), *([] if value is True else [str(value)]))
        ]

    def check(self, model: str) -> None:
        """Refuses weights without a network that has a name, and files that are no safetensors.

        Args:
            model: timm's name; empty for none.

        Raises:
            BadInput: Which option, and what to do.
        """
        for name, value in self.named().items():
            flag = "--" + name.replace("_", "-")
            if not model:
                raise BadInput(f"{flag} needs --model, the name of a timm model. A module has weights of its own.")
            if value is not True:
                check_ending(flag, value)


RANDOM = Start()
WEIGHTS = tuple(field.name for field in fields(Start))
"""The names of the options."""


def create(
    model: str, classes: int, start: Start = RANDOM, class_names: Sequence[str] | None = None, /, **arguments: Any
) -> nn.Module:
    """The network as timm makes it, on the CPU, what is random in it from the global stream.

    Args:
        model: Any name of timm's; ``hf-hub:user/name`` and ``local-dir:FOLDER`` too.
        classes: Outputs of the classifier.
        start: Where its weights begin.
        class_names: What its outputs are to mean, for the classifier of ``start.initial_checkpoint``.
        **arguments: Of ``timm.create_model``.

    Raises:
        BadInput: timm cannot make it, its weights are out of reach, or they do not fit.

    >>> create("resnet10t", 3).num_classes
    3
    """
    for name, flag in (("pretrained", "--pretrained"), ("checkpoint_path", "--initial-checkpoint")):
        if name in arguments:
            raise BadInput(f"{name} is no argument of a network: {flag} says where its weights begin.")
    start.check_files()
    arguments = {"num_classes": classes, **arguments}
    folder = _folder_of(model) if start.fetched else None
    if start.pretrained_path:
        made = _filled(model, start.pretrained_path, {"num_classes": -1}, arguments)  # without its classifier
    elif folder is not None:
        known_config(model)
        made = _filled(model, str(folder / WEIGHTS_FILE), {}, arguments)
    else:
        made = _made(model, pretrained=start.fetched, **arguments)
    if start.initial_checkpoint:
        load_weights(made, start.initial_checkpoint, class_names)
    return made


def _made(model: str, /, **arguments: Any) -> nn.Module:
    """``timm.create_model``, its errors said plainly."""
    name = local_name(model)
    try:
        made: nn.Module = timm.create_model(name, **arguments)
    except BadInput:
        raise
    except Exception as error:  # constructors of all of timm's models, and what reads their files, raise anything
        if name.startswith("local-dir:"):
            read_config(Path(name.removeprefix("local-dir:")))  # says what is wrong with the file, where anything is
        raise _refused(model, error) from error
    return made


def _folder_of(model: str) -> Path | None:
    """Where configuration and weights of a model lie, if they lie in a folder."""
    source, _, place = local_name(model).partition(":")
    return Path(place) if place and source == "local-dir" else None


def _filled(model: str, path: str, overlay: dict[str, Any], arguments: dict[str, Any]) -> nn.Module:
    """The network with the weights of a file, converted as timm converts pretrained ones.

    Args:
        model: Any name of timm's.
        path: Of the file.
        overlay: What timm is to think of it besides (``pretrained_cfg_overlay``).
        arguments: Of ``timm.create_model``.

    Raises:
        BadInput: They are another network's: timm itself would go on from random ones, without a word.
    """
    with torch.random.fork_rng(devices=[]):
        bare = _made(model, **arguments)
    weights = Weights.read(path)
    state = weights.named(bare.state_dict())
    check_numbers(path, {name: state[name] for name, _ in bare.named_parameters() if name in state})
    overlay = {**overlay, "source": "", "state_dict": state}  # a source would come before them
    made = _made(model, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    auxiliary = {name for name, _ in bare.named_parameters() if name.startswith("aux_head.")}
    check_taken(path, made, bare, classifiers(bare) | auxiliary, state)
    made.pretrained_cfg = bare.pretrained_cfg
    return made


def _refused(model: str, error: Exception) -> BadInput:
    if connection_failed(error):
        way_out = WITHOUT_A_NETWORK.format(name=model)
        return BadInput(
            f"--model {model}: its weights are not on this computer, and the Hub is out of reach. {way_out}"
        )
    if ":" not in model:
        known_config(model)  # a name that timm does not know is said with those near it
    said = " ".join((str(error) or repr(error)).split())[:600].rstrip(".")
    way_out = ""
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        way_out = (
            " Mend its permissions, or set HF_HOME to a folder of your own, where weights from the Hub are kept then."
        )
    return BadInput(f"--model {model} could not be made: {said}.{way_out}")


def known_config(model: str) -> dict[str, Any]:
    """What timm knows about a model before it is built.

    Args:
        model: Any name of timm's.

    Raises:
        BadInput: timm does not know it.
    """
    folder = _folder_of(model)
    try:
        if folder is not None:
            outline(folder)
            return dict(load_model_config_from_path(folder)[0])
        known = timm.is_model(model)
        found = timm.models.get_pretrained_cfg(model) if known else None
    except BadInput as error:
        cached = folder is not None and not model.startswith("local-dir:")
        raise BadInput(f"--model {model}: {error}{again(folder) if cached and folder else ''}") from error
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"--model {model}: its config.json cannot be read ({error}).") from error
    except RuntimeError as error:  # a tag that the model does not have
        name, _, tag = model.partition(".")
        tags = ", ".join(timm.list_pretrained(f"{name}.*")) or "none"
        raise BadInput(f"--model {model}: timm knows no weights {tag!r} of {name}. It has {tags}.") from error
    if not known:
        near = difflib.get_close_matches(model, timm.list_models(), 5)
        address = re.fullmatch(
            r"(?:https?://)?(?:huggingface\.co/|hf\.co/)?([\w.-]+/[\w.-]+)(?:/tree/[\w.-]+)?/?", model
        )
        hub = f" A repository of the Hub is hf-hub:{address[1]}." if address else ""
        raise BadInput(f"--model {model} is unknown to timm; near it: {', '.join(near) or 'nothing'}.{hub}")
    return {} if found is None else dict(found.to_dict())


def used_to(model: str, start: Start) -> tuple[Channels, Channels] | None:
    """Mean and standard deviation of the images that a network's weights are used to, as shares of the full range.

    Args:
        model: Any name of timm's.
        start: Where its weights begin.

    Returns:
        None where they are random, or where timm does not say.
    """
    config = known_config(model) if start.given else {}
    mean, std = config.get("mean"), config.get("std")
    if not mean or not std or len(mean) != 3 or len(std) != 3:
        return None
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def own_size(model: str, start: Start) -> int | None:
    """The side in pixels that a network's weights are used to; None where they are random.

    Args:
        model: Any name of timm's.
        start: Where its weights begin.
    """
    return int(known_config(model)["input_size"][-1]) if start.given else None
