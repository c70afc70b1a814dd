"""The race's memory: an Optuna study in a journal file, one trial per training, shared by all that work on it.

Everything that must not happen twice (plan a round, claim a training, write a result) happens under one file lock. A
claim is a running trial whose process holds a lock on a file of its own. The kernel lets go of that lock when the
process ends, whatever ended it: a claim whose lock is free is stale at once, and its training is given out again.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daas.errors import BadInput
from daas.files import make_folder, unwritable
from daas.race.statistics import Score

if TYPE_CHECKING:
    from filelock import FileLock
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import FrozenTrial, Trial

JOURNAL, CLAIMS = "race.journal", "claims"
_CONFIG, _ROUNDS = "config", "rounds"  # attributes of the study
_SCORE = ("accuracy", "score", "temperature")
_DIGESTS = ("images", "policies")  # of which nobody can read the difference
_OTHER = {
    "candidates": "other candidates", "images": "other images",
    "policies": "other policies or networks (of a module the weights count: seed torch before it is made)",
    "recipe": "another recipe", "folds": "another number of folds", "seed": "another seed",
    "entering": "another number of default candidates",
}  # fmt: skip


def check_installed() -> None:
    """Raises BadInput where what only a race needs is missing."""
    try:
        import filelock
        import optuna
        import scipy  # noqa: F401
    except ImportError as error:
        raise BadInput(f"A race needs {error.name}: pip install 'timm-daas[race]'.") from error
    del filelock, optuna


@dataclass(frozen=True)
class Claim:
    """A training that is this process's to do.

    Attributes:
        candidate: Its number.
        run: From 0.
    """

    candidate: int
    run: int
    _trial: Trial
    _lock: FileLock


class Journal:
    """One process's hold on the race.

    Args:
        folder: Of the race; made if it is not there.
        names: Of the candidates, by number.
        stays: Whether the folder is there when the race has ended.

    Raises:
        BadInput: Something to install is missing, or the journal is damaged.
    """

    def __init__(self, folder: Path, names: Sequence[str], stays: bool = True) -> None:
        check_installed()
        import optuna
        from filelock import FileLock

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.names, self.stays = folder, tuple(names), stays
        make_folder(folder, "--out")
        path = folder / JOURNAL
        self._lock = FileLock(str(path) + ".lock", thread_local=False)
        with self.locked():
            if _drop_half_line(path):
                print(f"{path}: its last line was not written whole and is left out.", file=sys.stderr)
            try:
                self._study = optuna.create_study(
                    study_name="race",
                    storage=optuna.storages.JournalStorage(_backend(path, self._lock)),
                    sampler=optuna.samplers.RandomSampler(seed=0),
                    load_if_exists=True,
                )
            except (ValueError, KeyError, AttributeError, TypeError, AssertionError) as error:
                raise BadInput(
                    f"{path} is no journal of a race, or damaged ({error}). Choose another --out."
                ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within the block no other process plans, claims or writes.

        Raises:
            BadInput: The journal cannot be written; what is in it is whole.
        """
        try:
            with self._lock:
                yield
        except OSError as error:
            then = "Then go on with --resume." if self.stays else ""
            raise unwritable(self.folder / JOURNAL, error, then) from error

    def config(self) -> dict[str, Any]:
        """What the race is about; empty where nobody has said it yet."""
        return dict(self._study.user_attrs.get(_CONFIG, {}))

    def agree(self, config: Mapping[str, Any]) -> None:
        """Writes what the race is about, or checks that it is about the same.

        Args:
            config: JSON values by the names of options.

        Raises:
            BadInput: It is about something else; the message says what.
        """
        with self.locked():
            known = self._study.user_attrs.get(_CONFIG)
            if known is None:
                self._study.set_user_attr(_CONFIG, dict(config))
                return
        for key, value in config.items():
            if not _alike(known.get(key), value):
                there = "" if key in _DIGESTS else f": {_short(known.get(key))} there, {_short(value)} here"
                raise BadInput(
                    f"the race in {self.folder} has {_OTHER.get(key, f'another {key}')}{there}. Go on with the same "
                    "images, candidates and options, or choose another --out."
                )

    def rounds(self) -> list[list[int]]:
        """Who started in each round so far; an empty last one says that the race is over."""
        return [list(starters) for starters in self._study.user_attrs.get(_ROUNDS, [])]

    def start_round(self, starters: Sequence[int]) -> None:
        """Gives out a round's trainings; within ``locked``."""
        self._study.set_user_attr(_ROUNDS, [*self.rounds(), list(starters)])

    def results(self) -> dict[tuple[int, int], Score | None]:
        """What each training that is done reached, by (candidate, run); None where its loss diverged."""
        done = self._trials("COMPLETE", "PRUNED")
        return {
            _key(trial): Score(*(float(trial.user_attrs[name]) for name in _SCORE)) if trial.values else None
            for trial in done
        }

    def seconds(self) -> list[float]:
        """How long each training took that is done."""
        return [float(trial.user_attrs["seconds"]) for trial in self._trials("COMPLETE", "PRUNED")]

    def states(self) -> list[str]:
        """The state of every trial: COMPLETE, PRUNED (diverged), RUNNING, WAITING, or FAIL (its process ended)."""
        return [trial.state.name for trial in self._study.get_trials(deepcopy=False)]

    def at_work(self) -> bool:
        """Whether any process does a training now; within ``locked``."""
        self._free_stale_claims()
        return bool(self._trials("RUNNING"))

    def claim(self) -> Claim | None:
        """The next training that nobody does or has done, None where there is none now; within ``locked``."""
        from filelock import FileLock

        self._free_stale_claims()
        self._queue_missing()
        if not self._trials("WAITING"):
            return None
        trial = self._study.ask()
        candidate, run = _key(trial)
        trial.suggest_categorical("candidate", self.names)
        trial.suggest_int("run", 0, 10**6)
        lock = FileLock(self._claim_path(trial.number), thread_local=False)
        lock.acquire(timeout=0)
        return Claim(candidate, run, trial, lock)

    def finish(self, claim: Claim, score: Score | None, seconds: float) -> None:
        """Writes what a training reached.

        Args:
            claim: Of this process.
            score: What it reached; None where its loss diverged.
            seconds: That it took.
        """
        from optuna.trial import TrialState

        with self.locked():
            for name, value in {"seconds": seconds, **(asdict(score) if score else {})}.items():
                claim._trial.set_user_attr(name, value)
            if score is None:
                self._study.tell(claim._trial, state=TrialState.PRUNED)
            else:
                self._study.tell(claim._trial, score.score)
            claim._lock.release()
            Path(claim._lock.lock_file).unlink(missing_ok=True)
            with suppress(OSError):  # others are at work
                (self.folder / CLAIMS).rmdir()

    def leave(self, claim: Claim) -> None:
        """Gives up a training of this process: it is to be done again, from its beginning."""
        claim._lock.release()

    def _queue_missing(self) -> None:
        """Queues trainings of the rounds that have no trial, as they were never queued or their process ended."""
        known = {_key(trial) for trial in self._trials("WAITING", "RUNNING", "COMPLETE", "PRUNED")}
        for run, starters in enumerate(self.rounds()):
            for candidate in starters:
                if (candidate, run) not in known:
                    self._study.enqueue_trial(
                        {"candidate": self.names[candidate], "run": run}, {"candidate": candidate, "run": run}
                    )

    def _free_stale_claims(self) -> None:
        from filelock import FileLock, Timeout
        from optuna.trial import TrialState

        for trial in self._trials("RUNNING"):
            lock = FileLock(self._claim_path(trial.number), thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue  # its process is at work
            self._study.tell(trial.number, state=TrialState.FAIL)
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)

    def _claim_path(self, number: int) -> str:
        folder = self.folder / CLAIMS
        folder.mkdir(exist_ok=True)
        return str(folder / f"{number}.lock")

    def _trials(self, *states: str) -> list[FrozenTrial]:
        from optuna.trial import TrialState

        return self._study.get_trials(deepcopy=False, states=[TrialState[state] for state in states])


