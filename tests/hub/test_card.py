"""The interval of an accuracy, and what makes a card complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from daas.hub.card import PLACEHOLDER, complete, for_repository, wilson


@pytest.mark.parametrize(
    ("share", "n", "low", "high"),
    [(0.0, 10, 0.0, 0.27753), (0.9, 10, 0.59585, 0.98212), (0.5, 100, 0.40383, 0.59617), (1.0, 10, 0.72247, 1.0)],
)
def test_wilson(share: float, n: int, low: float, high: float) -> None:
    assert wilson(share, n) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_wilson_solves_its_equation() -> None:
    """Both ends p of the interval satisfy (share - p)^2 = z^2 p (1 - p) / n."""
    for p in wilson(0.83, 123):
        assert (0.83 - p) ** 2 == pytest.approx(1.959964**2 * p * (1 - p) / 123, rel=1e-9)


def test_complete(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    assert complete(text) == []
    assert complete(text.replace("## Results", "## Figures")) == ["the section 'Results'"]
    assert complete(text.replace("license: apache-2.0\n", "", 1)) == ["the metadata 'license'"]
    assert complete(text.replace("images (n)", "images")) == ["the number of images behind its metrics"]


def test_the_placeholder_gives_way_to_the_repository(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    assert text.count(PLACEHOLDER) == 2
    named = for_repository(text, "ada/small")
    assert "USER/NAME" not in named
    assert named.count("ada/small") == 4
