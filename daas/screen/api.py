"""``daas.screen(...)``: images in, a verdict on every operation out."""

from __future__ import annotations

import dataclasses
import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import nn
from tqdm import tqdm

from daas.data.facts import sentences
from daas.data.given import Given, named_or_path
from daas.errors import BadInput
from daas.locks import locked
from daas.options import typed
from daas.screen import folder
from daas.screen.judging import screened
from daas.screen.measure import measure
from daas.screen.options import ScreenOptions
from daas.screen.pictures import sure_and_wrong
from daas.screen.result import Screen
from daas.screen.saving import PAGE, draw
from daas.screen.setting import PLACES, Setting, gather
from daas.screen.start import Pace, beginning
from daas.screen.tries import everything
from daas.surroundings import refuse_without_gradients, usual_torch
from daas.train.fit import Recipe, fit
from daas.train.keeping import Kept


def screen(
    data: Given,
    *,
    network: nn.Module | str | None = None,
    val: Given | None = None,
    epochs: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    **options: Any,
) -> Screen:
    """Says which operations change the label of these images, from one training under all of them.

    Args:
        data: ``(images, labels)``, uint8 [n, 3, H, W] and int64 [n]; a torch ``Dataset``; the path of a folder of class
            folders or of an archive of one; or the name of a data set (``digits``, ``torch/cifar10``, ...). Half of it
            is trained on and the other half asked about, unless ``val`` is given.
        network: A timm name (with ``model_kwargs=`` and ``pretrained=``) or a module, of which a copy is trained; by
            default a WRN-10-1.
        val: Images to ask about, in any of the forms of ``data``.
        epochs: Of the training; 60 by default.
        seed: Of every random choice.
        out: A folder for the results, and for going on after an interruption; nothing is written without.
        **options: Any other option of ``daas screen`` by its name with underscores: ``image_size=32``,
            ``batch_size=32``, ``operations=["HFlip", "Rotate"]``, ``max_images=1000``, ``resume="auto"``, ...

    Returns:
        What was seen of every operation, the policy that is left, and whether to flip.

    Raises:
        BadInput: Something that cannot be used; the message says what can.
        FloatingPointError: The loss is no longer a number, or what the trained network answers is none.

    >>> import daas, torch
    >>> stripes = torch.arange(16).remainder(4).lt(2).mul(255).to(torch.uint8).expand(40, 3, 16, 16)
    >>> seen = daas.screen((stripes, torch.arange(40) % 2), epochs=1, operations=["HFlip", "Rotate"])
    >>> seen["HFlip"].verdict  # the labels have nothing to do with the images
    'unclear'
    """
    for name in PLACES:
        if name in options:
            raise BadInput(f"daas.screen takes no {name}; pass {'val' if name == 'val_dir' else 'data'}.")
    given = {**options, "seed": seed, **({} if epochs is None else {"epochs": epochs})}
    if out is not None:
        given["out"] = Path(out)
    values = typed(ScreenOptions, given, "daas.screen")
    if isinstance(data, str | Path):
        dataset, place = named_or_path(data)
        values |= {"dataset": dataset, "data_dir": place}
    if isinstance(val, str | Path):
        values["val_dir"] = Path(val)
    if isinstance(network, str):
        if values.get("model"):
            raise BadInput("network= and model= are the same; give one of them.")
        values["model"], network = network, None
    return run(ScreenOptions(**values), data, val, network)


@usual_torch()
def run(options: ScreenOptions, data: Any = None, val: Any = None, network: nn.Module | None = None) -> Screen:
    """A screen from options to a result, written where ``options.out`` says.

    Args:
        options: Checked here.
        data: The images; by default those that the options name.
        val: Images to ask about; by default those of ``options.val_dir``, or half of ``data``.
        network: A module; by default what ``options.model`` names, or the default network.

    Raises:
        BadInput: As ``screen``.
        FloatingPointError: As ``screen``.
    """
    refuse_without_gradients("A screen")
    setting = gather(options, data, val, network)
    with nullcontext() if options.out is None else locked(options.out):
        return _run(setting)


def _run(setting: Setting) -> Screen:
    started, options, made_of = time.monotonic(), setting.options, setting.made_of()
    done = folder.resumed(options, made_of)
    if isinstance(done, Screen):
        if options.out is not None and not os.path.exists(options.out / PAGE):
            draw(done, options.out)
        return done
    kept = None if options.out is None else folder.unfinished(options.out, made_of)
    if done is None:
        model = _trained(setting, kept)
        if options.out is not None:
            folder.keep_network(options.out, model, made_of)
    else:
        model = folder.with_weights(setting.made, done).to(setting.device)
    if kept is not None:
        kept.remove()
    measured = measure(model, setting.asked, setting.tried, setting.statistics, seed=options.seed)
    about = {**setting.about(), "seconds": time.monotonic() - started}
    found = screened(measured, setting.train.class_names, about, options.seed, setting.most_asked)
    pictures = sure_and_wrong(measured, setting.asked, found.operations, options.seed)
    warnings = (*sentences(setting.facts), *found.warnings)
    found = dataclasses.replace(found, pictures=pictures, warnings=warnings)
    if options.out is not None:
        found.save(options.out)
    return found


def _trained(setting: Setting, kept: Kept | None) -> nn.Module:
    """The one training under everything, from where it was kept; with a folder it says how long it takes."""
    options, (mean, std) = setting.options, setting.statistics
    recipe = Recipe(
        epochs=options.epochs, batch_size=min(options.batch_size, len(setting.train)), lr=setting.lr,
        weight_decay=options.weight_decay, hflip=0.0, mean=tuple(mean), std=tuple(std),
    )  # fmt: skip
    if options.out is not None:
        tqdm.write(beginning(setting))
    pace = Pace()
    with tqdm(total=options.epochs, unit="epoch", desc="training under everything", disable=None, leave=False) as bar:

        def progress(done: int, of: int, loss: float) -> None:
            left = pace.left(done, of)
            if left and options.out is not None:
                tqdm.write(left)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update(done - bar.n)

        fitted = fit(
            setting.made, setting.train, setting.asked, recipe, augment=everything(setting.tried), seed=options.seed,
            device=setting.device, progress=progress, kept=kept,
        )  # fmt: skip
    return fitted.model
