"""Every operation and whole policies against Pillow on uint8, bit for bit, on both implementations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.pillow_policy import reference
from daas import DAASPolicy, list_policies
from daas.augment import cpu
from daas.augment.draw import Draw
from daas.augment.ops import Backend, apply, choose_backend, normalized
from daas.augment.space import INDEX, OPERATIONS
from daas.errors import BadInput
from tests.augment.inputs import NAMES, all_pairs, draw_of, pictures

SIZES = [(32, 32), (17, 23), (40, 12), (224, 224)]
both = pytest.mark.parametrize("backend", ["torch", "numba"])
GEOMETRIC = [INDEX[name] for name in ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")]
PAIRS = torch.cartesian_prod(torch.arange(len(NAMES)), torch.arange(len(NAMES)))


@both
@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("size", SIZES[:3])
@pytest.mark.parametrize("name", NAMES)
def test_an_operation_is_pillows_bit_for_bit(name: str, size: tuple[int, int], channels: int, backend: Backend) -> None:
    images = pictures(80, *size, channels=channels)
    draw = draw_of(torch.full((80, 1), INDEX[name]), seed=1)
    assert torch.equal(apply(images, draw, backend=backend), reference(images, draw))


@both
@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("size", SIZES)
def test_two_operation_policies_are_pillows_bit_for_bit(size: tuple[int, int], channels: int, backend: Backend) -> None:
    count = 40 if size[0] == 224 else len(PAIRS)
    images = pictures(count, *size, seed=2, channels=channels)
    pairs = PAIRS[torch.randperm(len(PAIRS), generator=torch.Generator().manual_seed(3))[:count]]
    draw = draw_of(pairs, seed=4)
    assert torch.equal(apply(images, draw, backend=backend), reference(images, draw))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(-1, len(NAMES) - 1), min_size=4, max_size=4),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3]),
    st.integers(0, 10**6),
)
def test_any_four_operations_on_any_size(ops: list[int], height: int, width: int, channels: int, seed: int) -> None:
    images = pictures(4, height, width, seed=seed, channels=channels)
    op = torch.tensor(ops).expand(4, 4)
    draw = draw_of(op.clamp_min(0), seed)
    draw = Draw(op.contiguous(), draw.value, draw.center)
    assume(not half_pixels(draw, height, width))
    expected = reference(images, draw)
    assert torch.equal(apply(images, draw, backend="torch"), expected)
    assert torch.equal(apply(images, draw, backend="numba"), expected)


def half_pixels(draw: Draw, height: int, width: int) -> bool:
    """Whether something moves by half a pixel and a rounding error: there Pillow's running sum passes over a row."""
    moved = torch.cat([draw.value[draw.op == INDEX["TranslateX"]] * width,
                       draw.value[draw.op == INDEX["TranslateY"]] * height])  # fmt: skip
    return bool((((moved.abs() % 1) - 0.5).abs() < 1e-9).any())


@both
def test_values_beyond_the_search_space_are_pillows_too(backend: Backend) -> None:
    values = {"Rotate": 135.0, "ShearX": 0.9, "TranslateY": 0.8, "Contrast": 3.5, "Sharpness": 2.9, "Posterize": 1.0,
              "Brightness": 0.0, "Color": 2.7, "Solarize": 3.0, "Cutout": 0.7, "ShearY": 2.0}  # fmt: skip
    images = pictures(len(values), 31, 20, seed=5)
    op = torch.tensor([[INDEX[name]] for name in values])
    value = torch.tensor([[v] for v in values.values()], dtype=torch.float64)
    draw = Draw.from_choices(op, value, torch.ones_like(op, dtype=torch.bool), torch.Generator().manual_seed(6))
    assert torch.equal(apply(images, draw, backend=backend), reference(images, draw))


