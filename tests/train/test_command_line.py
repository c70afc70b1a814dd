"""The command line of training: timm's names and defaults, files, recipes, clear refusals."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import yaml

from daas.errors import BadInput
from daas.train import TrainOptions, parse
from daas.train.checks import check
from daas.train.command_line import _parser, list_recipes, options_of, refused
from daas.train.output import as_json

RANK60 = Path(__file__).with_name("timm_rank60.txt").read_text().split()
DOCUMENTED = Path(__file__).with_name("timm_documented.txt").read_text().splitlines()
OURS = {
    "val_dir", "skip_bad_images", "aux_weight", "crop_padding", "aa_in_workers", "cutout", "drop_path_ramp", "validate",
    "tensorboard", "hflip_swap", "graph",
}  # fmt: skip
TIMM_DEFAULTS = {
    "model": "resnet50", "batch_size": 128, "lr": None, "epochs": 300, "weight_decay": 2e-5, "sched": "cosine",
    "aa": None, "reprob": 0.0, "remode": "pixel", "workers": 4, "opt": "sgd", "drop_path": None, "warmup_lr": 1e-5,
    "warmup_epochs": 5, "opt_eps": None, "decay_epochs": 90.0, "drop": 0.0, "model_ema_decay": 0.9998, "img_size": None,
    "decay_rate": 0.1, "num_classes": None, "cutmix": 0.0, "mixup": 0.0, "dist_bn": "reduce", "smoothing": 0.1,
    "min_lr": 0.0, "momentum": 0.9, "seed": 42, "clip_grad": None, "val_split": "validation", "mean": None, "std": None,
    "hflip": 0.5, "train_split": "train", "recount": 1, "cooldown_epochs": 0, "train_crop_mode": None,
    "scale": (0.08, 1.0), "ratio": (3 / 4, 4 / 3), "amp_dtype": "float16", "lr_base": 0.1, "lr_base_size": 256,
    "color_jitter": 0.4, "train_interpolation": "random", "mixup_switch_prob": 0.5, "lr_cycle_decay": 0.5,
}  # fmt: skip


def words(name: str) -> list[str]:
    """A flag with a value that differs from its default."""
    flag = "--" + name.replace("_", "-")
    option = {f.name: f for f in fields(TrainOptions)}[name]
    kind = str(option.type)
    if kind == "bool":
        return [flag]
    if option.metadata["choices"]:
        return [flag, next(c for c in option.metadata["choices"] if c not in ("", option.default))]
    if kind.startswith("dict"):
        return [flag, "a=1", 'b="x"', "c=text", "d=True", "e=[1, 2]"]
    value = "7" if "int" in kind or "float" in kind else "text"
    return [flag, *([value] * 3 if "tuple" in kind else [value])]


@pytest.mark.parametrize("flag", RANK60)
def test_every_flag_that_timm_users_need_is_parsed(flag: str, tmp_path: Path) -> None:
    if flag == "--config":
        (tmp_path / "c.yaml").write_text("lr: 3")
        assert parse([flag, str(tmp_path / "c.yaml")]).lr == 3
        return
    name = flag.removeprefix("--").replace("-", "_")
    assert getattr(parse(words(name)), name) != getattr(TrainOptions(), name)


def test_there_are_sixty_of_them() -> None:
    assert len(set(RANK60)) == 60


@pytest.mark.parametrize("name", [f.name for f in fields(TrainOptions)])
def test_every_option_has_a_flag_and_survives_a_file(name: str, tmp_path: Path) -> None:
    options = parse(words(name))
    changed = [f.name for f in fields(TrainOptions) if getattr(options, f.name) != getattr(TrainOptions(), f.name)]
    assert changed == [name]
    (tmp_path / "args.yaml").write_text(yaml.safe_dump(as_json(vars(options))))
    if name == "device_modules":
        with pytest.raises(BadInput, match="names code to import, which a file may not do"):
            parse(["--config", str(tmp_path / "args.yaml")])
    else:
        assert parse(["--config", str(tmp_path / "args.yaml")]) == options
    underscored = [words(name)[0].replace("-", "_").replace("__", "--", 1), *words(name)[1:]]
    assert parse(underscored) == options


def test_defaults_are_timms() -> None:
    assert {name: getattr(TrainOptions(), name) for name in TIMM_DEFAULTS} == TIMM_DEFAULTS


def test_help_is_grouped_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(["--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    for group in TrainOptions.__mro__[1:-1]:
        assert f"\n{(group.__doc__ or '').rstrip('.')}:\n" in text
        for option in fields(group):
            assert f"--{option.name.replace('_', '-')}" in text
    ours = {a.dest for a in _parser()._actions if a.help and "(*)" in a.help}
    assert ours - {"recipe", "train_crop_mode", "aa", "dataset", "sched"} == OURS


def test_model_kwargs_are_values() -> None:
    options = parse(words("model_kwargs"))
    assert options.model_kwargs == {"a": 1, "b": "x", "c": "text", "d": True, "e": [1, 2]}


def test_flags_override_a_file_and_a_file_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("batch-size: 17\nlr: 5e-1\nmodel_kwargs: {channels: 4}\n")
    options = parse(["--recipe", "cifar10", "--config", str(tmp_path / "c.yaml"), "--lr", "0.25"])
    assert (options.batch_size, options.lr, options.epochs) == (17, 0.25, 600)
    assert options.model_kwargs == {"channels": 4}
    assert parse(["--recipe", "cifar10", "--model-kwargs", "layers=3"]).model_kwargs == {
        **parse(["--recipe", "cifar10"]).model_kwargs, "layers": 3,
    }  # fmt: skip
    assert "a" not in TrainOptions().model_kwargs


@pytest.mark.parametrize("recipe", list_recipes())
def test_recipes_are_options_that_say_where_they_come_from(recipe: str) -> None:
    import daas

    text = (Path(daas.__file__).parent / "recipes" / f"{recipe}.yaml").read_text()
    assert "# Source:" in text
    options = parse(["--recipe", recipe])
    assert options != TrainOptions()
    assert set(yaml.safe_load(text)) <= {f.name for f in fields(TrainOptions)}


def test_the_papers_recipes_are_the_papers() -> None:
    for name in ("cifar10", "cifar100"):
        o = parse(["--recipe", name])
        assert (o.epochs, o.opt, o.lr, o.sched, o.batch_size, o.weight_decay) == (
            600,
            "momentum",
            0.025,
            "cosine",
            96,
            3e-4,
        )
        assert (o.aux_weight, o.drop_path, o.drop_path_ramp, o.cutout, o.model_kwargs["aux_head"]) == (
            0.4,
            0.2,
            True,
            16,
            True,
        )
    o = parse(["--recipe", "imagenet"])
    assert (o.epochs, o.batch_size, o.lr, o.smoothing, o.aux_weight) == (250, 1024, 0.5, 0.1, 0.4)
    epochs = {name: parse(["--recipe", name]).epochs for name in list_recipes()}
    assert {epochs[n] for n in epochs if n.startswith("wrn")} == {200}
    assert {epochs[n] for n in epochs if n.startswith(("shake", "pyramid"))} == {1800}


@pytest.mark.parametrize("flag", refused())
def test_flags_of_timm_that_are_not_taken_are_refused_by_name(flag: str, tmp_path: Path) -> None:
    reason = refused()[flag]["reason"]
    with pytest.raises(BadInput) as error:
        parse([flag, "1"])
    assert flag in str(error.value)
    assert reason in str(error.value)
    name = flag.removeprefix("--").replace("-", "_")
    (tmp_path / "timm.yaml").write_text(yaml.safe_dump({name: refused()[flag]["default"]}))
    assert parse(["--config", str(tmp_path / "timm.yaml")]) == TrainOptions()
    (tmp_path / "timm.yaml").write_text(f"{name}: other")
    with pytest.raises(BadInput, match="is not taken here"):
        parse(["--config", str(tmp_path / "timm.yaml")])


def test_taken_and_refused_flags_are_all_that_timm_has() -> None:
    assert not {f"--{f.name.replace('_', '-')}" for f in fields(TrainOptions)} & set(refused())
    assert all(f.default is not MISSING or f.default_factory is not MISSING for f in fields(TrainOptions))


def test_the_folder_may_stand_alone() -> None:
    assert parse(["photos"]).data_dir == "photos"
    with pytest.raises(BadInput, match="named twice"):
        parse(["photos", "--data-dir", "others"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--no-such-flag"], "unknown: --no-such-flag"),
        (["--lr", "fast"], "invalid float value"),
        (["--model-kwargs", "channels"], "expected NAME=VALUE"),
        (["--remode", "red"], "choose from"),
        (["--recipe", "cifar"], "there are .*cifar10"),
        (["--config", "nowhere.yaml"], "no such --config YAML file"),
        (["--grad-accum", "2"], "Did you mean --grad-accum-steps"),
    ],
)
def test_wrong_words_are_refused(argv: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        parse(argv)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no_such_option: 1", "unknown option no_such_option"),
        ("epochs: many", "epochs is 'many'; expected int"),
        ("amp: 1", "amp is 1; expected bool"),
        ("scale: 0.5", "expected a list of float"),
        ("remode: red", "expected one of const, rand, pixel"),
        ("- lr", "expected NAME: VALUE lines"),
        ("lr: [", "is no YAML"),
    ],
)
def test_wrong_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(BadInput, match=message):
        parse(["-c", str(tmp_path / "c.yaml")])


@pytest.mark.parametrize("command", DOCUMENTED)
def test_commands_of_timms_documentation_are_taken(command: str) -> None:
    options = parse(command.split())
    check(options)
    changed = [f.name for f in fields(TrainOptions) if getattr(options, f.name) != getattr(TrainOptions(), f.name)]
    assert len(changed) >= 7


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ("digits", "", "test")),
        (["photos"], ("", "photos", "validation")),
        (["--data-dir", "photos", "--val-split", "val"], ("", "photos", "val")),
        (["--dataset", "torch/cifar10"], ("torch/cifar10", "", "validation")),
        (["--dataset", "digits"], ("digits", "", "test")),
    ],
)
def test_images_that_are_named_win_over_those_of_a_recipe(words: list[str], expected: tuple[str, ...]) -> None:
    options = parse(["--recipe", "digits-cpu", *words, "--epochs", "1"])
    assert (options.dataset, options.data_dir, options.val_split) == expected
    assert options.img_size == 16  # the rest of the recipe stays
    named = options_of({"recipe": "digits-cpu", "data_dir": "photos"}, "here")
    assert (named.dataset, named.val_split, named.img_size) == ("", "validation", 16)
