"""Options as dataclasses: command lines, files and keyword arguments."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from daas.errors import BadInput
from daas.options import add_options, name_values, o, typed
from daas.parser import Parser


@dataclass(frozen=True)
class Options:
    """How it goes."""

    out: Path = o(Path("runs"), "folder")
    rate: float | None = o(None, "speed", "-r")
    kind: Literal["fast", "slow"] = o("slow", "way", group="Ways")
    sizes: tuple[int, ...] = o((1, 2), "several")
    words: tuple[str, ...] = o((), "any number")
    extra: dict[str, Any] = o({}, "more")
    quick_start: bool = o(False, "a switch", group="Ways")
    no_start: bool = o(False, "another")
    compile: str | None = o(None, "with a value or without", const="inductor")


def parsed(*words: str) -> Options:
    parser = Parser(prog="it", usage="it [options]")
    add_options(parser, Options)
    return Options(**vars(parser.parse_args(words)))


def test_nothing_given_is_the_defaults() -> None:
    assert parsed() == Options()


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--out", "x"], "out", Path("x")),
        (["-r", "1e-3"], "rate", 1e-3),
        (["--kind", "fast"], "kind", "fast"),
        (["--sizes", "4", "5"], "sizes", (4, 5)),
        (["--words"], "words", ()),
        (["--words", "a", "b"], "words", ("a", "b")),
        (["--extra", "a=1", "--extra", "b=x"], "extra", {"a": 1, "b": "x"}),
        (["--quick-start"], "quick_start", True),
        (["--quick_start"], "quick_start", True),
        (["--quick-start", "--no-quick-start"], "quick_start", False),
        (["--no-start"], "no_start", True),
        (["--compile"], "compile", "inductor"),
        (["--compile", "eager"], "compile", "eager"),
    ],
)
def test_each_kind_of_option_is_read(words: list[str], name: str, value: object) -> None:
    assert getattr(parsed(*words), name) == value


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rat", "1"], "--rate"),
        (["--kind", "middling"], "fast"),
        (["--rate", "much"], "rate"),
        (["--extra", "a"], "NAME=VALUE"),
        (["--rate", "nan"], "nan is no finite number"),
        (["--out", ""], "an empty path"),
    ],
)
def test_a_wrong_word_is_bad_input_that_says_what_is_allowed(words: list[str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parsed(*words)


def test_help_is_in_groups_with_one_spelling_each(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    text = capsys.readouterr().out
    assert text.index("How it goes:") < text.index("Ways:") < text.index("  --kind")
    assert "--quick-start" in text
    assert "--quick_start" not in text
    assert "--no-quick" not in text
    assert "--no-start" in text
    assert "(default: 1 2)" in text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("0.5", 0.5), ("1e-3", 1e-3), ("true", True), ("False", False), ("None", None), ("null", None),
        ("relu", "relu"), ("'relu'", "relu"), ('"relu"', "relu"), ("[1, 2]", [1, 2]), ("(1, 2)", (1, 2)),
        ("a=b", "a=b"), ("", ""), ("[" * 5000, "[" * 5000),
    ],
)  # fmt: skip
def test_values_of_name_value(text: str, value: object) -> None:
    assert name_values([f"x={text}"], "--extra") == {"x": value}


def test_values_of_files_get_the_types_of_the_fields() -> None:
    values = {"out": "there", "rate": "1e-5", "sizes": [3], "kind": "fast", "quick_start": True, "extra": {"a": 1}}
    assert typed(Options, values, "file") == {**values, "out": Path("there"), "rate": 1e-5, "sizes": (3,)}
    assert typed(Options, {"rate": None}, "file") == {"rate": None}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rates": 1}, "rate"),
        ({"rate": float("inf")}, "expected a finite float"),
        ({"kind": "middling"}, "one of fast, slow"),
        ({"quick_start": 1}, "bool"),
        ({"sizes": 3}, "a list of int"),
        ({"out": 3}, "Path"),
    ],
)
def test_wrong_values_of_files_are_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        typed(Options, values, "the file")


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = (
        "from daas.options import leave; from daas.parser import Parser\n"
        "leave(lambda: Parser(prog='it', epilog='x ' * 200_000).parse_args(['--help']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_from_the_start_are_no_error(closed: str) -> None:
    code = (
        "import sys; from tqdm import tqdm; from daas.options import leave\n"
        "def main():\n"
        "    print('out', file=sys.stdout, flush=True); sys.stdout.flush(); sys.stderr.isatty()\n"
        "    tqdm.write('line')\n"
        "    return len(list(tqdm(range(3), disable=None)))\n"
        "leave(main)"
    )
    assert subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code], check=False).returncode == 3


@dataclass(frozen=True)
class Places:
    """Paths and texts."""

    out: Path = o(Path("runs"), "a folder")
    aa: str = o("", "a policy")
    kwargs: dict[str, Any] = o({}, "of a model")


def test_a_tilde_is_the_home_folder_where_no_shell_has_replaced_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    parser = Parser()
    add_options(parser, Places)
    read = parser.parse_args(["--out=~/runs", "--aa", "daas:~/policy.json", "--kwargs", "genotype=~/g.json", "act=a~b"])
    assert (read.out, read.aa) == (tmp_path / "runs", f"daas:{tmp_path}/policy.json")
    assert read.kwargs == {"genotype": f"{tmp_path}/g.json", "act": "a~b"}
    assert typed(Places, {"out": Path("~/runs"), "aa": "daas:~"}, "here") == {
        "out": tmp_path / "runs",
        "aa": f"daas:{tmp_path}",
    }
    assert typed(Places, {"aa": "fast-autoaugment:~/a.py:X"}, "here") == {"aa": f"fast-autoaugment:{tmp_path}/a.py:X"}
    assert typed(Places, {"out": "./~/runs"}, "here") == {"out": Path("./~/runs")}
