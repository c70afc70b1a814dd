"""Formats by prefix: names, numbers and files, Python files without running them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daas.augment import Policy
from daas.augment.importers import (
    PREFIXES,
    from_fast_autoaugment,
    from_timm,
    from_torchvision,
    import_policy,
    randaugment,
    trivialaugment,
)
from daas.errors import BadInput

LIST = [[("Rotate", 0.5, 0.7), ("Invert", 0.1, 0.2)]]


def test_names_and_numbers() -> None:
    assert import_policy("torchvision:svhn", image_size=32) == from_torchvision("svhn", 32)
    assert import_policy("randaugment:") == randaugment()
    assert import_policy("randaugment:num_ops=1,magnitude=4,num_magnitude_bins=11") == randaugment(1, 4, 11)
    assert import_policy("trivialaugment:", image_size=32) == trivialaugment(image_size=32)
    assert import_policy("trivialaugment:num_magnitude_bins=3") == trivialaugment(3)
    assert import_policy("timm:3a", leave_out=["GaussianBlurRand"]) == from_timm("3a", leave_out=["GaussianBlurRand"])


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("list.json", '[[["Rotate", 0.5, 0.7], ["Invert", 0.1, 0.2]]]', ""),
        ("list.txt", str(LIST), ""),
        ("a:b.txt", str(LIST).replace("0.7", "np.float64(0.7)").replace("0.1", "tensor(0.1)"), ""),
        ("a:b.py", f"SHORT = {LIST}\nOTHER = 1\n", ":SHORT"),
        ("genotype.py", f"import os\nSHORT = a_longer_name = {LIST}\nOTHER = [[('Invert', 1.0, 0.0)]]\n", ":SHORT"),
        ("archive.py", f"raise SystemExit\ndef policy():\n    p = {LIST}\n    return p\n", ":policy"),
    ],
)
@pytest.mark.parametrize("prefix", ["fast-autoaugment", "dada"])
def test_lists_in_files(prefix: str, file: str, text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(text)
    policy = import_policy(f"{prefix}:{tmp_path / file}{name}")
    assert isinstance(policy, Policy)
    assert policy.sub_policies == from_fast_autoaugment(LIST).sub_policies
    assert file + name in policy.source


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("cifar10", {}, "no known prefix; known are torchvision:NAME"),
        ("randaugment:num_ops=x", {}, "'num_ops=x' is not NAME=NUMBER"),
        ("randaugment:num_ops=\N{SUPERSCRIPT TWO}", {}, "is not NAME=NUMBER"),
        ("randaugment:num_ops=10000000", {}, "is not NAME=NUMBER"),
        ("randaugment:num_ops=100000", {}, "num_ops is 100000; it is 1 to 32"),
        ("randaugment:num_magnitude_bins=100000", {}, "num_magnitude_bins is 100000; it is 2 to 1000"),
        ("timm:rand-n100000", {"leave_out": ["SolarizeAdd"]}, "n is 100000; there are 1 to 32"),
        ("dada:{tmp}/odd.py:a", {}, "not made of literals"),
        ("trivialaugment:num_ops=2", {}, "one of the names num_magnitude_bins"),
        ("timm:original", {"image_size": 32}, "--image-size has no meaning for timm:"),
        ("torchvision:svhn", {"leave_out": ["Invert"]}, "--leave-out has no meaning"),
        ("pba:log.txt", {}, "say with --epochs how long the search was"),
        ("pba:none.txt", {"epochs": 10}, "none.txt: no such schedule file"),
        ("dada:none.py", {}, r"none\.py: no such"),
        ("dada:{tmp}/bad.py", {}, "neither JSON nor Python"),
        ("dada:{tmp}/two.py", {}, "which list.* one of the names a, b"),
        ("dada:{tmp}/two.py:c", {}, "has no 'c'; it has a, b"),
        ("dada:{tmp}/two.py:a", {}, "there are 0 lists"),
        ("dada:{tmp}/sum.py:a", {}, "sum.py:a: there are 2 lists in it"),
        ("dada:{tmp}/two.py:b", {}, "not made of literals"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("a = [")
    (tmp_path / "odd.py").write_text("a = [{[]: 1}]")
    (tmp_path / "two.py").write_text("a = 1\nb = [open]\n")
    (tmp_path / "sum.py").write_text(f"def a():\n    b = {LIST}\n    c = {LIST}\n    return b + c\n")
    with pytest.raises(BadInput, match=message):
        import_policy(text.format(tmp=tmp_path), **options)


def test_a_pba_log_needs_its_length_and_every_prefix_has_a_reader(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(str(["1", "0", 3, 3, [0] * 60, [5] * 60]))
    assert import_policy(f"pba:{tmp_path / 'log.txt'}", epochs=8).name == "pba_log"
    for prefix in PREFIXES:
        with pytest.raises(BadInput) as caught:
            import_policy(prefix.partition(":")[0] + ":?")
        assert "prefix" not in str(caught.value)
