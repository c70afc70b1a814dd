"""What the arguments of ``daas.search`` become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daas.models import Genotype, find_genotype
from daas.search.algorithm.method import model_arguments
from daas.search.api import settled

DATA = (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4) % 2)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (np.int64(2), 2),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (Path("runs/mine genotype.json"), "runs/mine genotype.json"),
        (find_genotype("darts_v2"), find_genotype("darts_v2").to_dict()),
        ("imagenet", "imagenet"),
        ((1, 2), (1, 2)),
        (None, None),
    ],
)
def test_arguments_of_a_model_come_out_as_they_went_in(value: Any, read: Any) -> None:
    config, _ = settled(DATA, network="daas_cell_cifar", model_kwargs={"argument": value, "channels": 4})
    found = model_arguments(config.model_kwargs)
    assert found == {"argument": read, "channels": 4}
    assert type(found["argument"]) is type(read)


def test_a_genotype_among_the_arguments_is_the_network() -> None:
    genotype = find_genotype("p_darts")
    config, _ = settled(DATA, network="daas_cell_cifar", model_kwargs={"genotype": genotype})
    assert Genotype.from_dict(model_arguments(config.model_kwargs)["genotype"]) == genotype
