"""What a screen is used for: the policy that it leaves, and the words to train with it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from daas.augment import Policy
from daas.augment.space import BASE, named
from daas.errors import BadInput
from daas.models.start import WEIGHTS, Start
from daas.screen.verdicts import CHANGES, HARMLESS, UNCLEAR
from daas.train.options import TrainOptions

if TYPE_CHECKING:
    from daas.screen.result import Screen, Seen

_BASE = tuple(operation.name for operation in BASE)
FLIP, CROP = "HFlip", "Crop"
YOUR_NETWORK, YOUR_PHOTOS, YOUR_TEST_PHOTOS = "YOUR_NETWORK", "YOUR_PHOTOS", "YOUR_TEST_PHOTOS"
_MEANT = {
    YOUR_NETWORK: "any timm model",
    YOUR_PHOTOS: "a folder of class folders with the images that were screened",
    YOUR_TEST_PHOTOS: "a folder of class folders with images that were not screened",
}


def limits(screen: Screen) -> dict[str, float]:
    """The safe magnitude of every operation that has one, by name."""
    return {
        seen.op: seen.safe_up_to
        for seen in screen.operations
        if seen.safe_up_to is not None and seen.safe_up_to != named(seen.op).identity
    }


def kept(screen: Screen) -> list[str]:
    """The operations that the screen's policy is made of.

    Of the search space and of registered operations whatever does not change the label; of the base transforms, which
    few training scripts use, only what is harmless. The horizontal flip and crops are none of the policy's, since
    ``Screen.flip`` and ``Screen.scale`` say; nor is an operation of which no magnitude is safe.
    """
    names = []
    for seen in screen.operations:
        base_allowed = seen.op not in _BASE or (seen.op not in (FLIP, CROP) and seen.verdict == HARMLESS)
        possible = seen.safe_up_to is None or seen.op in screen.limits()
        if base_allowed and not seen.dropped and possible:
            names.append(seen.op)
    order = list(screen.about["operations"])
    return sorted(names, key=order.index)


def scale_of(screen: Screen) -> tuple[float, float] | None:
    """The range of a random resized crop's area; only the whole image where crops change the label or look like it."""
    if CROP not in screen:
        return None
    seen = screen[CROP]
    if seen.dropped or seen.safe_up_to is None:
        return 1.0, 1.0
    return math.ceil(100 * (1.0 - seen.safe_up_to) ** 2 - 1e-6) / 100, 1.0


def worth_showing(seen: Seen) -> bool:
    """Whether people should see what the network takes images for: under what changes the label, or may.

    So does a base transform that costs accuracy: scripts use it unasked, and it may change some classes alone. A
    network that reads no labels is sure of nothing.
    """
    if seen.share is None:
        return False
    return seen.verdict in (CHANGES, UNCLEAR) or (seen.op in _BASE and seen.verdict != HARMLESS)


def policy_of(screen: Screen) -> Policy:
    """One of the kept operations per image, its magnitude uniform within the safe range.

    Raises:
        BadInput: Nothing is left.
    """
    names = kept(screen)
    if not names:
        raise BadInput("No operation is left: every one changes the label or may. Train without a policy.")
    return Policy.of_operations(names, limits={name: end for name, end in limits(screen).items() if name in names})


def train_words(screen: Screen, policy: str | None) -> str:
    """The command that trains with what the screen allows.

    Args:
        screen: What was found.
        policy: Where policy.json is; None where there is none.
    """
    about, network = screen.about, screen.about["network"]
    words = ["daas", "train", *_data_words(about["source"])]
    if network["model"] and not network["default"]:
        words += ["--model", network["model"]]
        arguments = [f"{name}={value}" for name, value in network["model_kwargs"].items()]
        words += ["--model-kwargs", *arguments] if arguments else []
        words += Start(**{name: network[name] for name in WEIGHTS if name in network}).words()
        words += ["--train-crop-mode", "pad", "--img-size", str(about["data"]["image_size"])]
    else:
        words += ["--model", YOUR_NETWORK]
        words += crop_words(screen)
    words += ["--aa", f"daas:{policy}"] if policy else []
    return shlex.join([*words, *_batch_words(screen), "--hflip", f"{screen.flip:g}"])


def _batch_words(screen: Screen) -> list[str]:
    """A smaller batch, eight to an epoch, where the images do not fill one of the default size."""
    data, source = screen.about["data"], screen.about["source"]
    images = data["train_images"] + (0 if source.get("val_dir") else data["val_images"])
    return [] if images >= TrainOptions.batch_size else ["--batch-size", str(max(2, images // 8))]


def cuts_by_default(screen: Screen) -> bool:
    """Whether the command of ``train_words`` would cut parts out of the images if it did not say otherwise."""
    network = screen.about["network"]
    named = bool(network["model"]) and not network["default"]
    return not named and screen.about["source"].get("dataset") != "digits"


def crop_words(screen: Screen) -> list[str]:
    """How images are cropped, where training would cut out parts of them by default."""
    scale = screen.scale
    if scale is None or not cuts_by_default(screen):
        return []
    return ["--scale", f"{scale[0]:g}", "1"] if scale[0] < 1.0 else ["--train-crop-mode", "pad"]


def swap_words(screen: Screen) -> str:
    """The options that use the exchange of classes instead of going without a flip; empty where there is none."""
    if not screen.swaps:
        return ""
    pairs = [f"{a}:{b}" for a, b in screen.swaps]
    return shlex.join(["--train-crop-mode", "pad", "--hflip", "0.5", "--hflip-swap", *pairs])


def swapped_words(screen: Screen) -> str:
    """The options of ``train_words`` that those of ``swap_words`` stand for."""
    return shlex.join([*crop_words(screen), "--hflip", "0"])


def meant(words: str) -> str:
    """What the words in capitals of a command stand for; empty where there are none."""
    found = [f"{word}: {text}" for word, text in _MEANT.items() if word in words.split()]
    return f"{'; '.join(found)}." if found else ""


def _data_words(source: dict[str, str]) -> Sequence[str]:
    """The options that name the images, where they have a name."""
    words: list[str] = []
    for option in ("dataset", "data_dir", "val_dir"):
        if source.get(option):
            words += ["--" + option.replace("_", "-"), source[option]]
    if source.get("data_dir") and not source.get("val_dir"):
        words += ["--val-dir", YOUR_TEST_PHOTOS]
    return words or ["--data-dir", YOUR_PHOTOS, "--val-dir", YOUR_TEST_PHOTOS]
