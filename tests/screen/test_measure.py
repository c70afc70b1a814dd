from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from daas.augment import Draw
from daas.augment.ops import apply, normalized
from daas.augment.space import INDEX, named
from daas.calibration import confidence, fit_temperature, with_a_mistake
from daas.data.images import MemoryImages
from daas.screen import measure as room
from daas.screen.measure import Answers, measure, strata_of
from daas.screen.tries import draw, sides
from tests.screen.conftest import stripes

OPERATIONS = tuple(named(name) for name in ("HFlip", "Rotate", "Posterize"))
STATISTICS = ((0.4, 0.4, 0.4), (0.2, 0.2, 0.2))


def reader() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 2))


@pytest.mark.parametrize(("count", "draws"), [(450, 1), (130, 4)])
def test_answers_are_those_of_all_images_and_operations_at_once(
    count: int, draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Piece by piece, to the bit, the temperature being that of all clean answers."""
    monkeypatch.setattr(room, "_CHUNK", 64)
    images, model = stripes(count, 1), reader().eval()
    found = measure(model, images, OPERATIONS, STATISTICS, seed=3, bar=False)

    def asked(draws: Draw | None) -> Tensor:
        parts = []
        for chunk in torch.arange(count).split(64):
            given = images.images[chunk]
            changed = (
                normalized(given, STATISTICS) if draws is None else apply(given, draws[chunk], normalize=STATISTICS)
            )
            parts.append(model(changed).detach())
        return torch.cat(parts)

    clean = asked(None)
    assert found.temperature == fit_temperature(*with_a_mistake(clean, images.labels))
    assert same(found.clean, confidence(clean, found.temperature))
    for number, operation in enumerate(OPERATIONS):
        strata = strata_of(sides(operation))
        rows = [
            asked(draw(INDEX[operation.name], edges, count, (3, number, stratum, repeat)))
            for stratum, edges in enumerate(strata)
            for repeat in range(draws if operation.has_magnitude else 1)
        ]
        logits = torch.stack(rows).view(len(strata), -1, count, 2)
        assert same(found.answers[number], confidence(logits, found.temperature))


def same(found: Answers, expected: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(found.confidence, expected[0]) and torch.equal(found.predicted, expected[1])


def test_a_network_is_left_in_its_mode() -> None:
    model = reader().train()
    measure(model, stripes(20, 1), OPERATIONS[:1], STATISTICS, seed=0, bar=False)
    assert model.training


class Odd(nn.Module):
    """Divides by the darkness of an image, in eval mode: 0 of a white one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = reader()

    def forward(self, images: Tensor) -> Tensor:
        darkness = images.amax((1, 2, 3), keepdim=True).sub(images[:, :1, :1, :1]).flatten(1)
        return self.inner(images) if self.training else self.inner(images) / darkness


def test_answers_that_are_no_numbers_are_named() -> None:
    images = stripes(30, 1)
    images.images[:, :, 0, 0] = 0
    white = MemoryImages("white", images.images.clone(), images.labels, images.class_names)
    white.images[:7] = 255
    with pytest.raises(FloatingPointError, match="answers to 7 of 30 images as they are are infinite or not a number"):
        measure(Odd(), white, OPERATIONS, STATISTICS, seed=0, bar=False)
    images.images[:, :, 0, -1] = 255  # its mirror image begins with the brightest pixel
    with pytest.raises(FloatingPointError, match=r"answers to 30 of 30 images under HFlip.* Try a smaller --lr"):
        measure(Odd(), images, OPERATIONS, STATISTICS, seed=0, bar=False)
