"""A search that ends with an answer: screen, search, race, each resumable, with results where they belong."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import Dataset

import daas
from daas.augment import Policy
from daas.data import images_from
from daas.errors import BadInput
from daas.models import Genotype
from daas.race.candidates import CELLS, Network
from daas.race.journal import Journal
from daas.race.sets import Setting
from daas.race.statistics import Score
from daas.race.training import Trainer
from daas.screen.options import ScreenOptions
from daas.screen.result import Screen, Seen
from daas.search.__main__ import main
from daas.search.given import Given
from daas.search.options import SearchConfig
from daas.search.options import parse as options_of
from daas.search.report.commands import commands
from daas.search.runs import one
from daas.seeds import generator
from daas.train import parse
from daas.whole import racing, screening
from tests.conftest import SHORT_SEARCH

FILES = ("genotype.json", "policy.json", "screen/screen.json", "race/race.json", "race/policy.json")
ROOT = Path(__file__).parents[2]
WHOLE = [*SHORT_SEARCH, "--max-steps", "4", "--screen", "--race", "4", "--race-epochs", "1", "--race-workers", "1"]


@pytest.mark.parametrize("preset", ["demo", "cpu"])
def test_a_search_that_is_cut_short_is_a_trial(preset: str) -> None:
    usual = options_of(["--preset", preset, "--dataset", "digits"])
    assert usual.screen
    assert usual.race > 0
    trial = options_of(["--preset", preset, "--dataset", "digits", "--max-steps", "3"])
    assert (trial.screen, trial.race, trial.race_epochs) == (False, 0, None)
    asked = options_of(["--preset", preset, "--dataset", "digits", "--max-steps", "3", "--screen", "--race", "4"])
    assert (asked.screen, asked.race) == (True, 4)
    assert SearchConfig(preset=preset, max_steps=3).race == 0  # from Python, too


def seen_of(*found: tuple[str, str, float | None], share: float | None = 0.5) -> Screen:
    rows = tuple(
        Seen(op, verdict, 50.0, 60.0, 1.0, (0.0, 2.0), 1.0, 0.0, share, 0.1, limit)  # type: ignore[arg-type]
        for op, verdict, limit in found
    )
    return Screen({"accuracy": 90.0, "confidence": 90.0}, rows, {"operations": {}, "data": {}})


def quickly() -> None:
    """The command in a process of its own."""
    screening.ScreenOptions = _options  # type: ignore[misc,assignment]
    main([*WHOLE, *sys.argv[1:], "--resume", "auto"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, quick_screen: None) -> Path:
    """The folder of a whole search that nothing interrupted; for reading only."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main([*WHOLE, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def quick_screen() -> object:
    """Screens of two epochs."""
    patch = pytest.MonkeyPatch()
    patch.setattr(screening, "ScreenOptions", _options)
    yield
    patch.undo()


def _options(**values: object) -> ScreenOptions:
    return ScreenOptions(**values, epochs=2, operations=("HFlip", "Rotate", "Invert"))  # type: ignore[arg-type]


def test_the_stages_lie_below_the_folder_and_in_the_summary(whole: Path) -> None:
    assert all((whole / name).is_file() for name in (*FILES[:4], "report.html", "race/race.html", "screen/screen.html"))
    assert "Below is what the search has found; what whole" in (whole / "report.html").read_text(encoding="utf-8")
    summary = json.loads((whole / "summary.json").read_text())
    raced = json.loads((whole / "race" / "race.json").read_text())
    assert summary["options"]["hflip"] == json.loads((whole / "screen" / "screen.json").read_text())["flip"]
    assert summary["race"]["trainings"] == raced["trainings"] == 4
    names = [entry["policy"] for entry in raced["candidates"]]
    assert "policies/found.json" in names
    assert "none" in names
    assert Policy.load(whole / "race" / "policies" / "found.json") == Policy.load(whole / "policy.json")
    assert "policy_gain" not in summary  # whole trainings say more
    train = parse(shlex.split(commands(whole, summary, True, True)["train"])[2:])
    assert train.hflip == raced["chosen"]["hflip"]
    assert (train.aa or "") == (f"daas:{whole}/race/policy.json" if (whole / "race" / "policy.json").exists() else "")
    assert (train.epochs, train.img_size) == (1, 16)


