from __future__ import annotations

import pytest
import torch

from daas.screen.exchange import exchanged, largest, moves, recognised
from daas.screen.measure import Answers


def answers(predicted: list[int]) -> Answers:
    said = torch.tensor(predicted)
    return Answers(torch.full(said.shape, 0.9, dtype=torch.float64), said)


def test_moves_count_what_was_recognised_before() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    clean = answers([0, 0, 0, 1, 1, 1])  # the fourth image is not recognised as it is
    under = Answers(torch.ones(1, 1, 6), torch.tensor([[[1, 1, 0, 0, 0, 1]]]))
    table = moves(clean, under, labels, 2)
    assert table.tolist() == [pytest.approx([1 / 3, 2 / 3]), pytest.approx([0.5, 0.5])]
    assert recognised(clean, labels, 2).tolist() == [3, 2]


def test_moves_are_averaged_over_draws() -> None:
    labels = torch.tensor([0, 1])
    under = Answers(torch.ones(2, 2, 2), torch.tensor([[[0, 1], [1, 1]], [[0, 1], [0, 0]]]))
    assert moves(answers([0, 1]), under, labels, 2).tolist() == [[0.75, 0.25], [0.25, 0.75]]


@pytest.mark.parametrize(
    ("table", "pairs"),
    [
        ([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], ((0, 1), (2, 3))),
        ([[0.2, 0.8, 0, 0], [0.6, 0.4, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], ((0, 1),)),
        ([[0.2, 0.8, 0, 0], [0.4, 0.6, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], ()),  # one way only
        ([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0.4, 0.3], [0, 0, 0, 1]], ()),  # a third class does not stay
        ([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], ()),  # a circle is no exchange
        ([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], ()),
    ],
)
def test_only_whole_exchanges_are_exchanges(table: list[list[float]], pairs: tuple[tuple[int, int], ...]) -> None:
    assert exchanged(torch.tensor(table), torch.full((4,), 20)) == pairs


def test_a_class_of_few_images_says_nothing() -> None:
    table = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert exchanged(table, torch.tensor([20, 4])) == ()
    assert largest(table, torch.tensor([20, 4]))[0].source == 0
    assert len(largest(table, torch.tensor([20, 4]))) == 1


def test_the_largest_moves_come_first() -> None:
    table = torch.tensor([[0.5, 0.3, 0.2], [0.05, 0.95, 0.0], [0.9, 0.1, 0.0]])
    found = [(move.source, move.target) for move in largest(table, torch.tensor([9, 9, 9]))]
    assert found == [(2, 0), (0, 1), (0, 2), (2, 1)]
