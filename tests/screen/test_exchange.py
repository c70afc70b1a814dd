from __future__ import annotations

import pytest
import torch
from torch import Tensor

from daas.screen.exchange import LEAST, Move, exchanged, largest, moves, recognised
from daas.screen.measure import Answers


def answers(predicted: list[int]) -> Answers:
    said = torch.tensor(predicted)
    return Answers(torch.full(said.shape, 0.9, dtype=torch.float64), said)


def listed(table: list[list[float]], images: int = 20) -> list[Move]:
    """The moves of a table of shares, from each row to each column."""
    return [Move(a, b, share, images) for a, row in enumerate(table) for b, share in enumerate(row) if share >= LEAST]


def test_moves_count_what_was_recognised_before() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    clean = answers([0, 0, 0, 1, 1, 1])  # the fourth image is not recognised as it is
    under = Answers(torch.ones(1, 1, 6), torch.tensor([[[1, 1, 0, 0, 0, 1]]]))
    third = pytest.approx(1 / 3)
    assert moves(clean, under, labels, 2) == (
        Move(0, 0, third, 3), Move(0, 1, pytest.approx(2 / 3), 3), Move(1, 0, 0.5, 2), Move(1, 1, 0.5, 2),
    )  # fmt: skip
    assert recognised(clean, labels, 2).tolist() == [3, 2]


def test_moves_are_averaged_over_draws() -> None:
    labels = torch.tensor([0, 1])
    under = Answers(torch.ones(2, 2, 2), torch.tensor([[[0, 1], [1, 1]], [[0, 1], [0, 0]]]))
    found = moves(answers([0, 1]), under, labels, 2)
    assert [move.share for move in found] == [0.75, 0.25, 0.25, 0.75]


def dense(clean: Answers, under: Answers, labels: Tensor, classes: int) -> Tensor:
    """All shares as a matrix of all classes."""
    known = clean.predicted == labels
    said = under.predicted.flatten(0, 1)[:, known]
    found = torch.zeros(classes, classes, dtype=torch.float64)
    own = labels[known].expand_as(said)
    found.index_put_((own.flatten(), said.flatten()), torch.ones(said.numel(), dtype=torch.float64), accumulate=True)
    return found / found.sum(1, keepdim=True).clamp_min(1.0)


@pytest.mark.parametrize("classes", [2, 5, 40])
@pytest.mark.parametrize("seed", range(3))
def test_moves_are_those_of_the_matrix_of_all_classes(classes: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (300,), generator=random)
    clean = torch.where(torch.rand(300, generator=random) < 0.8, labels, (labels + 1) % classes)
    swap = torch.where(torch.rand(4, 2, 300, generator=random) < 0.7, classes - 1 - labels, labels)
    under = Answers(torch.ones(4, 2, 300), swap)
    table = dense(answers(clean.tolist()), under, labels, classes)
    counts = recognised(answers(clean.tolist()), labels, classes)
    found = moves(answers(clean.tolist()), under, labels, classes)
    large = table >= LEAST
    assert [(m.source, m.target) for m in found] == [tuple(pair) for pair in large.nonzero().tolist()]
    assert [m.share for m in found] == table[large].tolist()
    assert [m.images for m in found] == [int(counts[m.source]) for m in found]


@pytest.mark.parametrize(
    ("table", "pairs"),
    [
        ([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], ((0, 1), (2, 3))),
        ([[0.2, 0.8, 0, 0], [0.6, 0.4, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], ((0, 1),)),
        ([[0.2, 0.8, 0, 0], [0.4, 0.6, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], ()),  # one way only
        ([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0.4, 0.3], [0, 0, 0, 1]], ()),  # a third class does not stay
        ([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], ()),  # a circle is no exchange
        ([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], ()),
        ([[0.5, 0.5, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], ()),  # of two halves the first one counts
        ([[0, 0.5, 0.5, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], ((0, 1),)),
    ],
)
def test_only_whole_exchanges_are_exchanges(table: list[list[float]], pairs: tuple[tuple[int, int], ...]) -> None:
    assert exchanged(listed(table), torch.full((4,), 20)) == pairs


def test_a_class_of_few_images_says_nothing() -> None:
    found = [Move(0, 1, 1.0, 20), Move(1, 0, 1.0, 4)]
    assert exchanged(found, torch.tensor([20, 4])) == ()
    assert exchanged(found[:1], torch.tensor([20, 0])) == ()
    assert largest(found) == (found[0],)


def test_the_largest_moves_come_first() -> None:
    table = [[0.5, 0.3, 0.2], [0.05, 0.95, 0.0], [0.9, 0.1, 0.0]]
    assert [(move.source, move.target) for move in largest(listed(table))] == [(2, 0), (0, 1), (0, 2), (2, 1)]
