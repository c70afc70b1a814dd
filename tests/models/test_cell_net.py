"""Cell networks: published sizes to the last digit, timm's interface, genotypes of every shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from daas.errors import BadInput
from daas.models import CellNet, Genotype, find_genotype, register_genotype
from daas.models.auxiliary import CellNetWithAux
from daas.models.table import multiply_adds


@pytest.mark.parametrize(
    ("name", "size", "parameters", "with_auxiliary", "macs"),
    [
        ("darts_v2_cifar", 32, 3_349_342, 3_825_768, 528_359_040),
        ("darts_v2_imagenet", 224, 4_718_752, 5_979_528, 529_911_552),
    ],
)
def test_published_sizes(name: str, size: int, parameters: int, with_auxiliary: int, macs: int) -> None:
    with torch.device("meta"):
        model, auxiliary = timm.create_model(name), timm.create_model(name, aux_head=True)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert sum(p.numel() for p in auxiliary.parameters()) == with_auxiliary
    assert multiply_adds(model, (3, size, size)) == macs


def small(genotype: Genotype | str = "darts_v2", model: str = "daas_cell_cifar", **kwargs: object) -> CellNet:
    made = timm.create_model(model, genotype=genotype, channels=4, layers=3, num_classes=5, **kwargs)
    assert isinstance(made, CellNet)
    return made


@pytest.mark.parametrize(("model", "size"), [("daas_cell_cifar", 16), ("daas_cell_imagenet", 64)])
def test_forward_backward_script_and_intermediates(model: str, size: int) -> None:
    torch.manual_seed(0)
    net = small(model=model)
    x = torch.randn(2, 3, size, size)
    net(x).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.eval()
    y = net(x)
    assert y.shape == (2, 5)
    torch.testing.assert_close(torch.jit.script(net)(x), y)
    last, outputs = net.forward_intermediates(x)
    torch.testing.assert_close(net.forward_head(last), y)
    assert [o.shape[1] for o in outputs] == [level["num_chs"] for level in net.feature_info]
    net.set_grad_checkpointing()
    torch.testing.assert_close(net(x), y)


def test_features_are_those_before_each_reduction() -> None:
    net = timm.create_model("daas_cell_cifar", channels=4, layers=6, features_only=True)
    outputs = net(torch.randn(2, 3, 16, 16))
    assert [o.shape[1] for o in outputs] == net.feature_info.channels()
    assert [16 // o.shape[-1] for o in outputs] == net.feature_info.reduction() == [1, 2, 4]


def test_pooling_and_classifier_can_change() -> None:
    net = small()
    x = torch.randn(2, 3, 16, 16)
    net.reset_classifier(7)
    assert net(x).shape == (2, 7)
    net.reset_classifier(0)
    assert net(x).shape == (2, net.num_features)
    net.reset_classifier(0, "")
    assert net(x).shape == (2, net.num_features, 4, 4)
    with pytest.raises(BadInput, match="no_such_argument"):
        small(no_such_argument=1)


def test_the_auxiliary_head_answers_only_in_training_and_its_weights_fit_without_it(tmp_path: Path) -> None:
    from daas.models.weights import load_weights
    from daas.train.output import save_weights

    net = timm.create_model("daas_cell_cifar", channels=4, layers=3, num_classes=5, aux_head=True)
    x = torch.randn(2, 3, 32, 32)
    logits, auxiliary = net(x)
    assert logits.shape == auxiliary.shape == (2, 5)
    assert net.eval()(x).shape == (2, 5)
    save_weights(net, tmp_path / "w.safetensors", list("abcde"))
    plain = small().eval()
    load_weights(plain, tmp_path / "w.safetensors")
    torch.testing.assert_close(plain(x), net(x))


@pytest.mark.parametrize(("stem", "sides"), [("cifar", (17, 28, 32, 64)), ("imagenet", (129, 160, 224))])
def test_the_auxiliary_head_answers_on_images_of_any_size_that_it_names(stem: str, sides: tuple[int, ...]) -> None:
    net = timm.create_model(f"daas_cell_{stem}", channels=2, layers=3, num_classes=5, aux_head=True)
    assert isinstance(net, CellNetWithAux)
    assert net.smallest_image == sides[0]
    for side in sides:
        assert net(torch.randn(2, 3, side, side))[1].shape == (2, 5)
    with pytest.raises(RuntimeError):
        net(torch.randn(2, 3, sides[0] - 1, sides[0] - 1))


def test_checkpointing_with_an_auxiliary_head_runs_every_cell_again_and_changes_no_gradient() -> None:
    x, gradients, runs = torch.randn(2, 3, 24, 24), [], []
    for enable in (False, True):
        torch.manual_seed(0)
        net = timm.create_model("daas_cell_cifar", channels=2, layers=3, num_classes=5, aux_head=True)
        net.set_grad_checkpointing(enable)
        calls: list[object] = []
        for cell in net.cells:
            cell.register_forward_pre_hook(lambda module, _, calls=calls: calls.append(module))
        logits, auxiliary = net(x)
        (logits.square().sum() + auxiliary.square().sum()).backward()
        gradients.append([p.grad for p in net.parameters()])
        runs.append(len(calls))
    assert runs == [3, 6]
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


@pytest.mark.parametrize("index", [0, 2])
def test_without_its_classifier_a_network_has_no_auxiliary_head(index: int) -> None:
    def made(**kwargs: Any) -> nn.Module:
        torch.manual_seed(0)
        return timm.create_model("daas_cell_cifar", channels=2, layers=3, aux_head=True, **kwargs)

    x = torch.randn(2, 3, 24, 24)
    pruned = made()
    pruned.prune_intermediate_layers([index])
    (features,) = pruned.forward_intermediates(x, [index], intermediates_only=True)
    torch.testing.assert_close(pruned(x), features)
    features_only = made(features_only=True, out_indices=(index,))
    for network in (pruned, features_only):
        assert not [name for name, _ in network.named_parameters() if "aux_head" in name]
    pruned.reset_classifier(4, "avg")
    assert pruned(x).shape == (2, 4)


def test_the_cells_and_the_stem_that_a_name_says_cannot_be_given() -> None:
    for argument in ({"genotype": "p_darts"}, {"stem": "imagenet"}):
        with pytest.raises(BadInput, match=f"darts_v2_cifar: its name says its {next(iter(argument))}"):
            timm.create_model("darts_v2_cifar", **argument)
    with pytest.raises(BadInput, match="daas_cell_cifar: its name says its stem"):
        timm.create_model("daas_cell_cifar", stem="imagenet")


@pytest.mark.parametrize(("model", "genotype"), [("darts_v2_cifar", False), ("daas_cell_cifar", True)])
@pytest.mark.parametrize("aux_head", [False, True])
def test_an_unknown_argument_is_named_with_those_that_are_taken(model: str, genotype: bool, aux_head: bool) -> None:
    with pytest.raises(BadInput, match="unknown option quux") as caught:
        timm.create_model(model, quux=1, aux_head=aux_head)
    known = str(caught.value).split("Known: ")[1].rstrip(".").split(", ")
    assert {"channels", "layers", "aux_head", "drop_path_rate"} <= set(known)
    assert ("genotype" in known) == genotype
    assert "stem" not in known


def test_drop_path_drops_edges_of_images_and_follows_a_schedule() -> None:
    torch.manual_seed(0)
    net = small(drop_path_rate=0.9)
    x = torch.randn(2, 3, 16, 16)
    assert not torch.allclose(net(x), net(x))
    net.set_drop_path(0.0)
    torch.testing.assert_close(net(x), net(x))


def test_genotypes_of_every_shape_build() -> None:
    """Five nodes, one input, the same input twice, an output that includes a cell input, rare primitives."""
    odd = Genotype(
        "odd",
        "test",
        normal=(
            (("sep_conv_7x7", 0),),
            (("skip_connect", 1), ("skip_connect", 1)),
            (("conv_7x1_1x7", 0), ("max_pool_3x3", 2), ("avg_pool_3x3", 3)),
            (("dil_conv_5x5", 4),),
            (("dil_conv_3x3", 0), ("sep_conv_5x5", 5)),
        ),
        normal_concat=(0, 3, 6),
        reduce=((("skip_connect", 0), ("conv_7x1_1x7", 1)), (("sep_conv_7x7", 1), ("avg_pool_3x3", 2))),
        reduce_concat=(2, 3),
    )
    net = small(odd)
    assert net(torch.randn(2, 3, 15, 15)).shape == (2, 5)


def test_register_genotype_makes_two_models_once() -> None:
    genotype = Genotype.random(torch.Generator().manual_seed(0))
    register_genotype(genotype, "registered_in_a_test")
    assert timm.is_model("registered_in_a_test_cifar")
    assert timm.is_model("registered_in_a_test_imagenet")
    assert find_genotype("registered_in_a_test") is genotype
    net = timm.create_model("registered_in_a_test_cifar", channels=4, layers=3)
    assert net.genotype == genotype
    for taken in ("registered_in_a_test", "darts_v2", "not a name"):
        with pytest.raises(BadInput, match=r"registered already|letters, digits"):
            register_genotype(genotype, taken)


def test_a_genotype_may_be_a_path_a_dict_or_a_name(tmp_path: Path) -> None:
    genotype = find_genotype("darts_v2")
    genotype.save(tmp_path / "g.json")
    for form in (str(tmp_path / "g.json"), genotype.to_dict(), "darts_v2", genotype):
        assert small(form).genotype == genotype
    with pytest.raises(BadInput, match="neither a file nor registered"):
        small("nothing")
