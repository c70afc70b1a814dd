"""One contract over every model that the package registers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import daas
from daas.errors import BadInput
from daas.models import list_genotypes
from daas.models.table import backbones, multiply_adds
from daas.models.zoo import published

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "models" / "sizes.json").read_text())
SHIPPED = sorted(published())
STEMS = ("cifar", "imagenet")
CELLS = [f"{name}_{stem}" for name in ("daas_cell", *SHIPPED) for stem in STEMS]
MODELS = [*CELLS, *backbones()]
NARROW: dict[str, dict[str, int]] = {
    "wide": {"depth": 10, "widen": 1},
    "shake": {"base_width": 4, "blocks": 1},
    "pyramid": {"depth": 11, "widening": 12},
}
"""Arguments that make a network small, by the first word of its name; cells have their own."""


def narrow(name: str, **kwargs: Any) -> nn.Module:
    size = NARROW.get(name.split("_")[0], {"channels": 4, "layers": 3})
    model: nn.Module = timm.create_model(name, **{"num_classes": 6, "in_chans": 2, **size, **kwargs})
    return model


def two_images(name: str) -> Tensor:
    size = 16 if name.endswith("cifar") else 64
    return torch.randn(2, 2, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r['genotype']}-{r['stem']}-{r['channels']}-{r['layers']}")
def test_sizes_are_the_published_networks_to_the_last_digit(row: dict[str, Any]) -> None:
    arguments = {key: row[key] for key in ("channels", "layers", "num_classes")}
    with torch.device("meta"):
        model = timm.create_model(f"{row['genotype']}_{row['stem']}", **arguments)
        with_auxiliary = timm.create_model(f"{row['genotype']}_{row['stem']}", aux_head=True, **arguments)
    assert sum(p.numel() for p in model.parameters()) == row["params"]
    assert sum(p.numel() for p in with_auxiliary.parameters()) == row["params_with_aux"]
    assert multiply_adds(model, (3, 32, 32) if row["stem"] == "cifar" else (3, 224, 224)) == row["macs"]


def test_every_shipped_genotype_is_covered_and_registered() -> None:
    assert {row["genotype"] for row in ROWS} == set(SHIPPED) <= set(list_genotypes())
    assert all(timm.is_model(model) for model in MODELS)
    assert all(daas.Genotype.from_dict(daas.models.find_genotype(name).to_dict()).source for name in SHIPPED)


@pytest.mark.parametrize("name", MODELS)
def test_a_narrow_version_runs_like_a_timm_model(name: str) -> None:
    torch.manual_seed(0)
    model, x = narrow(name), two_images(name)
    model(x).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    model.eval()
    features = model.forward_features(x)
    assert features.shape[1] == model.num_features == model.head_hidden_size
    torch.testing.assert_close(model.forward_head(features), model(x))
    assert model.get_classifier().out_features == 6
    groups = timm.models.group_parameters(model, model.group_matcher())
    assert sum(len(group) for group in groups.values()) == len(list(model.parameters()))


@pytest.mark.parametrize("name", MODELS)
def test_a_narrow_version_changes_like_a_timm_model(name: str) -> None:
    torch.manual_seed(0)
    model, x = narrow(name).eval(), two_images(name)
    expected = model(x)
    model.set_grad_checkpointing()
    torch.testing.assert_close(model(x), expected)
    features = model.forward_features(x)
    model.reset_classifier(3)
    assert model(x).shape == (2, 3)
    model.reset_classifier(0)
    torch.testing.assert_close(model(x), features.mean((2, 3)))
    model.reset_classifier(0, "")
    torch.testing.assert_close(model(x), features)
    levels = narrow(name, features_only=True)
    found = levels(x)
    assert [level.shape[1] for level in found] == levels.feature_info.channels()
    assert [x.shape[-1] // level.shape[-1] for level in found] == levels.feature_info.reduction()
    made = narrow(name, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in made.parameters()} == {("meta", torch.bfloat16)}
    with pytest.raises(BadInput, match="no_such_argument"):
        narrow(name, no_such_argument=1)


@pytest.mark.parametrize("name", CELLS)
def test_a_narrow_cell_network_drops_paths_fuses_and_has_an_auxiliary_head_when_asked(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 2, *((32, 32) if name.endswith("cifar") else (224, 224)))
    model = narrow(name, aux_head=True)
    logits, auxiliary = model(x)
    assert logits.shape == auxiliary.shape == (2, 6)
    (logits.sum() + auxiliary.sum()).backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    expected = model(x)
    plain = narrow(name)
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(plain.eval()(x), expected)
    plain.set_drop_path(1.0)
    torch.testing.assert_close(plain(x), expected)
    dropped = plain.train()(x)
    plain.set_drop_path(0.0)
    assert not torch.allclose(plain(x), dropped)
    plain.load_state_dict(model.state_dict())  # statistics of before
    fused = plain.fuse()(x)
    assert (fused - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", MODELS)
def test_the_configuration_is_complete(name: str) -> None:
    cfg = timm.get_pretrained_cfg(name)
    with torch.device("meta"):
        model = timm.create_model(name)
    assert cfg.num_classes == model.num_classes
    assert cfg.license == "apache-2.0"
    assert dict(model.named_modules())[cfg.classifier] is model.get_classifier()
    assert isinstance(dict(model.named_modules())[cfg.first_conv], nn.Conv2d)
    with torch.device("meta"):
        shape = model.eval().forward_features(torch.zeros(1, *cfg.input_size)).shape
    assert tuple(shape[2:]) == tuple(cfg.pool_size)


@pytest.mark.parametrize("name", ["daas_cell_cifar", "darts_v2_imagenet"])
def test_pretrained_without_weights_is_a_clear_error(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"[Nn]o pretrained weights"):
        timm.create_model(name, pretrained=True)
