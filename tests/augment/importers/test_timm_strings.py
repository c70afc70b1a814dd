"""timm's strings give the images that timm gives, as often as timm does (with its interpolation set to nearest)."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
import timm.data.auto_augment as timm_augment
from PIL import Image

from daas.augment.importers import from_timm
from daas.augment.importers.timm_strings import NOISE_LEVELS
from daas.errors import BadInput
from tests.augment.importers.reference import assert_same, ours, picture, theirs

NEAREST = {"img_mean": (9, 90, 200), "interpolation": Image.Resampling.NEAREST}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Applies one of timm's operations with a sign; None does nothing."""

    def operation(op: Any, image: Image.Image, sign: int) -> Image.Image:
        if op is None:
            return image
        monkeypatch.setattr(timm_augment, "_randomly_negate", lambda value: sign * value)
        arguments = op.level_fn(op.magnitude, op.hparams) if op.level_fn is not None else ()
        if op.aug_fn is timm_augment.posterize and arguments[0] <= 0:  # newer versions of Pillow refuse it
            return Image.new("RGB", image.size)
        return op.aug_fn(image, *arguments, **op.kwargs)

    return operation


def choice(op: Any, left_out: tuple[str, ...]) -> tuple[float, Any]:
    return (1.0, None) if op.name in left_out else (op.prob, op)


@pytest.mark.parametrize(
    ("name", "left_out"),
    [("original", ()), ("originalr", ()), ("v0", ("SolarizeAdd",)), ("v0r", ("SolarizeAdd",)),
     ("3a", ("GaussianBlurRand",))],
)  # fmt: skip
def test_autoaugment_strings_give_timms_images_as_often(name: str, left_out: tuple[str, ...], run: Any) -> None:
    transform = timm_augment.auto_augment_transform(name, dict(NEAREST))
    subs = [(1.0, [choice(op, left_out) for op in sub]) for sub in transform.policy]
    image = picture(32)
    assert_same(ours(from_timm(name, NEAREST, left_out), image), theirs(subs, image, run))


@pytest.mark.parametrize("config", ["rand-m9-n1", "rand-m4-n2-p0.3", "rand-m7-n2-inc1", "rand-m14-n1-inc1-mmax15"])
def test_randaugment_strings_give_timms_images_as_often(config: str, run: Any) -> None:
    transform = timm_augment.rand_augment_transform(config, dict(NEAREST))
    ops = [choice(op, ("SolarizeAdd",)) for op in transform.ops]
    subs = [(1.0, list(chosen)) for chosen in itertools.product(ops, repeat=transform.num_layers)]
    image = picture(24)
    assert_same(ours(from_timm(config, NEAREST, ["SolarizeAdd"]), image), theirs(subs, image, run))


def test_weighted_strings_draw_without_replacement() -> None:
    """Against the draws of numpy, which timm uses."""
    config = "rand-m9-n2-t3aw-p1.0"
    transform = timm_augment.rand_augment_transform(config)
    policy = from_timm(config, leave_out=["GaussianBlur"])
    total = sum(sub.weight for sub in policy.sub_policies)
    expected = {"Invert": 0.0, "Rotate": 0.0, "Equalize": 0.0}
    for sub in policy.sub_policies:
        for op in sub.ops:
            if op.op in expected:
                expected[op.op] += sub.weight / total * op.prob
    numpy_random = np.random.RandomState(0)
    names = [op.name for op in transform.ops]
    draws = 20_000
    counts = dict.fromkeys(expected, 0)
    for _ in range(draws):
        for index in numpy_random.choice(len(names), 2, replace=False, p=transform.choice_weights):
            if names[index] in counts:
                counts[names[index]] += 1
    for name, share in expected.items():
        assert abs(counts[name] / draws - share) < 4.5 * (share / draws) ** 0.5
    assert all(len({op.op for op in sub.ops}) == len(sub.ops) or "Color" in {op.op for op in sub.ops}
               for sub in policy.sub_policies)  # fmt: skip


@pytest.mark.parametrize("config", ["rand-m6-n1-mstd2", "rand-m6-n1-mstd101"])
def test_noise_becomes_equally_likely_magnitudes(config: str) -> None:
    policy = from_timm(config, leave_out=["SolarizeAdd"])
    angles = sorted(op.value or 0.0 for sub in policy.sub_policies for op in sub.ops if op.op == "Rotate")
    assert len(angles) == NOISE_LEVELS
    random.seed(0)
    op = next(op for op in timm_augment.rand_augment_transform(config).ops if op.name == "Rotate")
    levels = []
    op.prob, op.aug_fn, op.level_fn = 1.0, lambda image, level, **_: levels.append(level), lambda level, _: (level,)
    for _ in range(4000):
        op(None)
    assert np.mean(angles) == pytest.approx(3 * np.mean(levels), rel=0.03)
    assert max(angles) < 3 * np.quantile(levels, 0.95)
    assert min(angles) > 3 * np.quantile(levels, 0.05)


def test_the_fill_is_timms() -> None:
    assert from_timm("original").fill == (128, 128, 128)
    assert from_timm("original", NEAREST).fill == (9, 90, 200)


@pytest.mark.parametrize(
    ("config", "left_out", "message"),
    [
        ("v0", (), "'SolarizeAdd' is not among the 15 operations .*--leave-out SolarizeAdd"),
        ("3a", (), "GaussianBlurRand"),
        ("rand-m9-t3a", (), "GaussianBlur"),
        ("original", ("SolarizeAdd",), "leave out SolarizeAdd: it does not occur; there are AutoContrast"),
        ("augmix-m5", (), "AugMix"),
        ("v7", (), "begin with original, originalr, v0, v0r, 3a or rand"),
        ("rand-q5", (), "Unknown RandAugment config section"),
        ("rand-mx", (), None),
        ("rand-m9-n0", ("SolarizeAdd",), "n is 0; there are 1 to 32"),
    ],
)
def test_what_cannot_be_is_refused(config: str, left_out: tuple[str, ...], message: str | None) -> None:
    with pytest.raises(BadInput, match=message):
        from_timm(config, leave_out=left_out)
