"""The Triton kernels through Triton's interpreter, each time in a process of its own: bit for bit Pillow's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daas.augment.ops import choose_backend
from daas.errors import BadInput

ROOT = Path(__file__).parents[3]


def run(*words: str, **environment: str) -> str:
    """What a Python process prints; fails with its errors."""
    given = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("size", "policies"), [(7, 40), (16, 60), (33, 20)])
def test_operations_pairs_and_shipped_policies_are_pillows(size: int, policies: int) -> None:
    words = ("--sizes", str(size), "--policies", str(policies), "--each", "1")
    printed = run("-m", "benchmarks.gpu.parity", *words, TRITON_INTERPRET="1")
    assert f"{20 * 2 + policies + 8} images on cpu, 0 differ" in printed


FORMS = """
import torch
from daas.augment.gpu.driver import run
from daas.augment.ops import apply, fill_colors, normalized, shift_and_factor
from daas.augment.draw import Draw
from tests.augment.inputs import NAMES, draw_of, pictures
from daas import DAASPolicy

op = torch.stack([torch.arange(19), torch.arange(19).flip(0)], 1)
draw = draw_of(op, seed=1)
images, colors = pictures(19, 13, 10), fill_colors((9, 200, 30), 3)
expected = apply(images, draw, (9, 200, 30), backend="torch")
assert torch.equal(apply(images, draw, (9, 200, 30), backend="triton"), expected)
assert torch.equal(run(images, draw, colors, tiled=True), expected)
soft = apply(images, draw, backend="torch", interpolation="bilinear")
assert torch.equal(apply(images, draw, backend="triton", interpolation="bilinear"), soft)

images, draw, expected = images[::4], draw[::4], expected[::4]
for other in (images.contiguous(memory_format=torch.channels_last), images.repeat_interleave(2, 3)[..., ::2],
              images.transpose(2, 3).contiguous().transpose(2, 3)):
    assert torch.equal(run(other, draw, colors), expected)
scale = shift_and_factor(((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)), 3)
floats = normalized(expected, ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)))
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    for form in (torch.contiguous_format, torch.channels_last):
        found = run(images, draw, colors, scale, dtype=dtype, memory_format=form, tiled=form is torch.channels_last)
        assert found.dtype == dtype and found.is_contiguous(memory_format=form)
        if dtype == torch.bfloat16:  # the interpreter cuts off where the hardware rounds
            assert torch.allclose(found.float(), floats, rtol=2**-7, atol=0)
        else:
            assert torch.equal(found.contiguous(), floats.to(dtype)), dtype
for part in (slice(0, 0), slice(2, 3)):
    assert torch.equal(run(images[part], draw[part], colors), expected[part])
large = pictures(2, 130, 127)  # more than one program has, and more than one tile
two = draw_of(torch.tensor([[3, 7], [10, 5]]), seed=2)
assert torch.equal(apply(large, two, backend="triton"), apply(large, two, backend="torch"))

policy = DAASPolicy.load("randaugment", backend="triton", normalize=((0.5,) * 3, (0.2,) * 3))
assert policy.backend_for(images) == policy.backend == "triton"
chosen = policy.sample(len(images), torch.Generator().manual_seed(0))
assert torch.equal(policy.apply(images, chosen), DAASPolicy.load("randaugment", backend="torch",
                   normalize=((0.5,) * 3, (0.2,) * 3)).apply(images, chosen))
written = dict(normalize=((0.5,) * 3, (0.2,) * 3), dtype=torch.float16, channels_last=True)
found = DAASPolicy.load("randaugment", backend="triton", **written).apply(images, chosen)
assert found.dtype == torch.float16 and found.is_contiguous(memory_format=torch.channels_last)
assert torch.equal(found, DAASPolicy.load("randaugment", backend="torch", **written).apply(images, chosen))
assert DAASPolicy.load("randaugment").backend_for(images) != "triton"

import daas
wash = daas.Operation("Wash", unit="share", low=0.1, high=0.8, identity=0.0, largest=1.0,
                      byte_form=lambda x, v: (x + (255 - x) * v.view(-1, 1, 1, 1)).to(torch.uint8))
