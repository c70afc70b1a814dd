"""A screen in words: the answer in a few lines, and a table."""

from __future__ import annotations

from daas.augment.space import named
from daas.errors import plain
from daas.screen.result import Moved, Screen, Seen
from daas.screen.using import (
    CROP,
    FLIP,
    crop_words,
    cuts_by_default,
    kept,
    meant,
    swap_words,
    swapped_words,
    train_words,
)
from daas.screen.verdicts import CHANGES, TOLERATED, UNCLEAR
from daas.shell import typed

MOVED = 0.25
"""Share of a class that has to be taken for another one to be worth a word."""
_MORE = "More images would say more; so would daas screen with a larger --image-size or a pretrained --model."
TITLES = {
    "HFlip": "HFlip (left-right)",
    "VFlip": "VFlip (upside down)",
    "Rot90": "Rot90 (quarter turns)",
    "Crop": "Crop (random part, enlarged)",
}


def answer(screen: Screen) -> list[str]:
    """What changes the labels, what is safe: a sentence each; class names may be anybody's."""
    return [plain(line) for line in _answer(screen)]


def _answer(screen: Screen) -> list[str]:
    if all(seen.share is None for seen in screen):
        return [f"Nothing can be said of your labels: {_right(screen)}. {_MORE}", *_crop(screen), _flip(screen)]
    lines = [_changing(screen)]
    if 2 * sum(seen.verdict == UNCLEAR for seen in screen) >= len(screen.operations):
        lines.append(f"Most of it is unclear: {_right(screen)}. {_MORE}")
    if screen.swaps:
        pairs = ", ".join(f"{a} <-> {b}" for a, b in screen.swaps)
        lines.append(f"A horizontal flip exchanges {pairs}: with exchanged labels it can be used all the same.")
    left = kept(screen)
    limited = [name for name in left if limit_words(screen[name])]
    lines += _policy(screen, left)
    if nowhere := [seen.op for seen in screen if not seen.dropped and limit_words(seen) == "nowhere"]:
        lines.append(f"Left out, for no magnitude is safe: {', '.join(nowhere)}.")
    if limited:
        lines.append("Within limits: " + ", ".join(f"{name} {limit_words(screen[name])}" for name in limited) + ".")
    return [*lines, *_crop(screen), _flip(screen)]


def _policy(screen: Screen, left: list[str]) -> list[str]:
    """What the policy is made of: what is safe, and what is unclear and does not look like a change."""
    safe = [name for name in left if screen[name].verdict != UNCLEAR]
    unclear = [name for name in left if screen[name].verdict == UNCLEAR]
    lines = [f"Safe, and in policy.json: {', '.join(safe)}."] if safe else []
    if unclear:
        lines.append(
            f"Unclear, and in policy.json all the same (estimated to change fewer than {TOLERATED:.0%} of the labels): "
            f"{', '.join(unclear)}."
        )
    return lines or ["Nothing is left for a policy."]


def _crop(screen: Screen) -> list[str]:
    """What the screen says of cutting parts out, as most training scripts do."""
    if screen.scale is None:
        pad = "Random resized crops were not tried: --train-crop-mode pad trains without them."
        return [pad] if cuts_by_default(screen) else []
    seen, least, option = screen[CROP], screen.scale[0], " ".join(crop_words(screen))
    if least < 1.0:
        what = "were not seen to change labels, which is unclear," if seen.verdict == UNCLEAR else "are safe"
        smallest = "" if limit_words(seen) else ", the smallest that were tried"
        return [f"Crops {what} down to {least:.0%} of the area{smallest}{': ' + option if option else ''}."]
    why = "they change the label" if seen.verdict == CHANGES else "no size is clearly safe"
    return [f"No random resized crops{f' ({option})' if option else ''}: {why}."]


def _changing(screen: Screen) -> str:
    found = [seen for seen in screen if seen.verdict == CHANGES]
    doubtful = [seen.op for seen in screen if seen.verdict == UNCLEAR and seen.dropped]
    rest = f" Too unclear to use: {', '.join(doubtful)}." if doubtful else ""
    if not found and _flip_takes(screen):
        return f"Nothing was seen to change your labels throughout; a flip takes some classes for others.{rest}"
    if not found:
        return f"Nothing was seen to change your labels.{rest}"
    return f"Changes your labels: {', '.join(map(_with_move, found))}.{rest}"


