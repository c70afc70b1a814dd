"""Policies and normalisation for compilers and exporters, and the forms of what comes out."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn

from daas import DAASPolicy
from daas.augment.ops import normalized
from daas.errors import BadInput

STATISTICS = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
IMAGES = torch.randint(256, (6, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def whole(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Compiled as one graph; anything that breaks it raises."""
    torch._dynamo.reset()
    return torch.compile(model, backend="aot_eager", fullgraph=True)


@pytest.mark.parametrize("options", [{}, {"dtype": torch.bfloat16, "channels_last": True}, {"p": 0.5}])
def test_a_policy_does_not_break_the_graph(options: dict[str, object]) -> None:
    policy = DAASPolicy.load("randaugment", normalize=STATISTICS, **options)
    model = nn.Sequential(policy, nn.Conv2d(3, 4, 3).to(options.get("dtype", torch.float32)), nn.ReLU())
    compiled = whole(model)
    torch.manual_seed(0)
    expected = model(IMAGES)
    torch.manual_seed(0)
    found = compiled(IMAGES)
    torch.testing.assert_close(found, expected)
    found.float().sum().backward()
    assert model[1].weight.grad is not None


def test_two_calls_in_one_graph_draw_twice() -> None:
    policy = DAASPolicy.load("trivialaugment")

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.policy = policy

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return self.policy(images), self.policy(images)

    one, other = whole(Twice())(IMAGES)
    assert not torch.equal(one, other)
    assert one.dtype == torch.uint8


def test_copies_are_policies_of_their_own() -> None:
    policy = DAASPolicy.load("randaugment")
    for other in (copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert other._number != policy._number
        torch.manual_seed(1)
        expected = policy(IMAGES)
        torch.manual_seed(1)
        assert torch.equal(whole(other)(IMAGES), expected)


def test_the_operator_is_what_pytorch_asks_of_one() -> None:
    policy = DAASPolicy.load("randaugment", normalize=STATISTICS)
    still = DAASPolicy.load("randaugment", normalize=STATISTICS, p=0.0)  # draws nothing that differs between two calls
    torch.library.opcheck(torch.ops.daas.policy.default, (IMAGES, still._number))
    with torch._subclasses.FakeTensorMode() as mode:
        fake = torch.ops.daas.policy(mode.from_tensor(IMAGES), policy._number)
    assert (fake.shape, fake.dtype) == (IMAGES.shape, torch.float32)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_the_output_has_the_form_that_is_asked_for(kind: torch.dtype, dtype: torch.dtype | None, p: float) -> None:
    images = IMAGES if kind == torch.uint8 else IMAGES / 255
    plain = DAASPolicy.load("randaugment", normalize=STATISTICS, p=p)
    torch.manual_seed(2)
    expected = plain(images)
    for channels_last in (False, True):
        formed = DAASPolicy.load("randaugment", normalize=STATISTICS, p=p, dtype=dtype, channels_last=channels_last)
        found = formed(images, params=plain._params)
        assert found.dtype == (dtype or torch.float32)
        assert found.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        assert torch.equal(found, expected.to(found.dtype))


def test_bytes_may_have_their_channels_last() -> None:
    policy = DAASPolicy.load("randaugment")
    expected = policy(IMAGES)
    found = DAASPolicy.load("randaugment", channels_last=True)(IMAGES, params=policy._params)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("options", [{"dtype": torch.float16}, {"dtype": torch.int32, "normalize": STATISTICS}])
def test_a_dtype_is_of_normalised_floats(options: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="normalised output"):
        DAASPolicy.load("randaugment", **options)


class Deployed(nn.Module):
    """Bytes in, logits out."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.model = timm.create_model(name, num_classes=5).eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(normalized(images, STATISTICS))
        return logits


@pytest.mark.parametrize("name", ["daas_cifar10_nano", "test_resnet"])
def test_model_and_normalisation_are_exported(name: str) -> None:
    images = torch.nn.functional.interpolate(IMAGES.float(), (32, 32)).to(torch.uint8)
    model = Deployed(name)
    with torch.no_grad():
        exported = torch.export.export(model, (images,)).module()
        torch.testing.assert_close(exported(images.flip(3)), model(images.flip(3)), rtol=1e-4, atol=1e-5)
