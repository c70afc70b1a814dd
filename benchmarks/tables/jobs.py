"""Runs the searches and trainings of a plan, each as a command that a user would type; goes on where it stopped."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file

from benchmarks.tables.plan import Search, Training, needed
from benchmarks.tables.records import Record, append, read, revision
from benchmarks.tables.scale import Scale, part_of
from daas import Genotype, Policy
from daas.data import load_images
from daas.seeds import generator

ROOT = Path(__file__).parents[2]
_NETWORK, _POLICY = 1, 2  # what a random stream is for


class Failed(Exception):
    """A command failed; the message has its last lines."""


@dataclass(frozen=True)
class Workshop:
    """Where runs live and what they are made of.

    Attributes:
        scale: Of everything.
        train: Archive of the training photographs.
        test: Archive of the test photographs.
        work: Folder of all runs.
        lines: JSON-lines file of the records.
    """

    scale: Scale
    train: Path
    test: Path
    work: Path
    lines: Path

    @classmethod
    def open(cls, scale: Scale, data_dir: Path, work: Path, lines: Path) -> Workshop:
        """Prepares the parts of the archives ``*train*.tar`` and ``*test*.tar`` in a folder.

        Raises:
            Failed: Not exactly one of each.
        """
        archives = {}
        for name in ("train", "test"):
            found = sorted(data_dir.glob(f"*{name}*.tar"))
            if len(found) != 1:
                raise Failed(f"{data_dir} holds {len(found)} archives *{name}*.tar of class folders; one is needed.")
            archives[name] = found[0]
        work = work / scale.name
        return cls(
            scale,
            part_of(archives["train"], scale.train_images, work / f"train-{scale.train_images}.tar"),
            part_of(archives["test"], scale.test_images, work / f"test-{scale.test_images}.tar"),
            work,
            lines,
        )

    def train_all(self, table: str, trainings: list[Training], seed: int) -> None:
        """Trains what has no record yet, after the searches that it needs; what another table trained is taken over."""
        done = read([self.lines] if self.lines.exists() else [])
        for training in trainings:
            if (self.scale.name, table, training.row, seed) in {record.key for record in done}:
                print(f"table {table}, {training.row}, seed {seed}: recorded already")
                continue
            record = self._train(table, training, seed, {record.command: record for record in done})
            append(self.lines, record)
            done.append(record)
            print(
                f"table {table}, {training.row}, seed {seed}: top-1 {record.top1:.2f}%, on the training images "
                f"{record.train_top1:.2f}% ({record.seconds:.0f} s)",
                flush=True,
            )

    def _train(self, table: str, training: Training, seed: int, done: Mapping[str, Record]) -> Record:
        seeds = training.seed_of or (seed, seed)
        behind = [(search, s) for search in needed(training, self.scale) for s in sorted(set(seeds))]
        for search, search_seed in behind:
            self._search(search, search_seed)
        model, arguments = self._network(training.network, seeds[0])
        policy = self._policy(training.policy, seeds[1])
        words = (training.network, training.policy or "none", *training.options, *map(str, (*seeds, seed)))
        name = "".join(c if c.isalnum() or c in ".-" else "_" for c in "-".join(words))
        command = [
            "daas.train", "--data-dir", self.train, "--val-dir", self.test, "--img-size", self.scale.image_size,
            "--model", model, *(["--model-kwargs", *arguments] if arguments else []),
            *(["--aa", f"daas:{policy}"] if policy else []),
            *self.scale.train, *training.options, "--seed", seed, "--output", self.work / "train", "--experiment", name,
        ]  # fmt: skip
        if _typed(command) in done:
            return replace(done[_typed(command)], table=table, row=training.row)
        _run([*command, "--resume", "auto"])
        folder = self.work / "train" / name
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return Record(
            scale=self.scale.name, table=table, row=training.row, seed=seed, top1=result["last"]["top1"],
            train_top1=accuracy(result, folder / result["last"]["weights"], self.train), epochs=result["epochs"],
            seconds=result["time"]["seconds"],
            search_seconds=sum(self._summary(search, s)["seconds"] for search, s in behind), command=_typed(command),
            searches=[_typed(self._search_command(search, s)) for search, s in behind], revision=revision(ROOT),
            facts={
                "parameters": result["parameters"], "train_images": result["data"]["train_images"],
                "test_images": result["data"]["val_images"], "best_top1": result["best"]["top1"],
            },
        )  # fmt: skip

    def _search(self, search: Search, seed: int) -> None:
        if not (self._folder(search, seed) / "summary.json").exists():
            _run([*self._search_command(search, seed), "--resume", "auto"])

    def _search_command(self, search: Search, seed: int) -> list[Any]:
        network = []
        if search.network:
            model, arguments = self._network(search.network, seed)
            network = ["--model", model, *(["--model-kwargs", *arguments] if arguments else [])]
        return [
            "daas.search", *self.scale.search, *search.options, *network, "--data-dir", self.train,
            "--image-size", self.scale.image_size, "--seed", seed, "--out", self._folder(search, seed),
        ]  # fmt: skip

    def _folder(self, search: Search, seed: int) -> Path:
        return self.work / "search" / f"{search.name}-{seed}"

    def _summary(self, search: Search, seed: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self._folder(search, seed) / "summary.json").read_text(encoding="utf-8"))
        return found

    def _network(self, network: str, seed: int) -> tuple[str, tuple[str, ...]]:
        """Its timm name and its constructor arguments."""
        if network in self.scale.models:
            return self.scale.models[network]
        if network == "random":
            path = self.work / "random" / f"{seed}.genotype.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            Genotype.random(generator(seed, _NETWORK)).save(path)
        else:
            path = self.work / "search" / f"{network.removeprefix('search:')}-{seed}" / "genotype.json"
        return "daas_cell_cifar", (f"genotype={path}", *self.scale.cells)

    def _policy(self, policy: str, seed: int) -> str:
        """What follows ``daas:``, or nothing."""
        if policy == "random":
            path = self.work / "random" / f"{seed}.policy.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            Policy.random(generator(seed, _POLICY)).save(path)
            return str(path)
        if policy.startswith("search:"):
            return str(self.work / "search" / f"{policy.removeprefix('search:')}-{seed}" / "policy.json")
        return policy


@torch.no_grad()
def accuracy(result: dict[str, Any], weights: Path, archive: Path) -> float:
    """Top-1 accuracy of a trained network on an archive, percent, without augmentation.

    Args:
        result: The training's result.json.
        weights: Its safetensors.
        archive: A ``.tar`` of class folders.
    """
    model = timm.create_model(result["model"], num_classes=result["num_classes"], **result["model_kwargs"]).eval()
    model.load_state_dict(load_file(weights))
    data = load_images(data_dir=archive, image_size=result["input_size"][-1])
    mean, std = (torch.tensor(result[key]).view(3, 1, 1) for key in ("mean", "std"))
    right = 0
    for chosen in torch.arange(len(data)).split(250):
        logits = model((data.fetch(chosen).float() / 255 - mean) / std)
        right += int((logits.argmax(-1) == data.labels[chosen]).sum())
    return 100 * right / len(data)


def _run(command: Sequence[Any]) -> None:
    """Runs ``python -m ...`` on one thread: sums, and so results, depend on the number of threads."""
    words = [sys.executable, "-m", *map(str, command)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise Failed(f"exit code {done.returncode}: {_typed(command)}\n{done.stderr[-2000:]}")


def _typed(command: Sequence[Any]) -> str:
    """The command as a user would type it in the project's folder."""
    return shlex.join(["python", "-m", *(str(word).replace(f"{ROOT}/", "") for word in command)])
