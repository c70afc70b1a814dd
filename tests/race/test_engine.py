import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from daas.errors import BadInput
from daas.race.engine import Budget, Crew, run, work
from daas.race.journal import JOURNAL, Journal
from tests.race.trainers import NAMES, RULES, TRAININGS, Pretended, play, trained


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    """A race that nothing interrupted."""
    return play(tmp_path_factory.mktemp("whole"))


def start(folder: Path) -> BaseProcess:
    """A process that plays the race."""
    process = multiprocessing.get_context("fork").Process(target=play, args=(folder, 0.05))
    process.start()
    return process


@pytest.fixture
def quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that need not import everything again; tests/race/test_main.py starts real ones."""
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(torch.multiprocessing, "get_context", lambda _: fork)


def test_every_training_is_done_once_and_no_more_than_paid_for(whole: Journal):
    done = trained(whole.folder)
    assert len(done) == len(set(done)) <= TRAININGS
    assert set(done) == set(whole.results())
    rounds = whole.rounds()
    assert rounds[0] == list(range(6))
    assert set(done) == {(candidate, run) for run, starters in enumerate(rounds) for candidate in starters}
    assert 5 not in rounds[1]  # its loss diverged
    assert 2 in rounds[1]  # the shelf


def test_a_race_that_is_over_has_nothing_to_do(whole: Journal):
    before = trained(whole.folder)
    play(whole.folder)
    assert trained(whole.folder) == before


@pytest.mark.parametrize("trainings", range(1, 14, 3))
def test_killed_and_resumed_gives_the_same(whole: Journal, tmp_path: Path, trainings: int):
    process = start(tmp_path)
    while process.is_alive() and len(trained(tmp_path)) < trainings:
        time.sleep(0.002)
    process.kill()
    process.join()
    resumed = play(tmp_path)
    assert resumed.results() == whole.results()
    assert resumed.rounds() == whole.rounds()
    again = len(trained(tmp_path)) - len(whole.results())
    assert 0 <= again <= 1  # only what was under way is done again


def test_two_processes_share_the_trainings(whole: Journal, tmp_path: Path):
    processes = [start(tmp_path), start(tmp_path)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    done = trained(tmp_path)
    assert len(done) == len(set(done)) == len(whole.results())
    assert Journal(tmp_path, NAMES).results() == whole.results()
    assert len({line.split()[2] for line in (tmp_path / "trained.txt").read_text().splitlines()}) == 2


@pytest.mark.usefixtures("quick_start")
def test_workers_come_to_the_same(whole: Journal, tmp_path: Path):
    journal = play(tmp_path, workers=2)
    assert journal.results() == whole.results()
    assert sorted(trained(tmp_path)) == sorted(set(trained(tmp_path)))


@pytest.mark.parametrize("workers", [2, 4, 9])
def test_side_by_side_it_comes_to_the_same(whole: Journal, tmp_path: Path, workers: int):
    journal = play(tmp_path, workers=workers, together=True)
    assert journal.results() == whole.results()
    assert journal.rounds() == whole.rounds()
    done = trained(tmp_path)
    assert sorted(done) == sorted(set(done))
    assert {line.split()[2] for line in (tmp_path / "trained.txt").read_text().splitlines()} == {str(os.getpid())}


def test_side_by_side_others_may_help(whole: Journal, tmp_path: Path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=play, args=(tmp_path, 0.02, 3, TRAININGS, True)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    done = trained(tmp_path)
    assert len(done) == len(set(done)) == len(whole.results())
    assert Journal(tmp_path, NAMES).results() == whole.results()


def test_side_by_side_a_watcher_stops_it_and_it_is_resumed(whole: Journal, tmp_path: Path):
    journal, trainer = Journal(tmp_path, NAMES), Pretended(tmp_path)
    crew = Crew(tmp_path, NAMES, RULES, Budget(TRAININGS, None, 4), trainer, trainer.steps)
    run(journal, crew, lambda: len(journal.results()) >= 2)
    assert len(journal.results()) == len(trained(tmp_path)) == 2
    assert play(tmp_path, workers=3, together=True).results() == whole.results()


def test_side_by_side_what_is_under_way_ends_when_the_time_is_up(tmp_path: Path):
    journal, trainer = Journal(tmp_path, NAMES), Pretended(tmp_path, 0.1)
    crew = Crew(tmp_path, NAMES, RULES, Budget(None, time.time() + 0.25, 3), trainer, trainer.steps)
    run(journal, crew, lambda: False)
    assert 3 <= len(journal.results()) <= 6
    assert len(trained(tmp_path)) == len(journal.results())


@pytest.mark.usefixtures("quick_start")
def test_the_time_begins_when_all_workers_have_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("daas.race.engine.torch.set_num_threads", lambda _: time.sleep(0.8))  # as imports do
    crew = Crew(tmp_path, NAMES, RULES, Budget(None, time.time() + 0.6, 2), Pretended(tmp_path, 0.05))
    journal = Journal(tmp_path, NAMES)
    run(journal, crew, lambda: False)
    assert len(journal.results()) >= 2


@pytest.mark.usefixtures("quick_start")
def test_bad_input_of_a_worker_is_that_of_the_race(tmp_path: Path):
    crew = Crew(tmp_path, NAMES, RULES, Budget(TRAININGS, None, 2), refuse)
    with pytest.raises(BadInput, match="nothing of the kind"):
        run(Journal(tmp_path, NAMES), crew, lambda: False)


def refuse(candidate: int, run: int) -> None:
    raise BadInput("nothing of the kind")


STOPPED = """
import multiprocessing, signal, sys, torch
from pathlib import Path
from daas.options import leave
from tests.race.trainers import play
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job behind & begins without
fork = multiprocessing.get_context("fork")
torch.multiprocessing.get_context = lambda _: fork
leave(lambda: play(Path(sys.argv[1]), 0.2, int(sys.argv[2])) and 0)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_race_that_is_told_to_end_leaves_nobody_and_is_gone_on_with(
    whole: Journal, workers: str, number: signal.Signals, code: int, tmp_path: Path
):
    """As at a terminal, where the signal reaches all processes."""
    command = [sys.executable, "-c", STOPPED, str(tmp_path), workers]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while len(trained(tmp_path)) < 3 and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (code, "\nStopped.\n")
    assert ended(process.pid)
    assert 1 <= len(Journal(tmp_path, NAMES).results()) < len(whole.results())
    resumed = play(tmp_path)
    assert (resumed.results(), resumed.rounds()) == (whole.results(), whole.rounds())