daas.register_operation(wash)
mixed = Draw(torch.tensor([[19, 6], [4, 2], [6, 19]]), torch.tensor([[0.5, 0], [10, 0.1], [0, 0.3]]).double(),
             torch.zeros(3, 2, 2).double())
assert torch.equal(apply(images[:3], mixed, backend="triton"), apply(images[:3], mixed, backend="torch"))
print("all")
"""


def test_layouts_types_sizes_and_operations_of_ones_own() -> None:
    assert run("-c", FORMS, TRITON_INTERPRET="1").strip() == "all"


DRAWS = """
import numpy as np, torch
from torch.utils._python_dispatch import TorchDispatchMode
from daas import DAASPolicy
from daas.augment import Draw, Policy, affine, counter, list_policies
from daas.augment.geometry import fixed_point
from daas.augment.gpu import drawing, draws, driver, kernels
from daas.augment.ops import fill_colors
from daas.augment.space import INDEX
from tests.augment.inputs import pictures

addresses = [dict(), dict(seed=2**64 - 1, step=2**40 + 3, first=5), dict(seed=2**63, step=torch.tensor(7)),
             dict(seed=3, step=torch.tensor([2**33 + 1]), first=2**32 - 70)]
policies = [Policy.random(torch.Generator().manual_seed(1)), *map(DAASPolicy.load, list_policies())]
for number, policy in enumerate(policies):
    policy = getattr(policy, "policy", policy)
    for options in (dict(), dict(granularity="batch"), dict(same_on_batch=True), dict(p=0.3)):
        given = addresses[number % len(addresses)]
        same = [DAASPolicy(policy, backend=backend, **options).sample(70, device="cpu", **given)
                for backend in ("triton", "torch")]
        for name in ("op", "value", "center"):
            assert torch.equal(getattr(same[0], name), getattr(same[1], name)), (policy.name, options, name)
assert len(DAASPolicy(policy, backend="triton").sample(0, device="cpu")) == 0

random = np.random.default_rng(0)
for height, width in ((32, 32), (7, 13), (1, 1), (224, 97)):
    for name, function in {"ShearX": affine.shear_x, "ShearY": affine.shear_y, "TranslateX": affine.translate_x,
                           "TranslateY": affine.translate_y, "Rotate": affine.rotate, "HFlip": affine.flip_x,
                           "VFlip": affine.flip_y, "Rot90": affine.quarter_turns}.items():
        value = random.uniform(-45, 45, 300) if name in ("Rotate", "Rot90") else random.uniform(-0.9, 0.9, 300)
        op, center = np.full((300, 1), INDEX[name]), random.random((300, 1, 2))
        draw = Draw(*map(torch.from_numpy, (op, value[:, None], center)))
        maps = function(value, height, width)
        words = draws.records(draw, height, width, False, torch.device("cpu"))[:, 0]
        assert np.array_equal(words[:, 1:7].numpy(), fixed_point(maps)), (name, height, width)
        exact = draws.records(draw, height, width, True, torch.device("cpu"))[:, 0, 1:7].view(torch.float64).numpy()
        assert name in ("HFlip", "VFlip") or np.array_equal(exact, maps), (name, height, width)

