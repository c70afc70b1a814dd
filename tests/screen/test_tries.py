from __future__ import annotations

import pytest
import torch

from daas.augment.space import INDEX, known, named
from daas.errors import BadInput
from daas.screen.tries import draw, everything, sides, weights


@pytest.mark.parametrize("operation", known(), ids=lambda operation: operation.name)
def test_strata_cover_the_whole_range_from_the_identity_outwards(operation) -> None:
    found = sides(operation)
    if not operation.has_magnitude:
        assert [side.edges for side in found] == [(0.0, 0.0)]
        return
    ends = [edge for side in found for edge in side.edges]
    low = -operation.high if operation.signed else operation.low
    assert (min(ends), max(ends)) == (low, operation.high)
    for side in found:
        assert abs(side.edges[0]) == operation.identity
        away = [abs(edge - side.edges[0]) for edge in side.edges]
        assert away == sorted(away)
        assert away[0] == 0.0
    assert sum(weights(found)) == pytest.approx(1.0)


def test_strata_count_by_their_width() -> None:
    from dataclasses import replace

    lopsided = replace(named("Brightness"), low=0.7)  # 0.3 below the identity, 0.9 above
    assert sorted(weights(sides(lopsided, 1))) == pytest.approx([0.25, 0.75])


def test_draws_lie_in_their_stratum_and_repeat() -> None:
    found = draw(INDEX["Rotate"], (-15.0, -22.5), 200, (1, 2, 3))
    assert found.op.unique().tolist() == [INDEX["Rotate"]]
    assert found.value.min() >= -22.5
    assert found.value.max() <= -15.0
    assert found.value.std() > 1.0
    assert torch.equal(found.value, draw(INDEX["Rotate"], (-15.0, -22.5), 200, (1, 2, 3)).value)
    assert not torch.equal(found.value, draw(INDEX["Rotate"], (-15.0, -22.5), 200, (1, 2, 4)).value)


def test_everything_is_tried_as_often_as_nothing() -> None:
    policy = everything(known())
    share = policy.operation_share()
    assert [share[operation.name] for operation in known()] == pytest.approx([1 / (len(known()) + 1)] * len(known()))
    values = [op.value for sub in policy.sub_policies for op in sub.ops if op.op == "Rotate"]
    assert (min(values), max(values)) == (0.0, 30.0)


def test_few_operations_stay_rare() -> None:
    share = everything([named(name) for name in ("HFlip", "Rotate", "Brightness")]).operation_share()
    assert [share[name] for name in ("HFlip", "Rotate", "Brightness")] == pytest.approx([0.1] * 3)
    assert sum(share.values()) == pytest.approx(0.3)


def test_nothing_to_try_is_refused() -> None:
    with pytest.raises(BadInput, match="no operation to screen"):
        everything([])