def _right(screen: Screen) -> str:
    """How well the network reads the images."""
    right, images = screen.clean["accuracy"], screen.about["data"]["val_images"]
    guess = right - screen.about["null"]["readable"]
    return f"the screen's network is right on {right:.1f}% of {images} images, where guessing gives {guess:.1f}%"


def _with_move(seen: Seen) -> str:
    if not seen.moves:
        return seen.op
    first = seen.moves[0]
    if any(m.source == first.target and m.target == first.source for m in seen.moves):
        return f"{seen.op} ({' <-> '.join(sorted((first.source, first.target)))})"
    return f"{seen.op} ({first.source} -> {first.target})"


def _flip(screen: Screen) -> str:
    if FLIP not in screen:
        return "The horizontal flip was not tried: train without it (--hflip 0), or try HFlip too."
    if screen.flip:
        return "A horizontal flip is harmless: --hflip 0.5."
    seen = screen[FLIP]
    if seen.verdict == CHANGES:
        kind = "plain horizontal flip" if screen.swaps else "horizontal flip"
        return f"No {kind} (--hflip 0): it changes the label."
    why = "it is unclear" if seen.verdict == UNCLEAR else "it makes images harder"
    right = f"{screen.clean['accuracy']:.1f}% are right as they are, {seen.accuracy:.1f}% flipped"
    moved = _flip_takes(screen)
    taken = f" Flipped, {', '.join(map(_taken, moved))}." if moved else ""
    return f"No horizontal flip (--hflip 0): {why}; {right}.{taken}"


def _flip_takes(screen: Screen) -> list[Moved]:
    """The classes, three at most, of which a flip that costs accuracy has many images taken for another one."""
    if FLIP not in screen or screen.flip:
        return []
    return [move for move in screen[FLIP].moves if move.share >= MOVED][:3]


def _taken(move: Moved) -> str:
    return f"{move.share:.0%} of {move.source} are taken for {move.target}"


def next_lines(screen: Screen, policy: str | None) -> list[str]:
    """What to type next."""
    command = train_words(screen, policy)
    lines = ["To train with it:", f"  {plain(typed(command))}"]
    if screen.swaps:
        instead = f"or, with the flip and exchanged labels, instead of {swapped_words(screen)}:"
        lines += [instead, f"  {plain(swap_words(screen))}"]
    return [*lines, meant(command)] if meant(command) else lines


def limit_words(seen: Seen) -> str:
    """Up to where an operation is safe; empty where all of its range is, nothing is known, or it has no magnitude."""
    operation = named(seen.op)
    start, end = operation.identity, seen.safe_up_to
    if end is None or start is None or seen.share is None or all(piece.safe for piece in seen.by_magnitude):
        return ""
    if end == start:
        return "nowhere"
    if operation.low is not None and operation.low < start < (operation.high or start):
        return f"from {2 * start - end:.3g} to {end:.3g}"
    return f"{'up' if end > start else 'down'} to {end:.3g} {operation.unit}"


def table(screen: Screen) -> str:
    """Everything that was tried, one line each."""
    heads = ("operation", "verdict", "accuracy", "excess", "95% interval", "labels changed", "safe")
    rows = [
        (
            seen.op,
            seen.verdict,
            f"{seen.accuracy:.1f}",
            points(seen.excess),
            f"{points(seen.interval[0])} to {points(seen.interval[1])}",
            share_words(seen),
            "" if seen.dropped else limit_words(seen),
        )
        for seen in screen
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows)]
    return "\n".join(line.rstrip() for line in lines)


def points(value: float) -> str:
    """One digit and a sign; no minus before a zero."""
    return f"{round(value, 1) + 0.0:+.1f}"


def share_words(seen: Seen) -> str:
    """The estimate of the share of labels that an operation changes, with its error."""
    if seen.share is None or seen.share_error is None:
        return "?"
    return f"{min(100, max(0, round(100 * seen.share)))}% +- {round(100 * seen.share_error)}"


def report(screen: Screen) -> str:
    """The answer, warnings and the table."""
    about = screen.about
    data = about["data"]
    head = (
        f"Screen of {data['name']}: {data['train_images']} images trained on, {data['val_images']} asked about, "
        f"{len(data['class_names'])} classes, {data['image_size']} px; {about['network']['name']} is right on "
        f"{screen.clean['accuracy']:.1f}% of them."
    )
    warnings = [f"warning: {plain(text)}" for text in screen.warnings]
    return "\n".join([plain(head), *answer(screen), *warnings, "", table(screen)])
