"""The command line of training: timm's names, YAML defaults, clear refusals."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from daas.errors import BadInput
from daas.train import TrainOptions, parse


def test_every_option_has_a_flag() -> None:
    for option in fields(TrainOptions):
        default = getattr(TrainOptions(), option.name)
        flag = "--" + option.name.replace("_", "-")
        if option.name == "model_kwargs":
            assert parse([flag, "a=1", 'b="x"', "c=text", "d=True"]).model_kwargs == {
                "a": 1, "b": "x", "c": "text", "d": True,
            }  # fmt: skip
        elif option.name in ("mean", "std"):
            assert getattr(parse([flag, "0.1", "0.2", "0.3"]), option.name) == [0.1, 0.2, 0.3]
        elif isinstance(default, bool):
            assert getattr(parse([flag]), option.name) is True
        else:
            text = "7" if "int" in str(option.type) or "float" in str(option.type) else "text"
            assert str(getattr(parse([flag, text]), option.name)) in (text, "7.0")


def test_yaml_gives_defaults_that_the_command_line_overrides(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("batch-size: 17\nlr: 0.5\nmodel_kwargs: {channels: 4}\n")
    options = parse(["--config", str(tmp_path / "c.yaml"), "--lr", "0.25"])
    assert (options.batch_size, options.lr, options.model_kwargs) == (17, 0.25, {"channels": 4})
    (tmp_path / "c.yaml").write_text("no_such_option: 1\n")
    with pytest.raises(BadInput, match="unknown options no_such_option"):
        parse(["-c", str(tmp_path / "c.yaml")])


@pytest.mark.parametrize("argv", [["--no-such-flag"], ["--lr", "fast"], ["--model-kwargs", "channels"]])
def test_wrong_words_are_refused(argv: list[str]) -> None:
    with pytest.raises(BadInput):
        parse(argv)
