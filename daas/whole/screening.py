"""Before the search: what changes the labels of these images, and what that leaves to be searched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tqdm import tqdm

from daas import processes
from daas.data import ImageData
from daas.errors import BadInput
from daas.race.sets import can_say
from daas.screen.api import run
from daas.screen.images import least_for, two_halves
from daas.screen.options import DEFAULT_SIZE, ScreenOptions
from daas.screen.result import Screen
from daas.screen.using import limits
from daas.screen.verdicts import CHANGES, UNCLEAR
from daas.screen.words import answer
from daas.search.given import Given
from daas.search.options import SearchConfig
from daas.search.runs.build import read_images
from daas.search.spaces.policy_space import PolicySpace

FOLDER = "screen"
_IMAGES = 1000  # at most, if classes are few: with 500 to ask about, verdicts are the same from seed to seed


def check(images: ImageData, config: SearchConfig) -> None:
    """Raises BadInput where these images cannot be screened, before anything is begun; the message says the way out."""
    try:
        two_halves(images, None, ScreenOptions(max_images=_most(images), seed=config.seed), None)
    except BadInput as error:
        raise BadInput(f"{error} --no-screen (screen=False) searches without it.") from error


def screened(config: SearchConfig, given: Given) -> Screen:
    """The screen of the images of a search, with the screen's own small network; finished ones are taken again.

    Raises:
        BadInput: Images that cannot be screened.
        FloatingPointError: The training of the screen diverged, which no option of a search changes.
    """
    with processes.in_turn():  # the first process screens, the others read what it says
        images = _small_images(config, given)
        out = None if config.out is None else config.out / FOLDER
        options = ScreenOptions(
            dataset=config.dataset,
            data_dir=config.data_dir,
            max_images=_most(images),
            out=out,
            resume="" if out is None else "auto",
            seed=config.seed,
            device=config.device,
        )
        try:
            seen = run(options, images)
        except FloatingPointError as error:
            raise FloatingPointError(f"in the screen, {error} --no-screen searches without it.") from error
    if processes.rank() == 0:
        for line in (*answer(seen), *_left(config, given, seen)):
            tqdm.write(line)
    return seen


def _most(images: ImageData) -> int:
    """How many images are screened at most; some of every class, however many there are."""
    return max(_IMAGES, least_for(images))


def _small_images(config: SearchConfig, given: Given) -> ImageData:
    """The images of the search, at 32 pixels where they are larger."""
    small = replace(config, image_size=DEFAULT_SIZE)
    own = given.data is not None or config.dataset == "digits"
    if not own and (config.image_size or DEFAULT_SIZE) >= DEFAULT_SIZE:
        return read_images(small, given)[0]
    images = read_images(config, given)[0]
    return images if images.image_size <= DEFAULT_SIZE else read_images(small, given)[0]


def left_out(seen: Screen, space: PolicySpace) -> list[str]:
    """The operations of a space that the search does without.

    They are those that change the labels, those that are too unclear to use, and those of which no magnitude is safe.
    A screen whose network cannot read the images knows nothing: then nothing is left out.
    """
    if can_say(seen):
        return [name for name in space.operations if name in seen and _unsafe(seen, name)]
    return []


def _unsafe(seen: Screen, name: str) -> bool:
    one = seen[name]
    return one.dropped or (one.safe_up_to is not None and name not in limits(seen))


def narrowed(config: SearchConfig, given: Given, seen: Screen) -> tuple[SearchConfig, Given]:
    """The options and objects of a search that keeps to what a screen allows; a flip that was asked for stays.

    Raises:
        BadInput: Fewer than two operations are left to be searched.
    """
    if config.hflip is None:
        config = replace(config, hflip=seen.flip)
    if config.mode == "arch":
        return config, given
    out = left_out(seen, given.space)
    names = [name for name in given.space.operations if name not in out]
    if len(names) < 2:
        raise BadInput(
            f"The screen leaves {len(names)} of {len(given.space.operations)} operations ({', '.join(out)} may change "
            "the labels), and a policy is searched among at least 2. Search the cells alone with --mode arch, or all "
            "operations with --no-screen."
        )
    return config, replace(
        given, space=replace(given.space, operations=names, limits=_limits(seen, given.space, names))
    )


def _limits(seen: Screen, space: PolicySpace, names: list[str]) -> dict[str, float]:
    """The safe magnitudes of operations that are not safe everywhere, and the space's own limits of others."""
    found = {name: end for name, end in space.limits.items() if name in names}
    if can_say(seen):
        partly = [name for name in names if name in seen and not all(piece.safe for piece in seen[name].by_magnitude)]
        found |= {name: limits(seen)[name] for name in partly if name in limits(seen)}
    return found


def _left(config: SearchConfig, given: Given, seen: Screen) -> list[str]:
    if config.mode == "arch":
        return []
    if not can_say(seen):
        return ["The screen cannot say what changes these labels: the search takes all operations."]
    out = left_out(seen, given.space)
    return [f"The search leaves out {', '.join(out)}." if out else "The search takes all operations."]


def in_summary(seen: Screen, config: SearchConfig, given: Given) -> dict[str, Any]:
    """What summary.json says of a screen.

    Args:
        seen: The screen.
        config: Of the search as it was run, the flip decided.
        given: Its objects as they were given.
    """
    arch = config.mode == "arch"
    return {
        "answer": answer(seen),
        "changes": [one.op for one in seen if one.verdict == CHANGES],
        "left_out": [] if arch else left_out(seen, given.space),
        "images": seen.about["data"]["train_images"] + seen.about["data"]["val_images"],
        "hflip": config.hflip,
        "flip": seen["HFlip"].verdict if "HFlip" in seen else UNCLEAR,
        "swaps": [":".join(pair) for pair in seen.swaps] if config.hflip == seen.flip else [],
    }
