"""The stages of a search one after the other, each of which goes on where it was interrupted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

from tqdm import tqdm

from daas import processes
from daas.errors import BadInput
from daas.screen.result import Screen
from daas.search.effects import without_effect
from daas.search.found import Found
from daas.search.given import Given
from daas.search.options import SearchConfig
from daas.search.runs import independent, one, seeds
from daas.search.runs.build import all_images, check_batch, read_images
from daas.search.runs.folder import checkpoint_to_resume, present_in
from daas.surroundings import refuse_without_gradients, usual_torch
from daas.whole import racing, screening
from daas.whole.found import Answer


@usual_torch()
def search(config: SearchConfig, given: Given | None = None) -> Found:
    """A search with the screen before it and the race behind it, as far as they are asked for.

    Args:
        config: The options.
        given: What a program gives as objects.

    Returns:
        What was found; an ``Answer`` where anything was screened or raced.

    Raises:
        BadInput: Options, images or an output folder that cannot be used; nothing is written over.
        Interrupted: The user stopped the search; the checkpoint is saved.
        Diverged: A loss became infinite or not a number.
        FloatingPointError: So did that of the screen, or those of all trainings of the race.
    """
    refuse_without_gradients("A search")
    _say_idle(config)
    given = Given() if given is None else given
    if not (config.screen or config.race):
        return one.search(config, given)
    one.check(config, given)
    return _staged(config, given, one.search)


def repeat(config: SearchConfig) -> Found:
    """The search under every seed of ``config.seeds``, one screen before all and one race behind the recommended.

    Args:
        config: The options.

    Returns:
        What the recommended seed has found, written to ``config.out`` itself; an ``Answer`` as of ``search``.

    Raises:
        BadInput: As ``search``.
        Interrupted: As ``search``.
        Diverged: All searches are done, and in some a loss became infinite or not a number.
        FloatingPointError: As ``search``.
    """
    _say_idle(config)
    given = Given()
    if not (config.screen or config.race):
        return seeds.repeat(config)
    return _staged(config, given, seeds.repeat)


def _say_idle(config: SearchConfig) -> None:
    """Names options that change nothing, in the first process alone."""
    if os.environ.get("RANK", "0") == "0":
        for text in without_effect(config):
            print(f"Warning: {text}", file=sys.stderr)


def _staged(config: SearchConfig, given: Given, search_: Callable[[SearchConfig, Given], Found]) -> Found:
    """All stages around a search, or around the searches of several seeds."""
    with processes.processes():
        given = _checked(config, given)
        seen, whole, objects = _before(config, given)
        found = search_(whole, objects)
        if processes.rank() == 0:
            found = _answered(found, whole, given, seen)
        processes.wait()
    return found


def _before(config: SearchConfig, given: Given) -> tuple[Screen | None, SearchConfig, Given]:
    """The screen, where it is asked for, and the search that it leaves."""
    if not config.screen:
        _stage(config, "search")
        return None, config, given
    _stage(config, "screen")
    seen = screening.screened(config, given)
    whole, objects = screening.narrowed(config, given, seen)
    _stage(config, "search")
    return seen, whole, objects


def _checked(config: SearchConfig, given: Given) -> Given:
    """The objects with the images, which all stages look at.

    Raises:
        BadInput: What a later stage would stumble over, while nothing is written.
    """
    out = config.out
    if out is not None:
        check = independent.check_output if config.mode == "independent" else checkpoint_to_resume
        (seeds.check_output if config.seeds else check)(config)
        _check_stages(config, out)
    given = replace(given, read=all_images(config, given))
    images = read_images(config, given)[0]
    check_batch(images, config, given)
    if config.screen:
        screening.check(images, config)
    if config.race:
        racing.check(images, config)
    processes.wait()  # nobody writes before all have looked
    return given


def _check_stages(config: SearchConfig, out: Path) -> None:
    there = [name for name in (screening.FOLDER, racing.FOLDER) if os.path.isdir(out / name)]
    if there and not config.resume:
        raise BadInput(
            f"--out {out} holds another run ({', '.join(there)}), and nothing is written over. Go on with it by "
            "--resume auto, or choose another folder."
        )
    if config.screen and screening.FOLDER not in there and present_in(out):
        raise BadInput(f"--out {out} holds a search that began without a screen. Go on with it by --no-screen.")


def _answered(found: Found, config: SearchConfig, given: Given, seen: Screen | None) -> Answer:
    """Races what was found, and writes the summary and the report again with what all stages say."""
    said = {} if seen is None else {"screen": screening.in_summary(seen, config, given)}
    result = None
    if config.race:
        _stage(config, "race")
        result = racing.raced(found, config, given, seen)
        said["race"] = racing.in_summary(result)
    values = {field.name: getattr(found, field.name) for field in fields(Found)}
    answer = Answer(**{**values, "summary": found.summary | said}, screen=seen, race=result)
    if config.out is not None:
        answer.write(config.out)
    return answer


_WORDS = {
    "screen": "one training under everything says which augmentations change the labels",
    "search": "a network and a policy on shared weights",
    "race": "whole trainings choose",
}


def _stage(config: SearchConfig, name: str) -> None:
    """Says which stage begins."""
    if processes.rank() == 0:
        all_of_it = [
            stage for stage, asked in (("screen", config.screen), ("search", True), ("race", config.race)) if asked
        ]
        tqdm.write(f"Stage {all_of_it.index(name) + 1} of {len(all_of_it)}, {name}: {_WORDS[name]}.")
