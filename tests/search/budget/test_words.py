"""Amounts as people write them."""

from __future__ import annotations

import pytest

from daas.errors import BadInput
from daas.search.budget.words import amount, cost_words, with_amounts


@pytest.mark.parametrize(
    ("text", "value"),
    [("400k", 400_000), ("3.5M", 3_500_000), ("1g", 10**9), ("12", 12), ("0.5k", 500), ("2m", 2 * 10**6)],
)
def test_amounts(text: str, value: int) -> None:
    assert amount(text, "--max-params") == value


@pytest.mark.parametrize("text", ["", "k", "-3", "1e5", "3,5M", "nan", "0", "0.2", "4 k", "9" * 30])
def test_what_is_no_amount_is_named(text: str) -> None:
    with pytest.raises(BadInput, match="--max-params"):
        amount(text, "--max-params")


def test_one_amount_has_one_form() -> None:
    assert with_amounts({"max_params": "1.5k"}) == with_amounts({"max_params": 1500}) == {"max_params": "1500"}
    assert with_amounts({"max_params": "", "max_macs": None}) == {"max_params": "", "max_macs": None}


def test_costs_in_words() -> None:
    assert cost_words("params", 999) == "999 parameters"
    assert cost_words("params", 1_234_000) == "1.23M parameters"
    assert cost_words("latency", 12_340_000) == "12.3 ms"
