"""The fast depthwise convolution is the plain one, in value and in every kind of derivative."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from daas.models.depthwise import Depthwise, dense_gradient, depthwise

SIZES = [(8, 6), (7, 9), (2, 2), (1, 4), (3, 3), (16, 16)]


def plain(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    return conv2d(x, weight, None, stride, dilation * (weight.shape[-1] // 2), dilation, len(weight))


def inputs(size: tuple[int, int], kernel: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    return x.requires_grad_(), torch.randn(3, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", SIZES)
def test_value_gradients_and_forward_mode(size: tuple[int, int], kernel: int, stride: int, dilation: int) -> None:
    x, weight = inputs(size, kernel)
    expected, found = plain(x, weight, stride, dilation), depthwise(x, weight, stride, dilation)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, (x, weight), direction)
    for a, b in zip(torch.autograd.grad(found, (x, weight), direction), wanted, strict=True):
        torch.testing.assert_close(a, b)
    tangents = torch.randn_like(x), torch.randn_like(weight)
    for along in (tangents, (tangents[0], torch.zeros_like(weight)), (torch.zeros_like(x), tangents[1])):
        found, expected = (
            torch.func.jvp(lambda a, b, f=f: f(a, b, stride, dilation), (x, weight), along)[1]
            for f in (depthwise, plain)
        )
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dilation", [1, 2])
def test_forward_mode_in_one_argument(dilation: int) -> None:
    x, weight = inputs((8, 8), 5)
    for f, g, primal in (
        (lambda a: depthwise(a, weight, 1, dilation), lambda a: plain(a, weight, 1, dilation), x),
        (lambda a: depthwise(x, a, 1, dilation), lambda a: plain(x, a, 1, dilation), weight),
    ):
        along = torch.randn_like(primal)
        torch.testing.assert_close(torch.func.jvp(f, (primal,), (along,))[1], torch.func.jvp(g, (primal,), (along,))[1])


def test_second_derivatives() -> None:
    x, weight = inputs((4, 4), 5)
    assert torch.autograd.gradgradcheck(lambda a, b: depthwise(a, b, 1, 2), (x, weight))


def test_only_the_wanted_gradient_is_computed() -> None:
    x, weight = inputs((8, 8), 5)
    (grad,) = torch.autograd.grad(depthwise(x, weight.detach()).sum(), (x,))
    torch.testing.assert_close(grad, torch.autograd.grad(plain(x, weight, 1, 1).sum(), (x,))[0])


@pytest.mark.filterwarnings("ignore:.*torch.jit:")
def test_other_ways_to_run_it() -> None:
    """Under a compiler or an exporter it is PyTorch's own convolution."""
    module = Depthwise(3, 5, dilation=2)
    x = torch.randn(1, 3, 8, 8)
    expected = module(x)
    torch.testing.assert_close(torch.jit.trace(module, x)(x), expected)
    torch.testing.assert_close(torch.jit.script(module)(x), expected)
    torch.testing.assert_close(torch.compile(module, backend="eager", fullgraph=True)(x), expected)
    torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), expected)


@pytest.mark.parametrize("dilation", [1, 2])
def test_gradients_of_single_images_and_of_single_outputs(dilation: int) -> None:
    x, weight = (t.detach() for t in inputs((5, 6), 5))
    for transform in (
        lambda f: torch.func.vmap(torch.func.grad(lambda w, a: f(a[None], w, 1, dilation).square().sum()), (None, 0)),
        lambda f: torch.func.jacrev(lambda w, a: f(a, w, 1, dilation)),
        lambda f: torch.func.hessian(lambda w, a: f(a, w, 1, dilation).square().sum()),
    ):
        torch.testing.assert_close(transform(depthwise)(weight, x), transform(plain)(weight, x))


def test_gradients_of_single_images_of_a_network() -> None:
    torch.manual_seed(0)
    net = timm.create_model("daas_cell_cifar", channels=2, layers=3).double().eval()
    weights, images = {n: p.detach() for n, p in net.named_parameters()}, torch.randn(3, 3, 8, 8).double()

    def loss(weights: dict[str, Tensor], image: Tensor) -> Tensor:
        return torch.func.functional_call(net, weights, (image[None],)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, images)
    for index, image in enumerate(images):
        expected = torch.autograd.grad(net(image[None]).square().sum(), list(net.parameters()), materialize_grads=True)
        for (name, _), gradient in zip(net.named_parameters(), expected, strict=True):
            torch.testing.assert_close(found[name][index], gradient)


