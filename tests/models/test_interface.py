"""timm's interface beyond the contract: levels, pruning, classifiers, weights from files, other devices and types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from daas.errors import BadInput

SMALL: dict[str, dict[str, Any]] = {
    "daas_cell_cifar": {"channels": 4, "layers": 6},
    "daas_cell_imagenet": {"channels": 4, "layers": 4},
    "wide_resnet40_2_cifar": {"depth": 10, "widen": 1},
    "shake_shake26_2x32d_cifar": {"base_width": 4, "blocks": 1},
    "pyramid_net272_a200_cifar": {"depth": 11, "widening": 12},
}
"""One of each kind, with the arguments that make it small."""


def small(name: str, **kwargs: Any) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, **{"num_classes": 5, **SMALL[name], **kwargs})
    return model.eval()


def images(name: str, channels: int = 3) -> Tensor:
    size = 64 if name.endswith("imagenet") else 16
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("prune_norm", [False, True])
def test_levels_are_the_same_however_they_are_asked_for(name: str, prune_norm: bool) -> None:
    model, x = small(name), images(name)
    info = model.feature_info
    final, levels = model.forward_intermediates(x)
    torch.testing.assert_close(model.forward_head(final), model(x))
    assert [level.shape[1] for level in levels] == [entry["num_chs"] for entry in info]
    assert [x.shape[-1] // level.shape[-1] for level in levels] == [entry["reduction"] for entry in info]
    modules = dict(model.named_modules())
    assert all(entry["module"] in modules for entry in info)
    *_, normed = model.forward_intermediates(x, norm=True, intermediates_only=True)
    torch.testing.assert_close(normed, final)
    for index in range(len(info)):
        (one,) = model.forward_intermediates(x, indices=[index], stop_early=True, intermediates_only=True)
        torch.testing.assert_close(one, levels[index])
        pruned = small(name)
        assert pruned.prune_intermediate_layers([index], prune_norm=prune_norm) == [index]
        torch.testing.assert_close(pruned.forward_intermediates(x, [index], intermediates_only=True)[0], levels[index])
        assert pruned.num_classes == 0
        assert pruned.num_features == info[index]["num_chs"]
        features = pruned.forward_features(x)
        last_norm = index == len(info) - 1 and not prune_norm
        torch.testing.assert_close(features, final if last_norm else levels[index])
        torch.testing.assert_close(torch.jit.script(pruned)(x), pruned(x))
    with pytest.raises(ValueError, match="NCHW"):
        model.forward_intermediates(x, output_fmt="NLC")


@pytest.mark.parametrize("name", SMALL)
def test_features_only_gives_the_levels(name: str) -> None:
    x = images(name)
    levels = small(name).forward_intermediates(x, intermediates_only=True)
    features = small(name, features_only=True)
    for found, expected in zip(features(x), levels, strict=True):
        torch.testing.assert_close(found, expected)
    chosen = small(name, features_only=True, out_indices=(0, 2))
    assert chosen.feature_info.channels() == [levels[0].shape[1], levels[2].shape[1]]


@pytest.mark.parametrize("name", SMALL)
def test_checkpointing_changes_no_gradient(name: str) -> None:
    x, gradients = images(name), []
    for enable in (False, True):
        model = small(name)
        model.set_grad_checkpointing(enable)
        model.train()
        torch.manual_seed(2)
        model(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


@pytest.mark.parametrize("name", SMALL)
def test_device_and_dtype_are_those_asked_for(name: str) -> None:
    assert {p.device.type for p in small(name, device="meta").parameters()} == {"meta"}
    assert {p.dtype for p in small(name, dtype=torch.float64).parameters()} == {torch.float64}
    model = small(name, dtype=torch.float64)
    model.reset_classifier(0)
    model.reset_classifier(3)
    assert model.get_classifier().weight.dtype == torch.float64
    assert model(images(name).double()).shape == (2, 3)
    assert not model.get_classifier().training


@pytest.mark.parametrize("name", SMALL)
def test_scripting_and_tracing_keep_the_outputs(name: str) -> None:
    model, x = small(name), images(name)
    expected = model(x)
    torch.testing.assert_close(torch.jit.script(model)(x), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(x), expected)


@pytest.mark.parametrize("name", ["daas_cell_cifar", "wide_resnet40_2_cifar"])
def test_weights_come_from_a_file_a_state_dict_or_a_folder(name: str, tmp_path: Path) -> None:
    model, x = small(name), images(name)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    torch.manual_seed(5)
    arguments = {"num_classes": 5, **SMALL[name], "pretrained": True}
    for overlay in ({"file": str(tmp_path / "w.safetensors")}, {"state_dict": model.state_dict()}):
        loaded = timm.create_model(name, pretrained_cfg_overlay={**overlay, "num_classes": 5}, **arguments).eval()
        torch.testing.assert_close(loaded(x), model(x))
    other = timm.create_model(
        name,
        pretrained_cfg_overlay={"file": str(tmp_path / "w.safetensors"), "num_classes": 5},
        **{**arguments, "num_classes": 7, "in_chans": 1},
    ).eval()
    assert other(images(name, 1)).shape == (2, 7)
    mine, theirs = dict(other.named_parameters()), dict(model.named_parameters())
    same = [torch.equal(mine[k], theirs[k]) for k in mine if mine[k].shape == theirs[k].shape]
    assert sum(same) == len(same) > 10

    timm.models.save_for_hf(
        model, tmp_path / "repo", model_args={"num_classes": 5, **SMALL[name]}, safe_serialization=True
    )
    again = timm.create_model(f"local-dir:{tmp_path / 'repo'}", pretrained=True).eval()
    torch.testing.assert_close(again(x), model(x))


def test_a_genotype_travels_in_the_configuration(tmp_path: Path) -> None:
    from daas.models import Genotype

    genotype = Genotype.random(torch.Generator().manual_seed(3))
    model = small("daas_cell_cifar", genotype=genotype)
    args = {"num_classes": 5, **SMALL["daas_cell_cifar"], "genotype": genotype.to_dict()}
    timm.models.save_for_hf(model, tmp_path, model_args=args, safe_serialization=True)
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert again.genotype == genotype
    torch.testing.assert_close(again(images("daas_cell_cifar")), model(images("daas_cell_cifar")))


def test_weights_with_an_auxiliary_head_fit_without_it(tmp_path: Path) -> None:
    with_head = small("daas_cell_cifar", aux_head=True)
    save_file(with_head.state_dict(), tmp_path / "w.safetensors")
    overlay = {"file": str(tmp_path / "w.safetensors"), "num_classes": 5}
    plain = small("daas_cell_cifar", pretrained=True, pretrained_cfg_overlay=overlay)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(plain(x), with_head(x))
    del overlay
    broken = {k: v for k, v in with_head.state_dict().items() if not k.startswith("cells.0")}
    with pytest.raises(RuntimeError, match="Missing key"):
        plain.load_state_dict(broken)


@pytest.mark.parametrize("arguments", [{"channels": 1}, {"layers": 2}])
def test_networks_that_cannot_be_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="at least 2 channels and 3 cells"):
        small("daas_cell_cifar", **arguments)
    with pytest.raises(BadInput, match="6 n"):
        small("wide_resnet40_2_cifar", depth=39)
    with pytest.raises(BadInput, match="9 n"):
        small("pyramid_net272_a200_cifar", depth=13)


@pytest.mark.parametrize("name", [name for name in SMALL if "cifar" in name])
def test_classes_are_those_of_the_description_where_nothing_else_is_said(name: str) -> None:
    """As timm's own networks, so that a repository on the Hub need not say them twice."""
    described = {"num_classes": 2, "input_size": (3, 32, 32)}
    assert timm.create_model(name, pretrained_cfg=described, **SMALL[name]).num_classes == 2
    assert timm.create_model(name, pretrained_cfg=described, **{**SMALL[name], "num_classes": 3}).num_classes == 3
    assert timm.create_model(name, **SMALL[name]).num_classes == 10
