"""Networks begin with the weights that are named, whatever name a model has."""

from __future__ import annotations

import errno
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

from daas.errors import BadInput
from daas.models.start import Start, create, known_config, own_size, used_to
from daas.train.output import save_weights
from tests.conftest import saved_network

MODEL = "test_resnet"


@pytest.fixture
def saved(tmp_path: Path) -> tuple[torch.nn.Module, Path]:
    """A small network of three classes, and its folder."""
    return saved_network(tmp_path / "saved")


def test_a_folder_gives_its_weights(saved: tuple[torch.nn.Module, Path]) -> None:
    network, folder = saved
    images = torch.rand(2, 3, 32, 32)
    same = create(f"local-dir:{folder}", 3, Start(pretrained=True)).eval()
    assert torch.equal(same(images), network.eval()(images))
    assert not torch.equal(create(f"local-dir:{folder}", 3).eval()(images), network(images))


def test_weights_may_be_the_very_numbers_that_the_network_begins_with(saved: tuple[torch.nn.Module, Path]) -> None:
    """A network that was saved untrained, and is made again from the same seed."""
    network, folder = saved
    torch.manual_seed(0)  # as saved_network
    made = create(f"local-dir:{folder}", 3, Start(pretrained=True)).eval()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in made.state_dict().items())


def test_a_file_gives_all_but_the_classifier(saved: tuple[torch.nn.Module, Path]) -> None:
    network, folder = saved
    path = str(folder / "model.safetensors")
    made = create(MODEL, 3, Start(pretrained_path=path))
    same = {name for name, value in made.state_dict().items() if torch.equal(value, network.state_dict()[name])}
    assert "conv1.0.weight" in same
    assert "fc.weight" not in same
    assert create(MODEL, 5, Start(pretrained_path=path)).num_classes == 5


def test_a_checkpoint_gives_its_classifier_in_the_order_of_the_classes(tmp_path: Path) -> None:
    network = create(MODEL, 3)
    save_weights(network, tmp_path / "w.safetensors", ("ape", "bee", "cow"))
    start = Start(initial_checkpoint=str(tmp_path / "w.safetensors"))
    made = create(MODEL, 3, start, ("cow", "ape", "bee"))
    assert torch.equal(made.fc.weight, network.fc.weight[[2, 0, 1]])
    assert torch.equal(create(MODEL, 3, start, ("ape", "bee", "cow")).fc.weight, network.fc.weight)
    with pytest.raises(BadInput, match="other classes"):
        create(MODEL, 3, start, ("ape", "bee", "dog"))


def test_a_checkpoint_is_all_that_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretrained weights that a file replaces whole need no network."""
    save_weights(create(MODEL, 3), tmp_path / "w.safetensors", ("a", "b", "c"))
    asked = []
    original = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: asked.append(k["pretrained"]) or original(*a, **k))
    create(MODEL, 3, Start(pretrained=True, initial_checkpoint=str(tmp_path / "w.safetensors")))
    assert asked == [False]


def test_what_weights_are_used_to(tmp_path: Path) -> None:
    model = timm.create_model(MODEL, num_classes=3)
    model.pretrained_cfg = {**model.pretrained_cfg, "mean": (0.1, 0.2, 0.3), "input_size": (3, 48, 48)}
    save_for_hf(model, str(tmp_path), safe_serialization=True)
    name = f"local-dir:{tmp_path}"
    used = used_to(name, Start(pretrained=True))
    assert used is not None
    assert used[0] == (0.1, 0.2, 0.3)
    assert own_size(name, Start(pretrained=True)) == 48
    assert used_to(name, Start()) is None
    assert own_size(name, Start()) is None


def test_out_of_reach_says_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BadInput, match=r"its weights are not on this computer.*--pretrained-path.*local-dir:FOLDER"):
        create("resnet18", 3, Start(pretrained=True))
    with pytest.raises(BadInput, match="hf download nobody/nothing --local-dir FOLDER"):
        create("hf-hub:nobody/nothing", 3)


@pytest.mark.parametrize(
    ("start", "model", "message"),
    [
        (Start(pretrained=True), "", "--pretrained needs --model"),
        (Start(initial_checkpoint="w.pth"), MODEL, "--initial-checkpoint w.pth: weights are read from .safetensors"),
        (Start(pretrained_path="w.bin"), MODEL, "--pretrained-path w.bin: weights"),
    ],
)
def test_options_that_cannot_be(start: Start, model: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        start.check(model)


def test_names_and_files_that_lead_nowhere(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none.safetensors")
    for start, said in (
        (Start(pretrained_path=nowhere), "--pretrained-path"),
        (Start(False, "", nowhere), "--initial"),
    ):
        with pytest.raises(BadInput, match=f"{said}.*there is no such file"):
            create(MODEL, 3, start)
    with pytest.raises(BadInput, match="No pretrained weights"):
        create("wide_resnet40_2_cifar", 3, Start(pretrained=True))
    for name in ("timm/vgg_a", "https://huggingface.co/timm/vgg_a", "huggingface.co/timm/vgg_a/tree/main"):
        with pytest.raises(BadInput, match=r"A repository of the Hub is hf-hub:timm/vgg_a\.$"):
            known_config(name)
    with pytest.raises(BadInput, match="unknown to timm; near it: resnet18"):
        known_config("resnet17")
    with pytest.raises(BadInput, match=r"no weights 'none' of test_resnet\. It has test_resnet\.r160_in1k\."):
        known_config("test_resnet.none")


def test_a_configuration_with_a_mark_is_no_fault_of_the_network(saved: tuple[torch.nn.Module, Path]) -> None:
    config = saved[1] / "config.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    with pytest.raises(BadInput, match="begins with a byte order mark"):
        create(f"local-dir:{saved[1]}", 3)


def test_a_folder_whose_weights_are_of_other_classes_or_names(saved: tuple[torch.nn.Module, Path]) -> None:
    network, folder = saved
    name, path = f"local-dir:{folder}", folder / "model.safetensors"
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    save_file({f"model.{key}": tensor for key, tensor in state.items()}, path)
    assert torch.equal(create(name, 3, Start(pretrained=True)).fc.weight, network.fc.weight)
    save_file({f"elsewhere.{key}.x": tensor for key, tensor in state.items()}, path)
    with pytest.raises(BadInput, match="has none for 15 of 15 kernels"):  # timm would begin at random
        create(name, 2, Start(pretrained=True))
    save_file(state | {"fc.weight": torch.zeros(5, 96), "fc.bias": torch.zeros(5)}, path)
    with pytest.raises(BadInput, match=r"says 3 classes, and fc\.weight in model\.safetensors has 5"):
        create(name, 3, Start(pretrained=True))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadInput, match=r"no whole safetensors file .*download it again"):
        known_config(name)


def test_a_cache_that_may_not_be_written_says_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/home/ada/.cache/huggingface/token")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(BadInput, match=r"huggingface/token.*set HF_HOME to a folder of your own"):
        create("resnet10t", 3, Start(pretrained=True))
