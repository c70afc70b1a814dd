"""--validate: the accuracy of weights that are there, and nothing else that is needed."""

from __future__ import annotations

import csv

import pytest
import timm
from timm.models import register_model
from torch import nn

from tests.conftest import register_small_convnet
from tests.train.conftest import Train


def test_validate_gives_the_accuracy_of_the_training(run_train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run_train()
    top1 = float(list(csv.DictReader((out / "summary.csv").open()))[-1]["eval_top1"])
    capsys.readouterr()
    assert run_train("--validate", str(out / "last.safetensors"), "--mixup", "0.2", "--resume", "auto")[0] == 0
    said = capsys.readouterr()
    assert f"top-1 {top1:.2f}%, " in said.out
    assert "Warning: --resume, --epochs, --lr and --mixup have no effect with --validate." in said.err


@register_model
def daas_test_out_of_reach(pretrained: bool = False, **kwargs: int) -> nn.Module:
    """The pretrained weights of this one are where nobody can get them."""
    if pretrained:
        raise ConnectionError("the Hub is out of reach")
    return timm.create_model(register_small_convnet(), **kwargs)


@pytest.mark.parametrize("more", [["--pretrained"], ["--pretrained-path", "gone.safetensors"]])
def test_weights_that_are_validated_need_no_others(
    run_train: Train, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = run_train("--model", "daas_test_out_of_reach", "--epochs", "1")
    words = ["--model", "daas_test_out_of_reach", *more]
    assert run_train(*words, out="new")[0] == 2
    assert run_train(*words, "--validate", str(out / "last.safetensors"))[0] == 0
    top1 = float(next(csv.DictReader((out / "summary.csv").open()))["eval_top1"])
    assert f"top-1 {top1:.2f}%, " in capsys.readouterr().out
