"""Options that change nothing are named; those that do are not."""

from __future__ import annotations

import pytest

from daas.train.build import learning_rate
from daas.train.command_line import list_recipes, options_of, parse
from daas.train.effects import beside_validation, without_effect, wrong_way
from daas.train.options import TrainOptions
from tests.train.conftest import Train
from tests.train.test_run import CHANGES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--amp-dtype bfloat16", "--amp-dtype has no effect without --amp."),
        ("--bce-sum --bce-pos-weight 2", "--bce-sum and --bce-pos-weight have no effect without --bce-loss."),
        ("--model-ema-warmup", "--model-ema-warmup has no effect without --model-ema."),
        ("--mixup 0.2 --mixup-switch-prob 0.1", "no effect without both --mixup and --cutmix"),
        ("--mixup-prob 0.1", "no effect without --mixup or --cutmix"),
        ("--clip-mode agc", "without --clip-grad"),
        ("--layer-decay-min-scale 0.1", "without --layer-decay"),
        ("--lr 0.1 --lr-base 0.2", "--lr-base has no effect beside --lr."),
        ("--decay-epochs 3 --patience-epochs 2", "have no effect with --sched cosine."),
        ("--sched onecycle --warmup-epochs 3 --cooldown-epochs 2", "have no effect with --sched onecycle."),
        ("--warmup-epochs 0 --warmup-lr 0.1", "--warmup-lr has no effect without --warmup-epochs."),
        ("--no-aug --cutout 8 --aa rand-m9", "--aa and --cutout have no effect beside --no-aug."),
        ("--aa daas:randaugment --color-jitter 0.3", "--color-jitter has no effect beside --aa."),
        ("--opt adamw --momentum 0.5", "--momentum has no effect with --opt adamw."),
        ("--opt-betas 0.5 0.9", "--opt-betas has no effect with --opt sgd."),
        ("--aux-weight 0.1", "without an auxiliary classifier"),
        ("--lr 0", "nothing is learned"),
        ("--torchcompile eager --torchcompile-mode max-autotune", "-mode has no effect with --torchcompile eager."),
    ],
)
def test_what_changes_nothing_is_said(words: str, said: str) -> None:
    (sentence,) = without_effect(parse(words.split()))
    assert said in sentence


def test_beside_validation_the_options_of_trainings_are_named() -> None:
    read = "--validate best.safetensors --train-crop-mode pad --bn-eps 0.1 --amp --img-size 32 --val-dir photos -vb 8"
    assert beside_validation(parse(read.split())) == ""
    many = "--pretrained --opt adamw --lr 0.1 --epochs 3 --cutmix 1 --reprob 0.2 --drop 0.1"
    assert beside_validation(parse(many.split())) == (
        "--pretrained, --opt, --epochs, --lr, --reprob and 2 others have no effect with --validate."
    )


def test_what_changes_something_is_not() -> None:
    for words in CHANGES:
        assert without_effect(parse(words.split())) == [], words
    for words in (
        "--torchcompile --torchcompile-mode reduce-overhead",
        "--aa rand-m9-3a1 --color-jitter 0.3",
        "--opt lookahead_adamw --opt-betas 0.5 0.9",
        "--opt unheard",
    ):
        assert without_effect(parse(words.split())) == [], words


@pytest.mark.parametrize("recipe", list_recipes())
def test_recipes_hold_nothing_of_the_kind(recipe: str) -> None:
    options = options_of({"recipe": recipe}, "here")
    assert without_effect(options, auxiliary=bool(options.model_kwargs.get("aux_head"))) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--lr 0.001 --min-lr 0.1", ["--min-lr 0.1 is above the learning rate 0.001"]),
        ("--lr-base 0.001 --min-lr 0.1 -b 256", ["--min-lr 0.1 is above the learning rate 0.001"]),
        ("--lr 0.00001 --warmup-lr 0.001", ["--warmup-lr 0.001 is above the learning rate 1e-05"]),
        ("--lr 0.1 --min-lr 0.1 --warmup-lr 0.1", []),
        ("--lr 0.001 --warmup-lr 0.1 --warmup-epochs 0", []),
        ("--lr 0.001 --min-lr 0.1 --warmup-lr 0.1 --sched none", []),
        ("--lr 0.001 --min-lr 0.1 --sched step", []),
    ],
)
def test_rates_that_go_the_wrong_way_are_said(words: str, said: list[str]) -> None:
    options = parse(words.split())
    found = wrong_way(options, learning_rate(options, 1))
    assert [text.split(",")[0] for text in found] == said


def test_a_training_says_it_once(run_train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_train("--bce-sum", "--epochs", "1", "--min-lr", "0.1")[0] == 0
    said = capsys.readouterr().err
    assert said.count("Warning: --bce-sum has no effect without --bce-loss.") == 1
    assert said.count("Warning: --min-lr 0.1 is above the learning rate 0.05, which rises") == 1
    assert without_effect(TrainOptions()) == []
