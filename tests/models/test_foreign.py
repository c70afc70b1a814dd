"""Weights that other programs saved: taken under a network's own names, or refused with what they are."""

from __future__ import annotations

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
        ("another", "no weights of this model: 0 of the model's 92", "it has none for 15 of 15 kernels"),
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
     ("w.safetensors.index.json", "in one file"), ("w", "nothing is unpickled.$")],
)  # fmt: skip
def test_other_endings_have_their_way_out(name: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        check_ending("--initial-checkpoint", name)