@both
@pytest.mark.parametrize("size", [(32, 32), (21, 34), (224, 224)])
def test_rotations_by_any_angle(size: tuple[int, int], backend: Backend) -> None:
    count = 40 if size[0] == 224 else 200
    angle = torch.rand(count, 1, generator=torch.Generator().manual_seed(7), dtype=torch.float64) * 360 - 180
    angle[:8, 0] = torch.tensor([0.0, 90.0, 180.0, -90.0, -180.0, 45.0, 30.0, -30.0])
    images = pictures(count, *size, seed=8)
    draw = Draw(torch.full((count, 1), INDEX["Rotate"]), angle, torch.zeros(count, 1, 2, dtype=torch.float64))
    different = (apply(images, draw, backend=backend) != reference(images, draw)).double().mean()
    assert different <= 0.001  # nearest-neighbour ties may fall either way where sine and cosine are rounded otherwise


@both
@pytest.mark.parametrize("size", SIZES)
def test_bilinear_is_pillows(size: tuple[int, int], backend: Backend) -> None:
    moving = [*GEOMETRIC, *(INDEX[name] for name in ("HFlip", "VFlip", "Rot90", "Crop"))]
    count = 27 if size[0] == 224 else 198
    images = pictures(count, *size, seed=9)
    draw = draw_of(torch.tensor(moving).repeat(count // 9).unsqueeze(1), seed=10)
    result = apply(images, draw, backend=backend, interpolation="bilinear")
    difference = (result.int() - reference(images, draw, "bilinear").int()).abs()
    assert difference[draw.op[:, 0] != INDEX["Rotate"]].max() == 0
    assert difference.max() <= 1
    assert (difference > 0).double().mean() <= 0.0001
    assert not torch.equal(result, apply(images, draw, backend=backend))


@both
def test_a_fill_is_pillows(backend: Backend) -> None:
    images = torch.full((5, 3, 24, 20), 200, dtype=torch.uint8)
    draw = Draw(torch.tensor(GEOMETRIC).unsqueeze(1), torch.full((5, 1), 0.4).double(), torch.zeros(5, 1, 2).double())
    draw.value[4] = 25.0
    result = apply(images, draw, fill=(1, 2, 3), backend=backend).permute(0, 2, 3, 1).flatten(1, 2)
    filled = (result == torch.tensor([1, 2, 3])).all(-1)
    assert filled.any(1).all()
    assert (filled | (result == 200).all(-1)).all()
    grey = apply(images[:, :1], draw, fill=(10, 200, 30), backend=backend)
    assert grey.unique().tolist() == [124, 200]  # round(0.299 * 10 + 0.587 * 200 + 0.114 * 30)


@both
def test_order_matters_and_slot_0_comes_first(backend: Backend) -> None:
    images = pictures(4, 16, 16)
    op = torch.tensor([[INDEX["Solarize"], INDEX["Invert"]]]).expand(4, 2)
    value = torch.tensor([[128.0, 0.0]], dtype=torch.float64).expand(4, 2)
    draw = Draw(op, value, torch.zeros(4, 2, 2, dtype=torch.float64))
    expected = 255 - torch.where(images < 128, images, 255 - images)
    assert torch.equal(apply(images, draw, backend=backend), expected)
    swapped = Draw(op.flip(1), value.flip(1), draw.center)
    assert not torch.equal(apply(images, swapped, backend=backend), expected)


@both
def test_nothing_applied_changes_nothing_and_the_input_is_left_alone(backend: Backend) -> None:
    images = pictures(225, 16, 16)
    before = images.clone()
    nothing = Draw(torch.full((225, 2), -1), torch.zeros(225, 2).double(), torch.zeros(225, 2, 2).double())
    unchanged = apply(images, nothing, backend=backend)
    assert torch.equal(unchanged, images)
    assert unchanged.data_ptr() != images.data_ptr()
    apply(images, draw_of(all_pairs(), seed=1), backend=backend)
    assert torch.equal(images, before)


@both
def test_quantised_float_equals_uint8(backend: Backend) -> None:
    images = pictures(225, 16, 18, seed=7)
    draw = draw_of(all_pairs(), seed=8)
    exact = apply(images, draw, backend=backend)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        result = apply(images.to(dtype) / 255, draw, backend=backend)
        assert result.dtype == dtype
        if dtype != torch.bfloat16:  # whose eight bits are too few for 256 levels
            assert torch.equal((result * 255).round().to(torch.uint8), exact)


@both
@pytest.mark.parametrize("channels", [3, 1])
def test_normalisation_is_one_formula_to_the_bit(channels: int, backend: Backend) -> None:
    images = pictures(225, 16, 18, seed=9, channels=channels)
    draw = draw_of(all_pairs(), seed=10)
    mean, std = (0.5, 0.4, 0.3)[:channels], (0.2, 0.25, 0.3)[:channels]
    levels = apply(images, draw, backend=backend)
    result = apply(images, draw, backend=backend, normalize=(mean, std))
    assert torch.equal(result, normalized(levels, (mean, std)))
    shape = (channels, 1, 1)
    expected = (levels.double() / 255 - torch.tensor(mean).double().view(shape)) / torch.tensor(std).double().view(
        shape
    )
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-6)


@both
@pytest.mark.parametrize(
    "layout", ["channels_last", "strided", "flipped", "expanded", "one", "empty", "empty, normalised"]
)
def test_layouts(layout: str, backend: Backend) -> None:
    images = pictures(8, 16, 16)
    draw = draw_of(torch.arange(16).view(8, 2) % 15, seed=11)
    expected = apply(images, draw, backend=backend)
    if layout == "channels_last":
        result = apply(images.contiguous(memory_format=torch.channels_last), draw, backend=backend)
        assert torch.equal(result, expected)
        assert result.is_contiguous()
    elif layout == "strided":
        assert torch.equal(apply(images.repeat_interleave(2, 0)[::2], draw, backend=backend), expected)
        assert torch.equal(apply(images.repeat_interleave(2, 3)[..., ::2], draw, backend=backend), expected)
    elif layout == "flipped":
        assert torch.equal(apply(images.flip(3).transpose(2, 3), draw, backend=backend),
                           apply(images.flip(3).transpose(2, 3).clone(), draw, backend=backend))  # fmt: skip
    elif layout == "expanded":
        same = images[:1].expand(8, -1, -1, -1)
        assert torch.equal(apply(same, draw, backend=backend), apply(same.clone(), draw, backend=backend))
    elif layout == "one":
        assert torch.equal(apply(images[3:4], draw[3:4], backend=backend), expected[3:4])
    elif layout == "empty":
        empty = apply(images[:0], draw[:0], backend=backend)
        assert (empty.shape, empty.dtype) == ((0, 3, 16, 16), torch.uint8)
    else:
        empty = apply(images[:0], draw[:0], backend=backend, normalize=((0.5,) * 3, (0.5,) * 3))
        assert (empty.shape, empty.dtype) == ((0, 3, 16, 16), torch.float32)


@pytest.mark.parametrize(
    ("images", "rows"),
    [
        (torch.zeros(2, 4, 8, 8), 2),
        (torch.zeros(3, 8, 8), 3),
        (torch.zeros(2, 3, 8, 8).long(), 2),
        (torch.zeros(2, 3, 8, 8), 3),
    ],
)
def test_wrong_input_is_refused(images: Tensor, rows: int) -> None:
    with pytest.raises(BadInput, match=r"found|batch has"):
        apply(images, draw_of(torch.zeros(rows, 2, dtype=torch.int64), seed=0))


@both
def test_a_draw_that_cannot_be_is_refused(backend: Backend) -> None:
    images, draw = pictures(3, 8, 8), draw_of(torch.zeros(3, 2, dtype=torch.int64), seed=0)
    wrong = [
        (Draw(draw.op + 1000, draw.value, draw.center), "operations from 1000"),
        (Draw(draw.op, draw.value * float("nan"), draw.center), "value nan"),
        (Draw(draw.op, draw.value + 1e9, draw.center), "value 1"),
        (Draw(draw.op, draw.value, draw.center - 3.0), "centres from"),
    ]
    for bad, message in wrong:
        with pytest.raises(BadInput, match=message):
            apply(images, bad, backend=backend)


@both
def test_wrong_statistics_are_refused(backend: Backend) -> None:
    images, draw = pictures(3, 8, 8), draw_of(torch.zeros(3, 2, dtype=torch.int64), seed=0)
    for statistics in (((0.5,), (0.5,)), ((0.5,) * 3, (0.5, 0.0, 0.5))):
        with pytest.raises(BadInput, match="images of 3 channels need"):
            apply(images, draw, backend=backend, normalize=statistics)


def test_every_operation_has_a_family_that_runs_it() -> None:
    """An operation without a family would silently do nothing."""
    images = pictures(15, 16, 16, seed=12)
    images[11] = images[3] = images[4]  # constant pictures have no colour to change
    strong = torch.tensor([[0.3, 0.3, 0.45, 0.45, 30, 0, 0, 0, 0, 4, 0.1, 0.1, 0.1, 0.1, 0.2]], dtype=torch.float64).T
    draw = Draw(torch.arange(15).unsqueeze(1), strong, torch.full((15, 1, 2), 0.5, dtype=torch.float64))
    for backend in ("torch", "numba"):
        changed = (apply(images, draw, backend=backend) != images).flatten(1).any(1)  # type: ignore[arg-type]  # one of the two
        assert [OPERATIONS[i].name for i in range(15) if not changed[i]] == []


def test_which_backend_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_, floats, elsewhere = pictures(2, 8, 8), torch.rand(2, 3, 8, 8), torch.zeros(2, 3, 8, 8, device="meta")
    assert choose_backend("auto", bytes_) == choose_backend("auto", floats) == choose_backend("auto") == "numba"
    assert choose_backend("auto", floats, quantize=False) == choose_backend("auto", elsewhere) == "torch"
    assert choose_backend("torch", bytes_) == "torch"
    with pytest.raises(BadInput, match="images are on meta"):
        choose_backend("numba", elsewhere)
    with pytest.raises(BadInput, match="asks for float arithmetic"):
        apply(floats, draw_of(torch.zeros(2, 1, dtype=torch.int64), 0), quantize=False, backend="numba")
    with pytest.raises(BadInput, match="backend is 'cuda'"):
        choose_backend("cuda")  # type: ignore[arg-type]  # the point of the test
    monkeypatch.setattr(cpu, "available", lambda: False)
    assert choose_backend("auto", bytes_) == "torch"
    with pytest.raises(BadInput, match=r"not installed: pip install 'timm-daas\[cpu\]'"):
        choose_backend("numba", bytes_)


@both
@pytest.mark.parametrize("size", [(32, 32), (224, 224)])
@pytest.mark.parametrize("name", list_policies())
def test_shipped_policies_are_pillows_bit_for_bit(name: str, size: tuple[int, int], backend: Backend) -> None:
    images = pictures(8 if size[0] == 224 else 100, *size, seed=13)
    policy = DAASPolicy.load(name, backend=backend)
    draw = policy.sample(len(images), torch.Generator().manual_seed(14))
    assert torch.equal(policy.apply(images, draw), reference(images, draw))


@pytest.mark.parametrize("quantize", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_floats_beyond_0_and_1_are_refused(dtype: torch.dtype, quantize: bool) -> None:
    draw = draw_of(torch.zeros(2, 1, dtype=torch.int64), seed=0)
    images = (pictures(2, 8, 8) / 255).to(dtype)
    apply(images, draw, quantize=quantize)
    apply(images + 0.0005, draw, quantize=quantize)  # a rounding error
    for wrong in (images * 255, images - 0.5, images.clone().fill_(float("nan")), images * 1.5):
        with pytest.raises(BadInput, match=r"float images are in \[0, 1\]; found values from"):
            apply(wrong, draw, quantize=quantize)
