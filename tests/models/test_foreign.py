"""Weights that other programs saved: taken under a network's own names, or refused with what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from daas import checkpoint
from daas.errors import BadInput
from daas.models.start import Start, create
from daas.models.weights import check_ending, load_weights

MODEL = "test_resnet"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A small network of two classes."""
    return create(MODEL, 2)


def saved(folder: Path, state: State) -> str:
    path = folder / "w.safetensors"
    save_file({name: tensor.clone() for name, tensor in state.items()}, path)
    return str(path)


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "model.", "state_dict.model.", "state_dict_ema."]
)
def test_prefixes_of_wrappers_are_taken_off(prefix: str, network: nn.Module, tmp_path: Path) -> None:
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    path = saved(tmp_path, state | ({"optimizer.step": torch.ones(1)} if prefix else {}))
    whole = create(MODEL, 2, Start(initial_checkpoint=path))
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in whole.state_dict().items())
    features = create(MODEL, 3, Start(pretrained_path=path))
    assert torch.equal(features.get_parameter("conv1.0.weight"), network.get_parameter("conv1.0.weight"))
    assert "state_dict" not in features.pretrained_cfg  # type: ignore[operator]  # a dict


def test_wrappers_of_layers_are_taken_off(network: nn.Module, tmp_path: Path) -> None:
    """As of ``torch.compile(model.layer1)`` in a model, and of checkpointed blocks."""
    state = {name.replace("layer1.", "layer1._orig_mod."): tensor for name, tensor in network.state_dict().items()}
    state = {name.replace("layer2.0.", "layer2.0._checkpoint_wrapped_module."): t for name, t in state.items()}
    made = create(MODEL, 2, Start(initial_checkpoint=saved(tmp_path, state)))
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in made.state_dict().items())


def test_a_name_that_another_module_has_too_hides_no_prefix(network: nn.Module, tmp_path: Path) -> None:
    """As of a Lightning module with a layer beside its network."""
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    path = saved(tmp_path, {**state, "fc.weight": torch.ones(7)})
    made = create(MODEL, 2, Start(initial_checkpoint=path))
    assert torch.equal(made.get_parameter("fc.weight"), network.get_parameter("fc.weight"))


def test_counters_of_batch_norms_may_be_missing_and_nothing_else(network: nn.Module, tmp_path: Path) -> None:
    """As ``load_state_dict`` takes them of files from before there were counters, and as other programs write them."""
    state = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    made = create(MODEL, 2, Start(initial_checkpoint=saved(tmp_path, state)))
    assert all(torch.equal(made.state_dict()[name], tensor) for name, tensor in state.items())
    del state["bn1.running_mean"]
    with pytest.raises(BadInput, match=r"76 of the model's 77 tensors are in it; missing are bn1.running_mean\. "):
        create(MODEL, 2, Start(initial_checkpoint=saved(tmp_path, state)))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_in_other_types_become_those_of_the_network(kind: torch.dtype, tmp_path: Path) -> None:
    state = create(MODEL, 2).to(kind).state_dict()
    made = create(MODEL, 2, Start(initial_checkpoint=saved(tmp_path, state)))
    assert all(parameter.dtype == torch.float32 for parameter in made.parameters())
    assert torch.equal(made.get_parameter("fc.weight"), state["fc.weight"].float())


def test_where_much_of_a_network_begins_at_random_it_is_said_and_a_layer_may_be_missing(
    network: nn.Module, tmp_path: Path
) -> None:
    """As the weights of resnet18 for resnet34, whose blocks have the same names and more of them."""
    state = network.state_dict()
    path = saved(tmp_path, state)
    with pytest.warns(UserWarning, match=r"it has none for 9 of 24 kernels \(layer1\.1\.conv1\.weight"):
        create(MODEL, 2, Start(pretrained_path=path), layers=(2, 2, 2, 2))
    del state["conv1.0.weight"]
    made = create(MODEL, 2, Start(pretrained_path=saved(tmp_path, state)))
    assert torch.equal(made.get_parameter("layer1.0.conv1.weight"), state["layer1.0.conv1.weight"])


