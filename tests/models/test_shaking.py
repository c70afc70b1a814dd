"""Shake-Shake and ShakeDrop: per image, other numbers backwards than forwards, and their expectation in evaluation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from daas.models.pyramid_net import PyramidNet, ShakeDrop
from daas.models.shake_shake import ShakeShake


def _per_image(x: Tensor) -> Tensor:
    """The factor of every image; fails where it differs between the pixels of one image."""
    flat = x.flatten(1)
    torch.testing.assert_close(flat, flat[:, :1].expand_as(flat))
    return flat[:, 0]


def test_shake_shake_mixes_each_image_and_its_gradient_anew() -> None:
    torch.manual_seed(0)
    a = torch.ones(2000, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    b = torch.zeros_like(a, requires_grad=True)
    output = ShakeShake().train()(a, b)
    output.sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    alpha, beta = _per_image(output.detach()), _per_image(a.grad)
    torch.testing.assert_close(a.grad + b.grad, torch.ones_like(a))
    for factor in (alpha, beta):
        assert 0 <= factor.min() < 0.01 < 0.99 < factor.max() <= 1
        assert factor.mean().item() == pytest.approx(0.5, abs=4 * (1 / 12 / 2000) ** 0.5)
    assert abs(torch.corrcoef(torch.stack([alpha, beta]))[0, 1]) < 0.1
    torch.testing.assert_close(ShakeShake().eval()(a, b), 0.5 * (a + b))


def test_shake_drop_keeps_or_shakes_each_image() -> None:
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    drop = ShakeDrop(0.7)
    output = drop.train()(x)
    output.sum().backward()
    assert x.grad is not None
    forward, backward = _per_image(output.detach()), _per_image(x.grad)
    kept = forward == 1
    assert kept.double().mean().item() == pytest.approx(0.7, abs=4 * (0.7 * 0.3 / 4000) ** 0.5)
    assert torch.equal(kept, backward == 1)
    shaken, gradient = forward[~kept], backward[~kept]
    assert -1 <= shaken.min() < -0.98 < 0.98 < shaken.max() <= 1
    assert 0 <= gradient.min() < 0.02 < 0.98 < gradient.max() <= 1
    assert abs(torch.corrcoef(torch.stack([shaken, gradient]))[0, 1]) < 0.12
    torch.testing.assert_close(drop.eval()(x), 0.7 * x)


def test_shake_drop_rises_with_the_depth_and_the_width_grows_by_equal_steps() -> None:
    net = PyramidNet(depth=20, widening=24, shake_drop=0.5)
    keep = [module.keep for module in net.modules() if isinstance(module, ShakeDrop)]
    assert keep == pytest.approx([1 - 0.5 * k / 6 for k in range(1, 7)])
    widths = [block.branch[1].out_channels for stage in net.stages for block in stage]
    assert widths == [20, 24, 28, 32, 36, 40]


def test_pyramids_take_images_whose_side_is_not_divisible() -> None:
    net = PyramidNet(depth=20, widening=24, num_classes=3)
    for side in (8, 9, 30, 33):
        assert net(torch.randn(2, 3, side, side)).shape == (2, 3)
