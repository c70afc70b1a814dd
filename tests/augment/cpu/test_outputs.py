"""Memory of results is used again when nobody holds it, and never before."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from daas.augment.cpu.outputs import Outputs

SHAPE = (8, 3, 224, 224)


def test_what_nobody_holds_is_used_again() -> None:
    outputs = Outputs()
    first = outputs.get(SHAPE, torch.float32)
    assert (first.shape, first.dtype, first.is_contiguous()) == (SHAPE, torch.float32, True)
    at = first.data_ptr()
    assert at % 64 == 0
    second = outputs.get(SHAPE, torch.float32)
    assert second.data_ptr() != at
    del first
    assert outputs.get(SHAPE, torch.float32).data_ptr() == at
    bytes_ = outputs.get((8, 3, 448, 448), torch.uint8)  # of the same size
    assert bytes_.data_ptr() == at


@pytest.mark.parametrize(
    "hold",
    [
        lambda x: x[1:2, :, ::2],
        lambda x: x.detach(),
        lambda x: x.numpy(),
        lambda x: x.untyped_storage(),
        lambda x: torch.nn.Parameter(x),
        lambda x: (x * torch.ones((), requires_grad=True)).sum().grad_fn,  # keeps it for backward
        lambda x: memoryview(x.numpy()),
    ],
)
def test_whatever_refers_to_it_keeps_it(hold: object) -> None:
    outputs = Outputs()
    result = outputs.get(SHAPE, torch.float32)
    at = result.data_ptr()
    held = hold(result)  # type: ignore[operator]  # a function
    del result
    others = [outputs.get(SHAPE, torch.float32) for _ in range(5)]
    assert at not in {other.data_ptr() for other in others}
    del held, others


def test_at_most_two_are_kept_and_nothing_small_or_huge() -> None:
    outputs = Outputs()
    held = [outputs.get(SHAPE, torch.float32) for _ in range(5)]
    assert len(outputs._kept) == 2
    del held
    outputs.get((4, 3, 32, 32), torch.float32)
    assert all(kept.size == 8 * 3 * 224 * 224 * 4 for kept in outputs._kept)
    assert outputs.get((193, 1024, 1024), torch.uint8).shape == (193, 1024, 1024)
    assert all(kept.size < 192 << 20 for kept in outputs._kept)


def test_importing_the_driver_allocates_next_to_nothing() -> None:
    code = (
        "import daas.augment.ops, daas.augment.cpu.image, torch\n"
        "from torch.utils._python_dispatch import TorchDispatchMode\n"
        "sizes = []\n"
        "class Watch(TorchDispatchMode):\n"
        "    def __torch_dispatch__(self, func, types, args=(), kwargs=None):\n"
        "        result = func(*args, **(kwargs or {}))\n"
        "        sizes.append(result.nbytes if isinstance(result, torch.Tensor) else 0)\n"
        "        return result\n"
        "with Watch():\n"
        "    import daas.augment.cpu.driver\n"
        "    torch.empty(1)\n"
        "assert sizes, 'the watch sees nothing'\n"
        "print(max(sizes))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1 << 16
