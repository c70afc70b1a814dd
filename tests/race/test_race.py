import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import daas.race
from daas import files
from daas.data import MemoryImages
from daas.errors import BadInput
from daas.locks import locked
from daas.models import find_genotype
from daas.models.start import Start
from daas.race.folds import fold_of, split
from daas.race.journal import JOURNAL, Journal
from daas.race.result import Race
from daas.race.saving import RESULTS
from daas.race.training import Trainer
from daas.seeds import generator
from daas.train.fit import Recipe
from daas.train.output import save_weights
from tests.conftest import saved_network

QUICK = {"folds": 2, "epochs": 8, "batch_size": 20}


def ramps(count: int = 80, size: int = 8) -> tuple[Tensor, Tensor]:
    """Images that get brighter to the right (1) or to the left (0): a flip turns one into the other."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    ramp = torch.linspace(40, 180, size).expand(count, 3, size, size)
    images = torch.where(labels.view(-1, 1, 1, 1) == 1, ramp, ramp.flip(3))
    return (images + 30 * torch.rand(count, 3, size, size, generator=random)).to(torch.uint8), labels


@pytest.fixture(scope="module")
def planted(small_convnet: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Race, Path, list[dict[str, object]]]:
    """A race on a task whose labels the flip destroys, its folder, and the lines that the callback got."""
    out, lines = tmp_path_factory.mktemp("race") / "out", list[dict[str, object]]()
    found = daas.race(
        ramps(), [None, "randaugment"], network=small_convnet, trainings=8, out=out, callbacks=[lines.append], **QUICK
    )
    return found, out, lines


def test_no_flip_wins_where_a_flip_destroys_the_label(planted):
    race, _, _ = planted
    assert race.hflip == 0.0
    rows = {row.candidate.policy_words: row for row in race.rows}
    assert rows["none, no flip"].accuracy[0] > 95
    assert rows["none, flip"].accuracy[0] < 75
    assert [row.candidate.values["hflip"] for row in race.rows][:2] == [0.0, 0.0]


def test_a_race_costs_the_trainings_that_it_says(planted):
    race, _, lines = planted
    assert race.trainings == len(lines) == sum(map(len, race.rounds)) <= 8
    assert [line["trainings"] for line in lines] == list(range(1, len(lines) + 1))
    assert race.seconds > 0


def test_race_json_is_what_the_page_of_formats_says(planted):
    race, out, _ = planted
    told = json.loads((out / "race.json").read_text())
    assert told["format"] == "daas-race/1"
    assert told["chosen"]["hflip"] == 0.0
    assert {"network", "policy", "hflip", "runs", "accuracy", "score", "difference", "interval"} <= set(
        told["candidates"][0]
    )
    for entry, row in zip(told["candidates"], race.rows, strict=True):
        assert [run["accuracy"] for run in entry["runs"]] == [score.accuracy for score in row.runs.values()]
        assert entry["accuracy"] == pytest.approx(sum(run["accuracy"] for run in entry["runs"]) / len(entry["runs"]))
    assert told["trainings"] == race.trainings
    assert (out / "policy.json").exists() == (race.policy is not None)


def test_table_and_answer_say_what_was_chosen(planted):
    race, _, _ = planted
    assert race.table().splitlines()[0].startswith("candidate")
    assert len(race.table().splitlines()) == 5
    assert race.answer.startswith(f"Chosen: {race.chosen.policy_words}, accuracy ")
    assert f"{race.trainings} trainings of 8 epochs" in race.answer


def test_page_stands_alone(planted):
    _, out, _ = planted
    page = (out / "race.html").read_text()
    assert page.index("Chosen: ") < page.index("All candidates")
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=\"?http", page)
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page
    assert page.count('class="row') == 5


def test_result_is_a_network_and_a_transform(planted):
    race, _, _ = planted
    assert race.create_model()(torch.zeros(2, 3, 8, 8)).shape == (2, 2)
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    transform = race.transform()
    assert (transform is None) == (race.policy is None)
    assert transform is None or transform(images).shape == images.shape
    assert race.recipe.hflip == 0.0


def test_save_writes_everything_once(planted, tmp_path: Path):
    race, out, _ = planted
    assert (race.save(tmp_path / "kept") / "race.json").read_text() == (out / "race.json").read_text()
    with pytest.raises(BadInput, match=r"holds race\.json"):
        race.save(tmp_path / "kept")


def test_going_on_does_nothing_again(planted, small_convnet: str):
    race, out, _ = planted
    with pytest.raises(BadInput, match="holds a race"):
        daas.race(ramps(), [None, "randaugment"], network=small_convnet, trainings=8, out=out, **QUICK)
    lines = list[dict[str, object]]()
    again = daas.race(
        ramps(), [None, "randaugment"], network=small_convnet, trainings=8, out=out, resume=True,
        callbacks=[lines.append], **QUICK,
    )  # fmt: skip
    assert lines == []
    assert again.to_dict() == race.to_dict()
    with pytest.raises(BadInput, match="another seed: 0 there, 1 here"):
        daas.race(
            ramps(), [None, "randaugment"], network=small_convnet, trainings=8, out=out, resume=True, seed=1, **QUICK
        )
    images, labels = ramps()
    with pytest.raises(BadInput, match=r"has other images\. Go on"):
        daas.race(
            (images + 1, labels), [None, "randaugment"], network=small_convnet, trainings=8, out=out, join=True, **QUICK
        )


def test_a_race_that_another_process_works_on_is_joined_or_refused(planted, small_convnet: str):
    race, out, _ = planted
    given = {"network": small_convnet, "trainings": 8, "out": out, **QUICK}
    with locked(out):
        for options in ({}, {"resume": True}):
            with pytest.raises(BadInput, match=r"works on it now\. Name --join"):
                daas.race(ramps(), [None, "randaugment"], **given, **options)
        assert daas.race(ramps(), [None, "randaugment"], join=True, **given).to_dict() == race.to_dict()


@pytest.fixture
def stopped(small_convnet: str, tmp_path: Path) -> dict[str, Any]:
    """The options of a race of two candidates that was stopped after one training."""
    given = {"candidates": ["none"], "network": small_convnet, "trainings": 4, "out": tmp_path / "out", **QUICK}
    given["epochs"] = 1
    daas.race(ramps(), callbacks=[lambda line: True], **given)
    return given


def test_a_race_is_not_gone_on_with_beside_one_that_has_joined_it(
    stopped: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("daas.race.checks._LOOKS", 1)
    names = Journal(stopped["out"], ()).config()["candidates"]
    journal = Journal(stopped["out"], names)
    with journal.locked():
        claim = journal.claim()
    with pytest.raises(BadInput, match=r"another process works on its race now\. Name --join"):
        daas.race(ramps(), resume=True, **stopped)
    journal.leave(claim)
    capsys.readouterr()
    assert daas.race(ramps(), resume=True, **stopped).trainings == 4
    assert "Going on: 1 training is done.\n" in capsys.readouterr().out


def test_a_torn_or_empty_journal_is_told(stopped: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    out = stopped["out"]
    with (out / JOURNAL).open("a") as file:
        file.write('{"op_code": 4, "wor')
    assert daas.race(ramps(), resume=True, **stopped).trainings == 4
    told = capsys.readouterr()
    assert f"{out / JOURNAL}: its last line was not written whole and is left out.\n" in told.err
    assert "Going on: 1 training is done.\n" in told.out
    (out / JOURNAL).write_text("")
    with pytest.raises(BadInput, match=rf"holds .*race\.json.* of a race whose {JOURNAL} is empty"):
        daas.race(ramps(), resume=True, **stopped)
    for name in RESULTS:
        (out / name).unlink(missing_ok=True)
    with pytest.raises(BadInput, match=rf"no race in .* \({JOURNAL} is empty\)"):
        daas.race(ramps(), join=True, **stopped)
    assert daas.race(ramps(), resume=True, **stopped).trainings == 4
    assert f"{out / JOURNAL} is empty: the race starts from its beginning.\n" in capsys.readouterr().err


def test_a_resumed_race_may_have_more_trainings(small_convnet: str, tmp_path: Path):
    given = {"network": small_convnet, "out": tmp_path / "out", **QUICK}
    first = daas.race(ramps(), trainings=4, **given)
    more = daas.race(ramps(), trainings=8, resume=True, **given)
    assert len(more.candidates) == len(first.candidates) == 4
    assert first.trainings == 4 < more.trainings <= 8
    assert first.results.items() <= more.results.items()


def test_a_screen_that_is_asked_first_decides_what_races_and_is_kept(small_convnet: str, tmp_path: Path):
    given = {"network": small_convnet, "trainings": 4, "out": tmp_path / "out", "screen": True, **QUICK}
    found = daas.race(ramps(), **given)
    screen = json.loads((tmp_path / "out" / "screen" / "screen.json").read_text())
    assert screen["flip"] == 0.0
    assert all(candidate.values["hflip"] == 0.0 or "hflip_swap" in candidate.values for candidate in found.candidates)
    when = (tmp_path / "out" / "screen" / "screen.json").stat().st_mtime_ns
    again = daas.race(ramps(), resume=True, **given)
    assert again.to_dict() == found.to_dict()
    assert (tmp_path / "out" / "screen" / "screen.json").stat().st_mtime_ns == when


def test_a_time_that_is_over_at_once_is_told(small_convnet: str, tmp_path: Path):
    with pytest.raises(BadInput, match=r"the time was over before one training was done\. Raise time_budget"):
        daas.race(ramps(), [None], network=small_convnet, time_budget=1e-6, out=tmp_path / "out", **QUICK)


def test_callbacks_may_come_from_an_iterator(small_convnet: str):
    lines = list[dict[str, object]]()
    given = {**QUICK, "epochs": 1}
    found = daas.race(ramps(), [None], network=small_convnet, trainings=4, callbacks=iter([lines.append]), **given)
    assert [line["run"] for line in lines] == [0, 0, 1, 1]
    assert found.trainings == 4


def test_a_callback_stops_the_race(small_convnet: str):
    found = daas.race(ramps(), [None], network=small_convnet, trainings=4, callbacks=[lambda _: True], **QUICK)
    assert found.trainings == 1


def test_cells_and_their_policy_are_written(tmp_path: Path):
    genotype = find_genotype("gdas_v1")
    cells = daas.race.candidates.network(genotype, {"channels": 2, "layers": 3})
    found = daas.race(
        ramps(16), [(cells, daas.Policy.of_operations(["Color"]), {"hflip": 0}), (cells, None, {"hflip": 0})],
        trainings=2, folds=2, epochs=1, batch_size=8, out=tmp_path / "out",
    )  # fmt: skip
    assert daas.Genotype.load(tmp_path / "out" / "genotype.json") == genotype == found.genotype
    told = json.loads((tmp_path / "out" / "race.json").read_text())
    assert told["chosen"]["network"] == "genotypes/gdas_v1.json"
    for entry in told["candidates"]:
        assert entry["policy"] == "none" or (tmp_path / "out" / entry["policy"]).is_file()
        assert (tmp_path / "out" / entry["network"]).is_file()


def test_a_network_of_ones_own_stays_as_it_was():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    before = {name: value.clone() for name, value in module.state_dict().items()}
    daas.race(ramps(16), [None], network=module, trainings=2, folds=2, epochs=1, batch_size=8)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert module.training


def test_candidates_of_a_run_have_the_same_images_and_seed(small_convnet: str):
    """The same candidate twice comes to the same to the bit; another run does not."""
    images = daas.data.given.images_from(ramps(40))
    one = daas.race.candidates.Candidate(daas.race.candidates.network(small_convnet), None, "none")
    trainer = Trainer([one, one], images, Recipe(epochs=2, batch_size=10), 2, 0, "cpu")
    assert trainer(0, 0) == trainer(1, 0)
    assert trainer(0, 0) != trainer(0, 1)


def test_trainings_that_take_turns_come_to_what_each_comes_to_alone(small_convnet: str):
    """With random erasing and Mixup, which read the global streams."""
    images = daas.data.given.images_from(ramps(40))
    net = daas.race.candidates.network(small_convnet)
    values = ({"reprob": 0.5}, {"mixup": 0.3}, {"cutout": 2, "model_ema": True})
    entered = [
        daas.race.candidates.Candidate(net, None, str(index), tuple(value.items()))
        for index, value in enumerate(values)
    ]
    trainer = Trainer(entered, images, Recipe(epochs=2, batch_size=10), 2, 0, "cpu")
    alone = [trainer(number, 0) for number in range(3)]
    under_way, found = {number: trainer.steps(number, 0) for number in range(3)}, {}
    while under_way:
        for number, steps in tuple(under_way.items()):
            try:
                next(steps)
            except StopIteration as end:
                found[number] = end.value
                del under_way[number]
    assert [found[number] for number in range(3)] == alone


def test_a_loss_that_diverges_leaves(small_convnet: str):
    wild = (small_convnet, None, {"hflip": 0, "lr": 1e30})
    calm = (small_convnet, None, {"hflip": 0})
    found = daas.race(ramps(), [wild, calm], trainings=4, **QUICK)
    assert found.chosen.values.get("lr") is None
    assert "its loss diverged" in found.table()
    with pytest.raises(FloatingPointError, match="every training"):
        daas.race(
            ramps(), [wild, (small_convnet, None, {"hflip": 0, "lr": 1e30, "smoothing": 0.1})], trainings=4, **QUICK
        )


def dealt_class_by_class(labels: Tensor, folds: int, seed: int) -> Tensor:
    """The folds as they are meant: one class after the other."""
    fold, dealt = torch.empty_like(labels), 0
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().squeeze(1)
        shuffled = members[torch.randperm(len(members), generator=generator(seed, 401, label))]
        fold[shuffled] = (torch.arange(len(members)) + dealt) % folds
        dealt += len(members)
    return fold


@pytest.mark.parametrize("seed", range(3))
def test_folds_are_those_of_dealing_class_by_class(seed: int):
    labels = torch.randint(12, (400,), generator=torch.Generator().manual_seed(seed))
    labels[labels == 7] = 20  # classes may be missing
    assert torch.equal(fold_of(labels, 3, seed), dealt_class_by_class(labels, 3, seed))


def test_folds_are_stratified_and_cover_everything():
    labels = torch.tensor([0] * 10 + [1] * 7 + [2] * 23)
    fold = fold_of(labels, 4, seed=3)
    for label in range(3):
        counts = torch.bincount(fold[labels == label], minlength=4)
        assert int(counts.max() - counts.min()) <= 1
    sizes = torch.bincount(fold)
    assert int(sizes.max() - sizes.min()) <= 1
    seen = torch.cat([split(fold, 4, run)[1] for run in range(4)])
    assert sorted(seen.tolist()) == list(range(40))
    train, val = split(fold, 4, 1)
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(40))
    assert torch.equal(split(fold, 4, 5)[1], val)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"trainings": 1}, "trainings is 1"),
        ({"time_budget": 0.0}, "time_budget is 0"),
        ({"folds": 1}, "folds is 1"),
        ({"workers": 0}, "workers is 0"),
        ({"resume": True}, "need the folder"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 500}, "fewer than one batch of 500"),
        ({"folds": 60}, "too few for 60 folds"),
        ({"trainings": 3}, "4 candidates need at least 4 trainings"),
        ({"device": "abacus"}, "abacus"),
        ({"trainings": "8"}, "trainings is '8'; it is a whole number"),
        ({"trainings": 4.5}, "trainings is 4.5; it is a whole number"),
        ({"epochs": "1"}, "epochs is '1'; it is a whole number"),
        ({"seed": 1.5}, "seed is 1.5; it is a whole number"),
        ({"folds": 2.0}, "folds is 2.0; it is a whole number"),
        ({"workers": True}, "workers is True; it is a whole number"),
        ({"time_budget": float("inf")}, "time_budget is inf; it is a number of seconds"),
        ({"callbacks": None}, "a list of functions"),
        ({"candidates": daas.Policy.of_operations(["Rotate"])}, "candidates is of type Policy; it is a list"),
        ({"callbacks": print}, "a list of functions"),
        ({"screen": "runs/screen"}, "screen is of type str"),
        ({"time_budget": "2h"}, "seconds above 0"),
        ({"seed": -1}, "--seed -1"),
        ({"image_size": -3}, "--image-size -3"),
        ({"recipe": Recipe(lr=-1.0)}, "--lr -1.0"),
        ({"candidates": [None, "none,cutout=-1"]}, "--cutout -1"),
    ],
)
def test_bad_options_are_named_before_anything_is_written(
    options: dict[str, object], says: str, small_convnet: str, tmp_path: Path
):
    given = {"candidates": [None, "randaugment"], "trainings": 8, "out": tmp_path / "out", **QUICK, **options}
    if "resume" in options:
        given["out"] = None
    with pytest.raises(BadInput, match=says):
        daas.race(ramps(), network=small_convnet, **given)
    assert not (tmp_path / "out").exists()


def test_join_needs_a_race(small_convnet: str, tmp_path: Path):
    with pytest.raises(BadInput, match=f"no race in .*{JOURNAL} is missing"):
        daas.race(ramps(), [None], network=small_convnet, out=tmp_path, join=True, **QUICK)


def test_the_folder_of_another_run_is_not_written_over(small_convnet: str, tmp_path: Path):
    (tmp_path / "policy.json").write_text("{}")
    with pytest.raises(BadInput, match=r"holds policy\.json"):
        daas.race(ramps(), [None], network=small_convnet, out=tmp_path, **QUICK)


def test_classes_with_a_single_image_are_named(small_convnet: str):
    labels = torch.tensor([0] * 8 + [1])
    images = MemoryImages("birds", torch.zeros(9, 3, 8, 8, dtype=torch.uint8), labels, ("owl", "emu"))
    with pytest.raises(BadInput, match="birds has a single image of emu; a race needs at least 2 per class"):
        daas.race(images, [None], network=small_convnet, trainings=8, **QUICK)


def test_a_network_that_cannot_be_trained_is_told_before_anything_is_written(tmp_path: Path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    given = {**QUICK, "batch_size": 1, "out": tmp_path / "out"}
    with pytest.raises(BadInput, match="cannot take a step on a batch of 1"):
        daas.race(ramps(), [None, "randaugment"], network=network, trainings=4, **given)
    assert not (tmp_path / "out").exists()


def test_every_training_begins_with_the_weights_that_are_given(tmp_path: Path):
    network, saved = saved_network(tmp_path / "saved", classes=2)
    options = {"folds": 2, "epochs": 1, "batch_size": 20, "image_size": 8, "trainings": 2}
    name = f"local-dir:{saved}"
    found = daas.race(ramps(40), [None, "randaugment,hflip=0"], network=name, pretrained=True, out=tmp_path / "a",
                      **{**options, "trainings": 3})  # fmt: skip
    assert found.recipe.lr == 0.02  # gently
    assert torch.equal(found.create_model().conv1[0].weight, network.conv1[0].weight)
    trainer = Trainer(found.candidates, MemoryImages("ramps", *ramps(40), ("a", "b")), found.recipe, 2, 0, "cpu")
    assert trainer.recipe_of(found.candidates[0]).mean == network.pretrained_cfg["mean"]
    file = tmp_path / "w.safetensors"
    save_weights(network, file, ("0", "1"))
    given = daas.race.candidates.network("test_resnet", start=Start(initial_checkpoint=str(file)))
    assert torch.equal(given.create(2, ("1", "0")).fc.weight, network.fc.weight.flip(0))
    with pytest.raises(BadInput, match="--pretrained needs --model"):
        daas.race(ramps(40), network=network, pretrained=True, **options)


def test_an_option_that_is_not_there_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(BadInput, match=r"daas\.race: unknown option epoch\. Did you mean epochs"):
        daas.race(ramps(), ["none"], epoch=1)


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing_leaves_the_older_result_whole(planted, fault, tmp_path, monkeypatch):
    race, _, _ = planted
    race.save(tmp_path / "raced")
    before = {path: path.read_bytes() for path in (tmp_path / "raced").rglob("*.*")}
    monkeypatch.setattr(files.os, "replace", lambda *_: refused(fault))
    with pytest.raises(BadInput, match=os.strerror(fault)):
        race.write(tmp_path / "raced")
    assert {path: path.read_bytes() for path in (tmp_path / "raced").rglob("*.*")} == before


@pytest.mark.parametrize("named", [True, False])
def test_a_race_knows_whether_its_folder_stays(named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(journal: Journal, *_: object) -> None:
        with journal.locked():
            refused(errno.ENOSPC)

    monkeypatch.setattr("daas.race.api.run", lost)
    with pytest.raises(BadInput) as error:
        daas.race(ramps(), [("test_resnet", None)], trainings=2, out=tmp_path / "out" if named else None, **QUICK)
    assert str(error.value).endswith("Then go on with --resume.") is named


def refused(fault: int) -> None:
    raise OSError(fault, os.strerror(fault))
