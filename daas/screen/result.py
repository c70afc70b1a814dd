"""Screen: what one training said about every operation; a table, a policy, files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daas.augment import Policy
from daas.errors import BadInput
from daas.screen.verdicts import CHANGES, HARMLESS, TOLERATED, UNCLEAR, Verdict

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "daas-screen/1"


@dataclass(frozen=True)
class Stratum:
    """A piece of an operation's range.

    Attributes:
        low: Signed magnitude nearest to the identity.
        high: Signed magnitude farthest from it.
        excess: Excess confidence there, in points.
        interval: Of the excess, 95 percent.
        accuracy: Percent.
        safe: Whether the operation is safe from the identity up to ``high``.
    """

    low: float
    high: float
    excess: float
    interval: tuple[float, float]
    accuracy: float
    safe: bool


@dataclass(frozen=True)
class Moved:
    """Images of one class that the network takes for another one under an operation.

    Attributes:
        source: Their class.
        target: What the network says.
        share: Of the images of ``source`` that it recognises as they are.
        images: How many those are.
    """

    source: str
    target: str
    share: float
    images: int


@dataclass(frozen=True)
class Seen:
    """What was seen of one operation.

    Attributes:
        op: Its name.
        verdict: ``changes the label``, ``harder``, ``harmless`` or ``unclear``.
        accuracy: Percent under the operation, its magnitude uniform over the range.
        confidence: Mean calibrated confidence, percent.
        excess: (confidence - accuracy) minus the same on clean images, in points.
        interval: Of ``excess``, 95 percent (bootstrap over images).
        loss: Accuracy on clean images minus ``accuracy``, in points.
        expected: Excess that an operation that only makes images hard would have at this loss, in points.
        share: Estimate of the share of labels that it changes, of those that the network can read; None where it
            can read none.
        share_error: Standard error of ``share``.
        safe_up_to: Magnitude up to which it is safe in both directions, a factor of 1.5 meaning 0.5 to 1.5; the
            identity itself where nothing is safe; None without a magnitude.
        by_magnitude: The range in pieces, each side from the identity outwards.
        moves: Which classes it turns into which, the largest first.
        exchanges: Pairs of classes that it exchanges almost one to one, all others staying what they are.
    """

    op: str
    verdict: Verdict
    accuracy: float
    confidence: float
    excess: float
    interval: tuple[float, float]
    loss: float
    expected: float
    share: float | None
    share_error: float | None
    safe_up_to: float | None
    by_magnitude: tuple[Stratum, ...] = ()
    moves: tuple[Moved, ...] = ()
    exchanges: tuple[tuple[str, str], ...] = ()

    @property
    def dropped(self) -> bool:
        """Whether the screen's policy leaves it out: it changes the label, or it is unclear and looks like it."""
        return self.verdict == CHANGES or (self.verdict == UNCLEAR and (self.share is None or self.share >= TOLERATED))


@dataclass(frozen=True)
class Picture:
    """An image that the network was sure of and wrong.

    Attributes:
        op: What was done to it.
        said: In words, with the magnitude.
        before: [3, S, S] uint8.
        after: [3, S, S] uint8.
        label: Its class.
        taken_for: What the network said.
        confidence: How sure it was, in percent.
    """

    op: str
    said: str
    before: Tensor
    after: Tensor
    label: str
    taken_for: str
    confidence: float


@dataclass(frozen=True)
class Screen:
    """What a screen found.

    Attributes:
        clean: ``accuracy`` and ``confidence`` on the images as they are, in percent.
        operations: Everything that was tried, the most harmful first.
        about: How it was made: data, network, options, null, temperature, seconds.
        warnings: What to keep in mind.
        pictures: Images that were sure and wrong; not in the file.

    ``daas.screen`` makes one, ``print`` shows it, ``seen["HFlip"]`` is what was seen of an operation.
    """

    clean: Mapping[str, float]
    operations: tuple[Seen, ...]
    about: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = field(default=(), repr=False, compare=False)

    def __getitem__(self, op: str) -> Seen:
        """What was seen of an operation.

        Raises:
            BadInput: It was not tried.
        """
        for seen in self.operations:
            if seen.op == op:
                return seen
        raise BadInput(f"{op!r} was not screened; there are {', '.join(seen.op for seen in self.operations)}.")

    def __iter__(self) -> Iterator[Seen]:
        return iter(self.operations)

    def __contains__(self, op: object) -> bool:
        return any(seen.op == op for seen in self.operations)

    @property
    def flip(self) -> float:
        """Probability of a horizontal flip to train with: 0.5 where a flip was seen to be harmless, otherwise 0."""
        return 0.5 if "HFlip" in self and self["HFlip"].verdict == HARMLESS else 0.0

    @property
    def scale(self) -> tuple[float, float] | None:
        """Smallest and largest share of the area to cut out at random (``--scale``); None where ``Crop`` was not tried.

        (1.0, 1.0) where crops change the label, or look like it.
        """
        from daas.screen.using import scale_of

        return scale_of(self)

    @property
    def swaps(self) -> tuple[tuple[str, str], ...]:
        """Pairs of classes that a horizontal flip exchanges: with exchanged labels it can be used all the same."""
        return self["HFlip"].exchanges if "HFlip" in self and self["HFlip"].verdict == CHANGES else ()

    def limits(self) -> dict[str, float]:
        """``safe_up_to`` of every operation that has a magnitude and is safe at some: ``limits`` of a policy."""
        from daas.screen.using import limits

        return limits(self)

    def policy(self) -> Policy:
        """Every operation that leaves the label alone, one per image, uniform within its safe magnitudes.

        Raises:
            BadInput: Nothing is left.
        """
        from daas.screen.using import policy_of

        return policy_of(self)

    def save(self, folder: str | Path) -> Path:
        """Writes screen.json, policy.json, screen.html and screen.png.

        Args:
            folder: Made where it is missing.

        Returns:
            The path of the page.

        Raises:
            BadInput: The folder cannot be written.
        """
        from daas.screen.saving import save

        return save(self, Path(folder))

    @classmethod
    def load(cls, path: str | Path) -> Screen:
        """Reads a screen.json, or that of a folder.

        Raises:
            BadInput: No such file, no screen, or one of operations of which some have to be registered first.
        """
        from daas.screen.saving import load

        return load(Path(path))

    def __str__(self) -> str:
        """The answer, then a table."""
        from daas.screen.words import report

        return report(self)

    __repr__ = __str__