def test_killed_between_and_within_stages_it_ends_the_same(whole: Path, tmp_path: Path) -> None:
    """After the screen; in the search; and with one of the race's four trainings done."""
    out = tmp_path / "run"
    shutil.copytree(whole / "screen", out / "screen")
    assert main([*WHOLE, "--max-steps", "2", "--race", "0", "--out", str(out), "--resume", "auto"]) == 0
    child = subprocess.Popen(
        [sys.executable, "-c", "from tests.whole.test_run import quickly; quickly()", "--out", str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}, cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert child.stdout is not None
    assert any(line.startswith("training 1") for line in child.stdout)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not (out / "race" / "race.json").exists()
    assert main([*WHOLE, "--out", str(out), "--resume", "auto"]) == 0
    for name in FILES:
        if name == "race/race.json":
            before, after = (json.loads((folder / name).read_text()) for folder in (whole, out))
            assert {**before, "seconds": 0} == {**after, "seconds": 0}
        elif (whole / name).exists():
            assert (whole / name).read_bytes() == (out / name).read_bytes(), name


def test_control_c_in_the_race_is_130_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(racing, "race", stopped)
    words = [*WHOLE, "--no-screen", "--max-steps", "1", "--out", str(tmp_path / "run")]
    assert main(words) == 130
    said = capsys.readouterr()
    assert "--resume auto goes on" in said.err
    assert "Stage 1 of 2, search" in said.out
    assert "Stage 2 of 2, race" in said.out


def test_a_folder_of_another_run_is_left_alone(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.time()
    assert main([*WHOLE, "--out", str(whole)]) == 2
    assert "holds another run" in capsys.readouterr().err
    searched = tmp_path / "searched"
    assert main([*SHORT_SEARCH, "--max-steps", "1", "--out", str(searched)]) == 0
    assert main([*WHOLE, "--out", str(searched), "--resume", "auto"]) == 2
    assert "began without a screen" in capsys.readouterr().err
    assert time.time() - started < 120


@pytest.mark.parametrize("race", ["0", "4"])
def test_too_few_images_for_a_batch_are_told_before_the_screen(
    race: str, two_classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--preset", "cpu", "--data-dir", str(two_classes), "--race", race, "--out", str(tmp_path / "out")]
    assert main(words) == 2
    told = capsys.readouterr()
    assert "has 80 images, of which a half is for validation: the other has 40, fewer than one batch of 64." in told.err
    assert "Use --batch-size 10, or more images." in told.err
    assert "Stage" not in told.out + told.err
    assert not (tmp_path / "out").exists()


def test_too_few_images_for_the_screen_are_told_with_the_way_out(tmp_path: Path) -> None:
    images = torch.zeros(16, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(BadInput, match=r"needs at least 10\. --no-screen \(screen=False\) searches without it"):
        daas.search(
            (images, torch.arange(16) % 2), batch_size=4, max_steps=1, screen=True, race=0, out=tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_a_screen_that_diverged_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverged(*_: object) -> Screen:
        raise FloatingPointError("the loss is nan.")

    monkeypatch.setattr(screening, "run", diverged)
    images = torch.zeros(40, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(FloatingPointError, match=r"in the screen, the loss is nan\. --no-screen searches without it"):
        daas.search((images, torch.arange(40) % 2), batch_size=4, max_steps=1, race=0, screen=True)


def test_however_many_classes_there_are_the_screen_has_images_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def caught(options: ScreenOptions, _: object) -> Screen:
        asked.append(options.max_images)
        raise BadInput("caught")

    monkeypatch.setattr(screening, "run", caught)
    for classes in (5, 400):
        images = torch.zeros(classes * 6, 3, 8, 8, dtype=torch.uint8)
        with pytest.raises(BadInput, match="caught"):
            daas.search((images, torch.arange(classes * 6) % classes), batch_size=4, max_steps=1, race=0, screen=True)
    assert asked == [1000, 1600]


def test_the_papers_presets_neither_screen_nor_race() -> None:
    for preset in ("paper-cifar10", "paper-cifar100", "paper-imagenet"):
        config = SearchConfig(preset=preset)
        assert (config.screen, config.race) == (False, 0)
    assert [(SearchConfig(preset=p).screen, SearchConfig(preset=p).race) for p in ("demo", "cpu")] == [
        (True, 8), (True, 12),
    ]  # fmt: skip
    with pytest.raises(BadInput, match="at least 2 trainings"):
        SearchConfig(dataset="digits", race=1).check()


def test_without_both_it_is_the_search_alone(whole_search: Path, tmp_path: Path) -> None:
    config = SearchConfig(out=tmp_path / "run", **_short())
    one.search(config)
    assert (tmp_path / "run" / "genotype.json").read_bytes() == (whole_search / "genotype.json").read_bytes()
    assert not (whole_search / "screen").exists()


def _short() -> dict[str, object]:
    names = [word[2:].replace("-", "_") for word in SHORT_SEARCH[0:-3:2]]
    values = [int(word) if word.isdigit() else word for word in SHORT_SEARCH[1:-3:2]]
    return dict(zip(names, values, strict=True)) | {"screen": False, "race": 0}


def test_what_the_screen_forbids_is_not_searched() -> None:
    seen = seen_of(
        ("HFlip", "changes the label", None), ("Rotate", "harmless", 12.0), ("Invert", "changes the label", None)
    )
    config, given = screening.narrowed(SearchConfig(dataset="digits"), Given(), seen)
    assert config.hflip == 0.0
    assert "Invert" not in given.space.operations
    assert "Rotate" in given.space.operations
    kept, _ = screening.narrowed(SearchConfig(dataset="digits", hflip=0.3), Given(), seen)
    assert kept.hflip == 0.3


def test_magnitudes_stay_within_the_safe_range() -> None:
    space = daas.PolicySpace(
        slots=1, operations=["Rotate", "Contrast", "Invert"], limits={"Rotate": 12.0, "Contrast": 1.5}
    )
    found = space.distribution()
    assert float(found.table[0].max()) == 12.0
    assert (float(found.table[1].min()), float(found.table[1].max())) == pytest.approx((0.5, 1.5))
    with pytest.raises(BadInput, match="limits for Shear"):
        daas.PolicySpace(operations=["Rotate", "Invert"], limits={"Shear": 1.0})
    with pytest.raises(BadInput, match="no magnitude"):
        daas.PolicySpace(operations=["Rotate", "Invert"], limits={"Invert": 1.0})


def test_a_screen_that_cannot_read_the_images_forbids_nothing() -> None:
    seen = seen_of(("Invert", "unclear", None), ("Rotate", "unclear", 0.0), share=None)
    _, given = screening.narrowed(SearchConfig(dataset="digits"), Given(), seen)
    assert given.space == Given().space


def test_a_screen_that_leaves_too_little_says_the_way_out() -> None:
    space = daas.PolicySpace(operations=["Rotate", "Invert"])
    seen = seen_of(("Invert", "changes the label", None))
    with pytest.raises(BadInput, match="--mode arch"):
        screening.narrowed(SearchConfig(dataset="digits"), replace(Given(), space=space), seen)


def test_the_found_policy_races_first_and_weaker_with_every_flip() -> None:
    setting = Setting(Network("resnet18", "resnet18"), 32, 10)
    own = Policy.of_operations(["Rotate", "Color"])
    words = [one.policy_words for one in racing.entrants(setting, own, "found")]
    assert words == [
        "found, flip", "found, no flip", "all operations, flip", "all operations, no flip", "none, flip",
        "none, no flip", "trivialaugment, flip", "trivialaugment, no flip", "found, half as strong, flip",
        "found, half as strong, no flip",
    ]  # fmt: skip
    assert racing.entrants(setting, None, "given")[0].policy_name == "all operations"


def test_published_cells_race_against_found_ones() -> None:
    own, net = Policy.of_operations(["Rotate", "Color"]), network({"channels": 8, "layers": 5})
    cells = racing.published(net, SearchConfig(preset="cpu"), 3, None)
    assert cells is not None
    words = [one.name for one in racing.entrants(Setting(net, 32, 20), own, "found", cells)]
    assert words == [
        f"{who}, {flip}"
        for who in (
            "found: found", "darts_v2_cifar: all operations", "darts_v2_cifar: none", "darts_v2_cifar: randaugment",
            "found: all operations", "darts_v2_cifar: trivialaugment", "darts_v2_cifar: autoaugment_cifar10",
            "found: found, half as strong", "found: none", "found: trivialaugment",
        )
        for flip in ("flip", "no flip")
    ]  # fmt: skip
    few = racing.entrants(Setting(net, 32, 3), own, "found", cells)
    assert [one.name for one in few] == ["found: found, flip", "found: found, no flip", "darts_v2_cifar: none, flip"]
    alone = racing.entrants(Setting(net, 32, 12), None, "given", cells)
    assert [one.name for one in alone[:8:2]] == words[2:10:2]


def test_published_cells_race_under_none_once_where_no_operation_is_safe() -> None:
    net = network({"channels": 8, "layers": 5})
    cells = racing.published(net, SearchConfig(preset="cpu"), 3, None)
    screened = seen_of(("HFlip", "harmless", None))  # one flip, and nothing else that may be done
    entered = racing.entrants(Setting(net, 32, 100, screened), Policy.of_operations(["Rotate"]), "found", cells)
    assert [one.name for one in entered[:5]] == [
        "found: found, flip", "darts_v2_cifar: none, flip", "darts_v2_cifar: randaugment, flip",
        "darts_v2_cifar: trivialaugment, flip", "found: none, flip",
    ]  # fmt: skip
    assert len({one.name for one in entered}) == len(entered)


@pytest.mark.parametrize("layers", [3, 4, 5, 8])
def test_published_cells_are_as_large_and_as_deep(layers: int) -> None:
    net = network({"channels": 8, "layers": layers})
    cells = racing.published(net, SearchConfig(preset="cpu"), 10, None)
    assert cells is not None
    assert abs(cells.parameters(10) / net.parameters(10) - 1) <= 0.1
    assert dict(cells.kwargs)["layers"] == layers


def test_published_cells_keep_to_the_limit_of_a_search() -> None:
    net = network({"channels": 8, "layers": 4})
    own, free = net.parameters(10), racing.published(net, SearchConfig(preset="cpu"), 10, None)
    assert free is not None
    assert free.parameters(10) > own
    held = racing.published(net, SearchConfig(preset="cpu", max_params=str(own)), 10, None)
    assert held is not None
    assert 0.9 * own <= held.parameters(10) <= own


def test_published_cells_stay_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, config = network({"channels": 8, "layers": 5}), SearchConfig(preset="cpu")
    assert racing.published(Network("resnet18", "resnet18"), config, 3, None) is None
    for limited in (SearchConfig(preset="cpu", max_macs="1G"), SearchConfig(preset="paper-cifar10")):
        assert racing.published(net, limited, 3, None) is None
    assert racing.published(net, config, 3, tmp_path) is not None
    Journal(tmp_path / "empty", [])  # ended before it had said what races
    assert racing.published(net, config, 3, tmp_path / "empty") is not None
    for names in (["found: none, flip"], ["found: none, flip", "darts_v2_cifar: none, flip"]):
        folder = tmp_path / str(len(names))
        Journal(folder, names).agree({"candidates": names})
        assert (racing.published(net, config, 3, folder) is not None) == (len(names) == 2)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("daas.race.sizes.TOLERANCE", 0.0)
    assert racing.published(net, config, 3, None) is None
    assert "about as many weights: found cells race alone" in capsys.readouterr().out


def test_a_race_of_other_candidates_is_named_with_the_way_out(tmp_path: Path) -> None:
    racing._check_begun(None, ["a"])
    racing._check_begun(tmp_path, ["a"])
    Journal(tmp_path, ["a", "b"]).agree({"candidates": ["a", "b"]})
    racing._check_begun(tmp_path, ["a", "b"])
    with pytest.raises(BadInput, match=r"begun with other candidates \(a, b\).*races b, a\. Move .*--resume auto"):
        racing._check_begun(tmp_path, ["b", "a"])


@pytest.mark.parametrize("winner", ["darts_v2_cifar", "searched"])
def test_the_command_trains_the_cells_that_won(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, winner: str) -> None:
    def score(self: Trainer, candidate: int, run: int) -> Score:
        won = self.candidates[candidate].network.name == winner
        return Score(90.0 if won else 50.0, 0.1 + run / 100 if won else 1.0 + candidate / 100, 1.0)

    monkeypatch.setattr(Trainer, "__call__", score)
    options = {
        "screen": False,
        "race": 24,
        "race_epochs": 1,
        "max_images": 200,
        "max_steps": 2,
        "out": tmp_path / "run",
    }
    space = daas.CellSpace(channels=8, layers=3)
    found = daas.search("digits", preset="demo", network=space, **options)
    assert found.race.network == winner
    said = json.loads((tmp_path / "run" / "summary.json").read_text())["race"]
    assert said["chosen"].startswith(f"{winner}: ")
    assert said["shelf"].startswith("darts_v2_cifar: ")
    words = commands(tmp_path / "run", found.summary, True, True)["train"]
    model = parse(shlex.split(words)[2:])
    assert model.model == ("darts_v2_cifar" if winner == "darts_v2_cifar" else "daas_cell_cifar")
    assert ("genotype" in model.model_kwargs) == (winner == "searched")
    assert (tmp_path / "run" / "race" / "genotype.json").exists() == (winner == "searched")
    again = daas.search("digits", preset="demo", network=space, resume="auto", **options)
    assert again.summary["race"] == said


def network(size: dict[str, int]) -> Network:
    return Network("found", CELLS, tuple(sorted(size.items())), Genotype.random(generator(0)))


@pytest.mark.parametrize("most", [2, 4])
def test_a_small_race_has_something_off_the_shelf(most: int) -> None:
    """With both flips the searched policy and that of all operations alone would fill it."""
    setting = Setting(Network("resnet18", "resnet18"), 32, most)
    words = [one.policy_words for one in racing.entrants(setting, Policy.of_operations(["Rotate"]), "found")]
    assert len(words) == most
    assert [word.startswith("none, ") for word in words] == [False] * (most - 1) + [True]


class Counted(Dataset[tuple[Tensor, int]]):
    """Small pictures of ten classes, and how often each was read."""

    def __init__(self) -> None:
        self.images, self.labels = load_digits(return_X_y=True)
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return 400

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.reads[index] += 1
        image = torch.tensor(self.images[index] * 15.9, dtype=torch.uint8).view(1, 8, 8)
        return image.expand(3, 8, 8), int(self.labels[index])


def test_from_python_the_race_and_the_screen_come_along(tmp_path: Path, quick_screen: None) -> None:
    counted, once = Counted(), Counted()
    images_from(once)
    found = daas.search(
        counted, preset="demo", network=daas.CellSpace(channels=2, layers=3, nodes=2), max_images=200, max_steps=2,
        screen=True, race=2, race_epochs=1,
    )  # fmt: skip
    assert counted.reads == once.reads  # by all three stages together
    assert found.summary["given"] == {"data": "Counted"}
    assert found.screen.flip == found.summary["options"]["hflip"]
    assert found.race.trainings == 2
    found.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "race" / "race.json").exists()
    assert (tmp_path / "saved" / "screen" / "screen.json").exists()


def test_several_seeds_have_one_screen_and_one_race(
    tmp_path: Path, quick_screen: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = [*WHOLE, "--max-steps", "1", "--race", "2", "--seeds", "0,3", "--out", str(out)]
    assert main(words) == 0
    taken = json.loads((out / "seeds.json").read_text())["recommended"]["folder"]
    assert (out / "genotype.json").read_bytes() == (out / taken / "genotype.json").read_bytes()
    assert not (out / taken / "race").exists()
    assert json.loads((out / "summary.json").read_text())["race"]["trainings"] == 2
    assert main([*words, "--resume", "auto"]) == 0
    assert main(words) == 2
