"""What names, files and folders stand for a policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from daas.augment import DAASPolicy, PolicySchedule, Segment, find_policy, list_policies
from daas.errors import BadInput


def test_names_files_and_folders(tmp_path: Path) -> None:
    policy = find_policy("randaugment")
    policy.save(tmp_path / "policy.json")
    for name in (tmp_path / "policy.json", str(tmp_path / "policy.json"), tmp_path, f"local-dir:{tmp_path}"):
        assert find_policy(name) == policy
    assert DAASPolicy.load(tmp_path).policy == policy
    assert all(find_policy(name).name for name in list_policies())


def test_a_shipped_name_comes_before_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "randaugment").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_policy("randaugment").name == "randaugment"
    with pytest.raises(BadInput, match=r"randaugment: there is no policy\.json in it"):
        find_policy("local-dir:randaugment")


def test_what_is_none_is_said(tmp_path: Path) -> None:
    wrong = {
        "no_such": "'no_such' is neither shipped nor a file. Shipped are autoaugment_cifar10",
        "n" * 5000: "is neither shipped nor a file",
        "a\0b": "is neither shipped nor a file",
        "": "is neither shipped nor a file",
        str(tmp_path): r"there is no policy\.json in it. A search writes one",
        f"local-dir:{tmp_path / 'none'}": "none: no such folder",
    }
    for name, message in wrong.items():
        with pytest.raises(BadInput, match=message) as error:
            find_policy(name)
        assert len(str(error.value)) < 1000
    PolicySchedule("s", "a test", 4, (Segment(0, find_policy("randaugment")),)).save(tmp_path / "policy_schedule.json")
    with pytest.raises(BadInput, match=r"has a schedule \(policy_schedule\.json\)"):
        find_policy(tmp_path)


def test_a_screen_that_left_no_operation_is_said_to_have_left_none(tmp_path: Path) -> None:
    (tmp_path / "screen.json").write_text("{}")
    for name in (tmp_path, tmp_path / "policy.json", f"local-dir:{tmp_path}"):
        with pytest.raises(BadInput, match=r"the screen left no operation.*Train without a policy") as error:
            find_policy(name)
        assert str(tmp_path / "screen.html") in str(error.value)
    with pytest.raises(BadInput, match="neither shipped nor a file"):
        find_policy(tmp_path / "other.json")
