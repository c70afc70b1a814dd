from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from daas.screen.judging import screened
from daas.screen.measure import Answers, Measurement
from daas.screen.result import Screen
from tests.screen.conftest import CLASSES, COUNT, about


def test_verdicts_and_their_order(planted: Screen) -> None:
    verdicts = {seen.op: seen.verdict for seen in planted}
    assert verdicts == {
        "HFlip": "changes the label", "Rotate": "changes the label", "Brightness": "harmless", "Posterize": "harmless",
        "AutoContrast": "harmless",
    }  # fmt: skip
    assert [seen.op for seen in planted][:2] == ["HFlip", "Rotate"]


def test_figures_are_those_of_the_answers(planted: Screen) -> None:
    kept = COUNT // 3 + 4  # the straight ones, and the two of three among the first six that are not
    flip = planted["HFlip"]
    assert planted.clean == {"accuracy": pytest.approx(90.0), "confidence": pytest.approx(90.0)}
    assert flip.accuracy == pytest.approx(100 * kept / COUNT)
    assert flip.confidence == pytest.approx(90.0)
    assert flip.excess == pytest.approx(90.0 - 100 * kept / COUNT)
    assert flip.loss == pytest.approx(flip.excess)
    assert flip.interval[0] < flip.excess < flip.interval[1]
    assert planted["Posterize"].excess == 0.0


def test_the_exchange_is_named_and_flips_are_off(planted: Screen) -> None:
    assert planted.swaps == (("left", "right"),)
    assert planted.flip == 0.0
    assert {(move.source, move.target) for move in planted["HFlip"].moves} == {("left", "right"), ("right", "left")}


def test_the_safe_range_is_where_the_labels_stay(planted: Screen) -> None:
    assert planted["Rotate"].safe_up_to == 15.0
    assert planted["Brightness"].safe_up_to == 1.9
    assert planted["Posterize"].safe_up_to == 4.0
    assert planted["AutoContrast"].safe_up_to is planted["HFlip"].safe_up_to is None
    assert [piece.safe for piece in planted["Rotate"].by_magnitude] == [True, True, False, False] * 2


def test_one_bad_sign_limits_both(measured: Measurement) -> None:
    number = [operation.name for operation in measured.operations].index("Rotate")
    said = measured.answers[number].predicted.clone()
    said[4:] = said[0]  # the other sign keeps everywhere
    answers = list(measured.answers)
    answers[number] = Answers(measured.answers[number].confidence, said)
    found = screened(replace(measured, answers=tuple(answers)), CLASSES, about(), 0)
    assert found["Rotate"].safe_up_to == 15.0


def test_a_network_that_learned_nothing_says_nothing(measured: Measurement) -> None:
    guess = torch.zeros_like(measured.clean.predicted)
    found = screened(
        replace(measured, clean=Answers(measured.clean.confidence, guess)), CLASSES, about(), 0
    )  # fmt: skip
    assert {seen.verdict for seen in found} == {"unclear"}
    assert found.flip == 0.0
    assert "no sign that it has learned the classes" in found.warnings[0]


def test_few_images_are_unclear_with_a_number_that_would_do(measured: Measurement) -> None:
    few = torch.arange(24)
    small = replace(
        measured,
        labels=measured.labels[few],
        clean=Answers(measured.clean.confidence[few], measured.clean.predicted[few]),
        answers=tuple(Answers(a.confidence[..., few], _rarely_wrong(a.predicted[..., few])) for a in measured.answers),
    )
    found = screened(small, CLASSES, about(), 0)
    unclear = [seen.op for seen in found if seen.verdict == "unclear"]
    assert unclear
    named = ", ".join(unclear) if len(unclear) <= 5 else f"{len(unclear)} of {len(found.operations)} operations"
    said = next(text for text in found.warnings if text.startswith("24 validation images are too few"))
    assert said.startswith(f"24 validation images are too few to say of {named}.")
    many = re.search(r" About (\d+) would do", said)
    assert many
    assert "--max-images" not in said
    for less in (0, 1):
        capped = screened(small, CLASSES, about(), 0, int(many[1]) - less).warnings
        assert any(" with daas screen --max-images 0, which" in text for text in capped) == bool(less)


def _rarely_wrong(said: torch.Tensor) -> torch.Tensor:
    said = said.clone()
    said[..., 1:5] = (said[..., 1:5] + 1) % 3
    return said


def test_the_same_answers_give_the_same_screen(measured: Measurement, planted: Screen) -> None:
    assert screened(measured, CLASSES, about(), 0) == planted
    assert screened(measured, CLASSES, about(), 1)["Rotate"].interval != planted["Rotate"].interval