def ended(group: int) -> bool:
    """Whether all processes of a group end within some seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.usefixtures("quick_start")
@pytest.mark.parametrize(
    ("stays", "kept"), [(True, r"kept in .*--resume \(behind a search: --resume auto\)"), (False, "Nothing is kept")]
)
def test_a_worker_that_was_ended_from_outside_ends_the_race(stays: bool, kept: str, tmp_path: Path):
    crew = Crew(tmp_path, NAMES, RULES, Budget(TRAININGS, None, 2), end_myself)
    with pytest.raises(RuntimeError, match=rf"ended from outside \(Killed\).*{kept}"):
        run(Journal(tmp_path, NAMES, stays), crew, lambda: False)


def end_myself(candidate: int, run: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_an_interrupted_process_had_claimed_is_free_at_once(tmp_path: Path):
    """As in a notebook, which goes on after Ctrl-C and keeps the traceback."""

    def interrupted(candidate: int, run: int) -> None:
        raise KeyboardInterrupt

    journal = Journal(tmp_path, NAMES)
    with pytest.raises(KeyboardInterrupt) as kept:
        work(journal, 6, RULES, Budget(TRAININGS, None), interrupted, lambda: False)
    again = Journal(tmp_path, NAMES)
    with again.locked():
        assert not again.at_work()
    assert kept.value.__traceback__ is not None


def test_a_watcher_stops_the_race(tmp_path: Path):
    journal = Journal(tmp_path, NAMES)
    work(journal, 6, RULES, Budget(TRAININGS, None), Pretended(tmp_path), lambda: len(journal.results()) >= 2)
    assert len(journal.results()) == 2


def test_time_budget_ends_the_race_between_trainings(tmp_path: Path):
    journal = Journal(tmp_path, NAMES)
    work(journal, 6, RULES, Budget(None, time.time() + 0.5), Pretended(tmp_path, 0.2), lambda: False)
    assert 1 <= len(journal.results()) <= 3


def test_time_pays_for_as_many_trainings_as_it_seems():
    budget = Budget(trainings=10, until=time.time() + 60.0, workers=2)
    assert budget.affordable(4, [20.0, 20.0]) in (5, 6)  # 60 s, 20 s each, two at a time
    assert budget.affordable(9, [1.0]) == 1
    assert Budget(10, None).affordable(12, []) == 0


def test_the_race_costs_little_beside_its_trainings(tmp_path: Path):
    """18 trainings at no cost: what is left is the journal's, well under 2% of trainings of two seconds."""
    begin = time.process_time()
    journal = play(tmp_path)
    assert (time.process_time() - begin) / len(journal.results()) < 0.02 * 2


