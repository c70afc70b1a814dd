"""What a search gives back: the pair, what was measured, and ways to use, show and keep it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Any

from torch import Tensor, nn

from daas.augment import DAASPolicy, Policy
from daas.errors import BadInput, plain
from daas.files import make_folder, write_text
from daas.models import Genotype
from daas.reading import read_json
from daas.search.algorithm.method import model_arguments
from daas.search.report import metrics
from daas.search.runs.folder import METRICS, present_in

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Pictures:
    """Images of the user's own for the report.

    Attributes:
        examples: [B, 3, S, S] uint8, training images that are shown with and without the policy.
        classes: One image of each class, [3, S, S] uint8 by class name.
    """

    examples: Tensor | None = None
    classes: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        genotype: The cells; None where the network was fixed.
        policy: The augmentation; None where only an architecture was searched.
        metrics: The epochs' lines, as metrics.jsonl has them.
        summary: As summary.json has it.
        pictures: For the report.
        page: The report, where the search wrote one.
    """

    genotype: Genotype | None
    policy: Policy | None
    metrics: list[dict[str, Any]]
    summary: dict[str, Any]
    pictures: Pictures = field(default_factory=Pictures, repr=False)
    page: Path | None = None

    def create_model(self, num_classes: int | None = None, **arguments: Any) -> nn.Module:
        """The timm model of the found cells, or the fixed network anew, with fresh weights.

        Args:
            num_classes: By default that of the images that were searched on.
            **arguments: Of the model: of a cell network ``channels`` and ``layers``, which by default are those of the
                search (the paper's trainings use 36 and 20), ``drop_path_rate``, ``aux_head``, ...

        Raises:
            BadInput: The fixed network was given as a module, which only its owner can build again; an argument that
                the model does not take.
        """
        from daas.models.start import create

        options = self.summary["options"]
        if num_classes is None:
            num_classes = len(self.summary["data"]["class_names"])
        if self.genotype is not None:
            size = {"channels": options["channels"], "layers": options["layers"]}
            name, known = "daas_cell_cifar", {"genotype": self.genotype, **size}
        elif "network" in self.summary.get("given", {}):
            raise BadInput(
                f"The network of this search was given as a module ({self.summary['given']['network']}): build another "
                "one of it, and train that under found.transform()."
            )
        else:
            name, known = options["model"], model_arguments(tuple(options["model_kwargs"]))
        return create(name, num_classes, **{**known, **arguments})

    def transform(self, normalize: Statistics | None = None, **options: Any) -> DAASPolicy:
        """The policy as a transform of batches.

        Args:
            normalize: (mean, std) per channel, as shares of the full range: the transform then gives normalised floats.
                ``found.summary["data"]`` has those of the images.
            **options: Of ``daas.DAASPolicy``.

        Raises:
            BadInput: No policy was searched.
        """
        if self.policy is None:
            raise BadInput("This search looked for an architecture alone (mode arch): there is no policy.")
        return DAASPolicy(self.policy, normalize=normalize, **options)

    def report(self, path: str | Path) -> Path:
        """Writes the report, one page that needs nothing else.

        Args:
            path: Of the page, for example ``report.html``.

        Returns:
            The path.
        """
        from daas.search.report.page import render

        if not self.metrics:
            raise BadInput("There is no report without the epochs' metrics, which a loop of one's own does not take.")
        path = Path(path)
        make_folder(path.parent)
        write_text(path, render(self, path.parent))
        return path

    def save(self, folder: str | Path) -> Path:
        """Writes what the command leaves in its folder, but for the checkpoints.

        That is genotype.json, policy.json, summary.json, and of a whole search metrics.jsonl and report.html.

        Args:
            folder: Made if it is not there.

        Returns:
            The folder.

        Raises:
            BadInput: The folder holds a search already, or cannot be written to.
        """
        out = Path(folder)
        if os.path.exists(out) and not os.path.isdir(out):
            raise BadInput(f"{out} is a file; name a folder.")
        if present := present_in(out):
            raise BadInput(
                f"{out} holds another run ({', '.join(present)}), and nothing is written over. Name another folder."
            )
        make_folder(out)
        if self.metrics:
            metrics.write_lines(out / METRICS, self.metrics)
        self.write(out)
        return out

    def write(self, out: Path) -> Found:
        """Writes genotype.json, policy.json, summary.json and report.html over those of the same run.

        A page that cannot be made leaves the search done: what went wrong is said on stderr, with the command that
        makes it again.

        Returns:
            The same, with ``page``.
        """
        if self.genotype is not None:
            self.genotype.save(out / "genotype.json")
        if self.policy is not None:
            self.policy.save(out / "policy.json")
        metrics.write_summary(out / "summary.json", self.summary)
        if not self.metrics:
            return self
        try:
            return replace(self, page=self.report(out / "report.html"))
        except Exception as error:  # a full disk, a font, a broken installation of what draws: the results are safe
            print(
                f"warning: the search is done and its results are in {plain(str(out))}, but its report could not be "
                f"made: {plain(str(error))} ({type(error).__name__}). Then: daas search report "
                f"{quote(str(out))}",
                file=sys.stderr,
            )
            return self


def found_in(folder: Path) -> Found:
    """A finished search from the files of its folder, without pictures.

    Raises:
        BadInput: A file is missing or damaged.
    """
    cells, policy, page = folder / "genotype.json", folder / "policy.json", folder / "report.html"
    return Found(
        Genotype.load(cells) if os.path.exists(cells) else None,
        Policy.load(policy) if os.path.exists(policy) else None,
        metrics.read_lines(folder / METRICS) if os.path.exists(folder / METRICS) else [],
        read_json(folder / "summary.json", "summary"),
        page=page if os.path.exists(page) else None,
    )
