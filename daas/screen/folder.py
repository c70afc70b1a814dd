"""The folder of a screen while it is made: the training is kept epoch by epoch, then the trained network."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from daas import checkpoint
from daas.errors import BadInput
from daas.screen.options import ScreenOptions
from daas.screen.result import Screen
from daas.screen.saving import JSON
from daas.train.keeping import Kept
from daas.train.output import CHECKPOINT

NETWORK = "network.safetensors"


def unfinished(out: Path, made_of: dict[str, Any]) -> Kept:
    """Where the training is kept until it is finished."""
    return Kept(out, {"made_of": made_of})


def resumed(options: ScreenOptions, made_of: dict[str, Any]) -> Screen | dict[str, Tensor] | None:
    """What ``--resume auto`` finds: a finished screen, the weights of a finished training, or nothing.

    An unfinished training is nothing here: it is seen to be the same one, and ``unfinished`` goes on with it.

    Args:
        options: ``out`` and ``resume``.
        made_of: What the screen is made of.

    Raises:
        BadInput: The folder holds another screen, or one that nothing was said about going on with.
    """
    out = options.out
    if out is None:
        if options.resume:
            raise BadInput("resume='auto' goes on with what is in a folder; name it with out=.")
        return None
    present = [name for name in (JSON, NETWORK, CHECKPOINT) if os.path.exists(out / name)]
    if not present:
        return None
    if not options.resume:
        raise BadInput(
            f"--out {out} already holds {' and '.join(present)}. Go on with --resume auto, or choose another folder."
        )
    if JSON in present:
        found = Screen.load(out)
        _same(out, dict(found.about).get("made_of", {}), made_of)
        return found
    if NETWORK in present:
        weights, meta = checkpoint.load(out / NETWORK)
        _same(out, meta.get("made_of", {}), made_of)
        return weights
    begun = unfinished(out, made_of).found() or {}
    _same(out, begun.get("made_of", {}), made_of)
    return None


def operations_before(options: ScreenOptions) -> tuple[str, ...]:
    """What a screen that is gone on with tries, where no operations are named: a later version may know more.

    Returns:
        Names; none where there is nothing to go on with.

    Raises:
        BadInput: The folder holds files that cannot be read.
    """
    out = options.out
    if out is None or not options.resume:
        return ()
    if os.path.exists(out / JSON):
        before = dict(Screen.load(out).about).get("made_of", {})
    elif os.path.exists(out / NETWORK):
        before = checkpoint.load(out / NETWORK)[1].get("made_of", {})
    else:
        before = (unfinished(out, {}).found() or {}).get("made_of", {})
    return tuple(before.get("operations", ()))


def _same(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    unknown = {"module_weights"} - before.keys()  # of a screen from before they were noted
    other = [name for name in now if name not in unknown and before.get(name) != now[name]]
    if other:
        name = other[0]
        shown = "" if name == "images" else f" ({before.get(name)!r} there, {now[name]!r} here)"
        raise BadInput(
            f"--out {out} holds a screen with other {name}{shown}. Name its options again, or choose another folder."
        )


def keep_network(out: Path, model: nn.Module, made_of: dict[str, Any]) -> None:
    """Writes the trained network, so that a screen that is interrupted from here on need not train again."""
    checkpoint.save(out / NETWORK, model.state_dict(), {"made_of": made_of})


def with_weights(made: nn.Module | Callable[[], nn.Module], weights: dict[str, Tensor]) -> nn.Module:
    """A network with the weights of a finished training.

    Raises:
        BadInput: They are another network's.
    """
    model = copy.deepcopy(made) if isinstance(made, nn.Module) else made()
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise BadInput(f"The weights in --out are another network's ({str(error).splitlines()[0]}).") from error
    return model.eval()