def test_a_claim_lasts_as_long_as_its_process(tmp_path: Path):
    first, second = Journal(tmp_path, NAMES), Journal(tmp_path, NAMES)
    with first.locked():
        first.start_round([0])
        claim = first.claim()
    assert claim is not None
    with second.locked():
        assert second.claim() is None  # taken
    claim._lock.release()  # as the kernel does when the process ends
    with second.locked():
        taken = second.claim()
    assert taken is not None
    assert (taken.candidate, taken.run) == (0, 0)


def test_a_full_disk_is_said_and_what_is_done_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    journal = Journal(tmp_path, NAMES)
    work(journal, 6, RULES, Budget(TRAININGS, None), Pretended(tmp_path), lambda: len(journal.results()) >= 3)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(BadInput, match=r"race\.journal could not be written .*--resume"):
            play(tmp_path)
    assert len(Journal(tmp_path, NAMES).results()) == 3
    assert len(play(tmp_path).results()) == len({*trained(tmp_path)})


def test_half_a_line_is_forgotten(whole: Journal, tmp_path: Path):
    text = (whole.folder / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(text + b'{"op_code": 5, "worker')
    assert Journal(tmp_path, NAMES).results() == whole.results()


@pytest.mark.parametrize(
    "text", ["hello\nworld\n", '{"op_code": 99}\n', '{"op_code": 99, "worker_id": "w"}\n', "[1]\n", "3\n"]
)
def test_another_file_is_no_journal(text: str, tmp_path: Path):
    """Nor is one of an Optuna to come."""
    (tmp_path / JOURNAL).write_text(text)
    with pytest.raises(BadInput, match="no journal of a race"):
        Journal(tmp_path, NAMES)


def test_a_race_that_an_earlier_version_began_goes_on(tmp_path: Path) -> None:
    """It named the type of autocast also where there was none."""
    Journal(tmp_path, NAMES).agree({"recipe": "--epochs 8 --smoothing 0.0 --amp-dtype bfloat16 --train-crop-mode pad"})
    Journal(tmp_path, NAMES).agree({"recipe": "--epochs 8 --smoothing 0.0 --train-crop-mode pad"})
    with pytest.raises(BadInput, match="has another recipe"):
        Journal(tmp_path, NAMES).agree({"recipe": "--epochs 9 --smoothing 0.0 --train-crop-mode pad"})


def test_other_options_are_refused(tmp_path: Path):
    Journal(tmp_path, NAMES).agree({"folds": 4, "images": "x"})
    Journal(tmp_path, NAMES).agree({"folds": 4, "images": "x"})
    with pytest.raises(BadInput, match="another number of folds: 4 there, 5 here"):
        Journal(tmp_path, NAMES).agree({"folds": 5, "images": "x"})
