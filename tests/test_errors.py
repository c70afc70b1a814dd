"""Messages are one line, unknown names get the nearest known one, and a lack of memory is said."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

import daas
from daas.errors import BadInput, memory_told
from daas.models.own import refuse_lazy


def test_a_message_is_one_line() -> None:
    assert str(BadInput("there is no class a\nb\x1b[2J")) == r"there is no class a\nb\x1b[2J"


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda: daas.race("digits", epoch=1), "daas.race: unknown option epoch. Did you mean epochs"),
        (lambda: daas.CellSpace(chanels=0), "CellSpace: unknown option chanels. Did you mean channels"),
        (lambda: daas.PolicySpace(slot=2), "Did you mean slots"),
        (
            lambda: timm.create_model("daas_cell_cifar", chanels=3),
            "unknown option chanels. Did you mean channels",
        ),
        (lambda: timm.create_model("wide_resnet40_2_cifar", widht=3), "unknown option widht"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(call, meant: str) -> None:
    with pytest.raises(BadInput, match=meant):
        call()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_a_lack_of_memory_is_bad_input(error: Exception) -> None:
    with pytest.raises(BadInput, match=r"not enough memory .*smaller batches"), memory_told():
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_told():
        raise RuntimeError("shapes")


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("make", [lambda: nn.LazyLinear(3), lambda: torch.jit.script(nn.Linear(2, 2))])
def test_lazy_and_scripted_networks_are_refused(make) -> None:
    network = make()
    with pytest.raises(BadInput, match="lazy or scripted"):
        refuse_lazy(network)
    with pytest.raises(BadInput, match="lazy or scripted"):
        daas.race("digits", ["none", "none,hflip=0"], network=network, trainings=2)
    with pytest.raises(BadInput, match="lazy or scripted"):
        daas.screen("digits", network=network)