def test_positions_are_fitted_by_the_option_that_the_message_names(tmp_path: Path) -> None:
    path = saved(tmp_path, create("test_vit", 2, img_size=64).state_dict())
    with pytest.raises(BadInput, match=r"pos_embed for example \[1, 17, 64\] and not \[1, 5, 64\].*--pretrained-path"):
        create("test_vit", 2, Start(initial_checkpoint=path), img_size=32)
    create("test_vit", 2, Start(pretrained_path=path), img_size=32)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "timm_wrapper", "architecture": "resnet18", "model_args": None, "pretrained_cfg": {}},
         "around timm's resnet18: name that as --model, and model.safetensors with --initial-checkpoint"),
        ({"model_type": "resnet"}, r"Transformers \(resnet\), whose networks are not timm's"),
        ({}, "it has no 'pretrained_cfg', or no JSON object as 'model_args'.$"),
    ],
)  # fmt: skip
def test_folders_of_transformers_have_their_way_out(config: State, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"timm_model.fc.bias": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match=said):
        create(f"local-dir:{tmp_path}", 2, Start(pretrained=True))


def of_others(name: str, network: nn.Module) -> State:
    own = network.state_dict()
    floats = {name: tensor for name, tensor in own.items() if tensor.is_floating_point()}
    return {
        "two": {f"{prefix}.{name}": tensor for prefix in ("state_dict", "ema") for name, tensor in own.items()},
        "five": dict(create(MODEL, 5).state_dict()),
        "headless": {name: tensor for name, tensor in own.items() if not name.startswith("fc.")},
        "quantised": own | {name: tensor.to(torch.int8) for name, tensor in floats.items()},
        "diverged": own | {"conv1.0.weight": torch.full_like(own["conv1.0.weight"], float("nan"))},
        "another": dict(create("test_vit", 2).state_dict()),
        "more": own | {"optimizer.step": torch.ones(1)},
        "wider": own | {"conv1.0.weight": torch.zeros(3, 3, 3, 3)},
        "empty": {},
    }[name]


@pytest.mark.parametrize(
    ("name", "whole", "features"),
    [
        ("two", "several networks, under 'ema.' and 'state_dict.'", "several networks"),
        ("five", "a classifier of 5 classes, and this model has one of 2.*--pretrained-path", ""),
        ("headless", r"no classifier \(fc.weight, fc.bias\).*--pretrained-path", ""),
        ("quantised", "int8, where weights are floating-point", "int8"),
        ("diverged", "conv1.0.weight holds values that are no numbers", "conv1.0.weight holds values"),
        ("another", "no weights of this model: 0 of the model's 77", "it has none for 15 of 15 kernels"),
        ("more", "unknown are optimizer.step", ""),
        ("wider", r"conv1.0.weight for example \[3, 3, 3, 3\] and not", "size mismatch for conv1.0.weight"),
        ("empty", "holds no tensors", "holds no tensors"),
    ],
)
def test_others_are_refused_in_a_line(name: str, whole: str, features: str, network: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path, of_others(name, network))
    for start, said in ((Start(initial_checkpoint=path), whole), (Start(pretrained_path=path), features)):
        if not said:
            create(MODEL, 2, start)
            continue
        with pytest.raises(BadInput, match=said) as caught:
            create(MODEL, 2, start)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Repository not found", "it begins with the text 'Repository not found'"),
        (b"\x08\x07\x12\x07pytorch" + bytes(200), "it begins with the bytes 08 07 12 07"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "an HDF5 file"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04" + bytes(200), "torch.load"),
    ],
)
def test_what_is_no_safetensors_file_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    for start in (Start(initial_checkpoint=str(path)), Start(pretrained_path=str(path))):
        with pytest.raises(BadInput, match=said):
            create(MODEL, 2, start)


def test_a_file_that_was_cut_off_and_a_checkpoint_of_a_run(network: nn.Module, tmp_path: Path) -> None:
    path = Path(saved(tmp_path, network.state_dict()))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInput, match="It may have been cut off"):
        load_weights(network, path)
    checkpoint.save(path, {f"model.{name}": tensor for name, tensor in network.state_dict().items()}, {"epoch": 1})
    with pytest.raises(BadInput, match=r"checkpoint of a run.*model_best\.safetensors"):
        load_weights(network, path)


@pytest.mark.parametrize(
    ("name", "said"),
    [("w.pt", "save_file"), ("w.pth.tar", "save_file"), ("w.onnx", "exported"), ("w.h5", "Keras"), ("w.npz", "JAX"),
     ("w.safetensors.index.json", "all files into one dict"), ("w", "nothing is unpickled.$"),
     ("w-00001-of-00012.safetensors", "one of 12 files"), ("https://a.b/w.safetensors", "Download the file"),
     (".", "a folder"), ("hf-hub:a/b", "with --model hf-hub:a/b --pretrained")],
)  # fmt: skip
def test_other_endings_have_their_way_out(name: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        check_ending("--initial-checkpoint", name)
    check_ending("--initial-checkpoint", "model-00001-of-00001.safetensors")