class Seen(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        asked.append(str(function))
        return function(*arguments, **(options or {}))

class Counted:
    def __init__(self, name):
        self.name = name
    def __getitem__(self, grid):
        return lambda *arguments, **options: launched.append(self.name)

ours, images, asked, launched = DAASPolicy(policies[0], backend="triton"), pictures(9, 12, 12), [], []
driver.run(images, ours.sample(9, device="cpu"), fill_colors((0, 0, 0), 3))  # what is on the device once
for module in (drawing, kernels):
    for name in ("drawn", "recorded", "whole", "look", "work"):
        if hasattr(module, name):
            setattr(module, name, Counted(name))
for tiled, expected in ((False, "drawn recorded whole"), (True, "drawn recorded look work work")):
    launched.clear()
    with Seen():
        driver.run(images, ours.sample(9, device="cpu", step=1), fill_colors((0, 0, 0), 3), tiled=tiled)
    assert launched == expected.split(), launched
assert set(asked) <= {"aten.empty.memory_format", "aten.zeros.default", "aten.view.default", "aten.view.dtype",
                      "aten.slice.Tensor", "aten.detach.default"}, set(asked)
assert asked.count("aten.zeros.default") == 1  # statistics of the tiled way
print("all")
"""


def test_draws_and_records_are_the_hosts_and_nothing_else_is_launched() -> None:
    assert run("-c", DRAWS, TRITON_INTERPRET="1").strip() == "all"


COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from daas.augment.gpu import drawing, kernels
from daas.augment.gpu.draws import OPTIONS

pointers = {"images": "*u8", "scratch": "*u8", "table": "*u8", "words": "*i64", "constants": "*i64",
            "histogram": "*i32", "total": "*i64", "out": "*bf16"}
always = {"SLOTS": 2, "CHANNELS": 3, "BLOCK": 256, "TILE": 8192, "NORMALIZE": True, "WORDS": 8, "LINEAR": True,
          "TO_LINEAR": False}
for name, more in (("whole", {}), ("whole", {"SLOTS": 1, "sw": 1, "LINEAR": False}), ("look", {}),
                   ("work", {"SLOT": 0}), ("work", {"SLOT": 1}),
                   ("whole", {"SLOTS": 3, "CHANNELS": 1, "NORMALIZE": False, "TO_LINEAR": True, "out": "*u8"})):
    kernel, given = getattr(kernels, name), {**pointers, "out": more.pop("out", "*bf16")}
    constants = {key: value for key, value in {**always, **more}.items() if key in kernel.arg_names}
    types = {n: "constexpr" if n in constants else given.get(n, "i32") for n in kernel.arg_names}
    made = triton.compile(ASTSource(kernel, types, constants), target=GPUTarget("cuda", 90, 32), options=OPTIONS)
    print(name, len(made.asm["cubin"]) > 1000, made.asm["ptx"].count("fma.rn"))

pointers = {"op_out": "*i64", "value_out": "*fp64", "center_out": "*fp64", "op": "*i64", "threshold": "*i64",
            "value": "*fp64", "center": "*fp64", "signed": "*i1", "ends": "*i64", "codes": "*i64", "out": "*i64"}
always = {"SLOTS": 2, "HALVINGS": 8, "SHARED_CHOICE": False, "SHARED_ALL": False, "BLOCK": 128, "WORDS": 8,
          "SMOOTH": True}
for name, more, whole in (("drawn", {"STEP_LIES_THERE": True}, "i64"), ("drawn", {"STEP_LIES_THERE": False}, "i32"),
                          ("recorded", {}, "i64"), ("recorded", {"rows": 1, "columns": 1}, "i32"),
                          ("drawn", {"STEP_LIES_THERE": False, "others": 1, "HALVINGS": 1}, "i32")):
    kernel = getattr(drawing, name)
    constants = {key: value for key, value in {**always, **more}.items() if key in kernel.arg_names}
    step = {"step": "*i64"} if more.get("STEP_LIES_THERE") else {}
    types = {n: "constexpr" if n in constants else {**pointers, **step}.get(n, whole) for n in kernel.arg_names}
    made = triton.compile(ASTSource(kernel, types, constants), target=GPUTarget("cuda", 90, 32), options=OPTIONS)
    print(name, len(made.asm["cubin"]) > 1000, made.asm["ttir"].count("math.fma"))
"""


def test_they_compile_for_a_gpu_without_a_fused_product_and_sum(tmp_path: Path) -> None:
    """Down to the machine's code, for which no GPU is needed."""
    printed = run("-c", COMPILED, TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0")
    names = ["whole", "whole", "look", "work", "work", "whole", "drawn", "drawn", "recorded", "recorded", "drawn"]
    assert printed.splitlines() == [f"{name} True 0" for name in names]


def test_where_it_cannot_run_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(BadInput, match=r"images are on cpu \(Triton's interpreter takes those: TRITON_INTERPRET=1\)"):
        choose_backend("triton", torch.zeros(1, 3, 2, 2, dtype=torch.uint8))
    with pytest.raises(BadInput, match="images are on meta"):
        choose_backend("triton", torch.zeros(1, 3, 2, 2, dtype=torch.uint8, device="meta"))
    with pytest.raises(BadInput, match="asks for float arithmetic"):
        choose_backend("triton", quantize=False)
    monkeypatch.setattr("daas.augment.gpu.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"not installed: pip install 'timm-daas\[gpu\]'"):
        choose_backend("triton")