def test_gradients_cut_out_of_a_concatenation_are_dense() -> None:
    seen: list[Tensor] = []
    x = torch.randn(2, 4, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    middle = x * 1.0
    middle.register_hook(lambda grad: seen.append(grad))
    both = torch.cat([dense_gradient(middle * 2.0), middle * 3.0], 1)
    both.backward(torch.arange(both.numel()).view(both.shape).to(both, memory_format=torch.channels_last))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    expected = torch.arange(both.numel()).view(both.shape).float()
    torch.testing.assert_close(x.grad, 2 * expected[:, :4] + 3 * expected[:, 4:])


def test_autocast() -> None:
    x, weight = (t.detach().float().requires_grad_() for t in inputs((8, 8), 5))
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = depthwise(x, weight), plain(x, weight, 1, 1)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(
        torch.autograd.grad(found.sum(), (x, weight)), torch.autograd.grad(expected.sum(), (x, weight))
    )


def fill_free_memory() -> None:
    """What memory holds afterwards that nobody sets is no number."""
    for size in range(4, 18):
        torch.full((1 << size,), torch.nan)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation"),
    [
        ((6, 32), 3, 1, 2),
        ((9, 32), 5, 1, 2),
        ((7, 33), 3, 1, 2),
        ((16, 64), 5, 2, 2),
        ((6, 1), 5, 2, 1),
        ((5, 1), 3, 2, 1),
    ],
)
@pytest.mark.parametrize("autocast", [True, False])
def test_gradients_in_bfloat16(size: tuple[int, int], kernel: int, stride: int, dilation: int, autocast: bool) -> None:
    """oneDNN's own are memory that nobody has set, where the processor has instructions for bfloat16."""
    torch.manual_seed(0)
    x = torch.randn(2, 4, *size).bfloat16().float().contiguous(memory_format=torch.channels_last)
    weight = torch.randn(4, 1, kernel, kernel).bfloat16().float()
    pair = x.requires_grad_(), weight.requires_grad_()
    expected = plain(*pair, stride, dilation)
    direction = torch.randn_like(expected.detach()).bfloat16()
    wanted = torch.autograd.grad(expected, pair, direction.float())
    given = pair if autocast else tuple(t.detach().bfloat16().requires_grad_() for t in pair)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = depthwise(*given, stride, dilation)
    assert found.dtype == torch.bfloat16
    for _ in range(3):
        fill_free_memory()
        gradients = torch.autograd.grad(found, given, direction, retain_graph=True)
        for one, other in zip((found, *gradients), (expected, *wanted), strict=True):
            largest = other.detach().abs().max().item()
            torch.testing.assert_close(one.float(), other.detach(), rtol=0.02, atol=0.02 * largest)


def test_compiled_in_bfloat16() -> None:
    x, module = torch.randn(2, 3, 7, 33), Depthwise(3, 3, dilation=2)
    with torch.autocast("cpu", torch.bfloat16):
        expected = module(x)
        found = torch.compile(module, backend="eager", fullgraph=True)(x)
    torch.testing.assert_close(found, expected)


def test_in_bfloat16_it_is_exported_for_any_size_and_traced() -> None:
    """Of a network in bfloat16 that may take gradients: ``eval`` does not forbid them."""
    module = Depthwise(4, 3, dilation=2).bfloat16().eval()
    x, other = torch.randn(2, 4, 8, 8).bfloat16(), torch.randn(2, 4, 7, 9).bfloat16()
    sizes = {2: torch.export.Dim("height", min=4, max=64), 3: torch.export.Dim("width", min=4, max=64)}
    exported = torch.export.export(module, (x,), dynamic_shapes=(sizes,)).module()
    for found in (exported(other), torch.jit.trace(module, x)(other)):
        torch.testing.assert_close(found, module(other), rtol=0.02, atol=0.02)