def _key(trial: FrozenTrial | Trial) -> tuple[int, int]:
    return int(trial.user_attrs["candidate"]), int(trial.user_attrs["run"])


def _alike(there: Any, here: Any) -> bool:
    """Whether two values agree; earlier journals name autocast's type also in recipes without autocast."""
    if isinstance(there, str) and "--amp " not in f"{there} ":
        there = re.sub(r" --amp-dtype \S+", "", there)
    return bool(there == here)


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) < 200 else f"{text[:200]} ..."


def begun(folder: Path) -> bool:
    """Whether the journal of a folder has anything in it; one that was killed at once, or torn, has not."""
    path = folder / JOURNAL
    return os.path.exists(path) and b"\n" in path.read_bytes()


def _drop_half_line(path: Path) -> bool:
    """Cuts off a last line that was not written whole, as after a power failure; Optuna would refuse the journal.

    Returns:
        Whether there was one.
    """
    if not os.path.exists(path):
        return False
    with path.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        file.truncate(whole)
    return whole < len(content)


def _backend(path: Path, lock: FileLock) -> JournalFileBackend:
    """Optuna's journal file under our lock: Optuna's own outlives a killed process by half a minute."""
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    class KernelLock(JournalFileOpenLock):
        def acquire(self) -> bool:
            lock.acquire()
            return True

        def release(self) -> None:
            lock.release()

    return JournalFileBackend(str(path), lock_obj=KernelLock(str(path)))
