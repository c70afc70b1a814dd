"""DAASPolicy: a policy as a batched transform, one sub-policy per image, on the CPU or the GPU."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from daas.augment.draw import Draw
from daas.augment.ops import Backend, ChosenBackend, Interpolation, Statistics, apply, choose_backend, shift_and_factor
from daas.augment.policy import Policy
from daas.augment.space import INDEX
from daas.errors import BadInput

Granularity = Literal["image", "batch"]


class DAASPolicy(nn.Module):
    """Draws from a policy and applies the draw.

    Args:
        policy: The distribution over sub-policies.
        granularity: ``image``: every image gets a sub-policy of its own; ``batch``: one for the whole batch (random
            signs and Cutout's centres still differ between images).
        backend: ``auto``: compiled code (numba) for uint8 and quantised float batches on the CPU if numba is installed,
            torch for all others; ``torch`` and ``numba`` force. ``backend_for`` says which runs.
        normalize: (mean, std) per channel, as shares of the full range: the output is then a normalised float batch.
        quantize: For float input: True gives what uint8 would give; False truncates nowhere and passes gradients.
        interpolation: Of shear, translate and rotate: ``nearest`` or ``bilinear``.

    Raises:
        BadInput: An option that is not among these, or ``backend="numba"`` where it cannot work.
    """

    def __init__(
        self,
        policy: Policy,
        granularity: Granularity = "image",
        backend: Backend = "auto",
        normalize: Statistics | None = None,
        quantize: bool = True,
        interpolation: Interpolation = "nearest",
    ) -> None:
        super().__init__()
        if granularity not in ("image", "batch"):
            raise BadInput(f"granularity is {granularity!r}; it is 'image' or 'batch'.")
        if interpolation not in ("nearest", "bilinear"):
            raise BadInput(f"interpolation is {interpolation!r}; it is 'nearest' or 'bilinear'.")
        if normalize is not None:
            shift_and_factor(normalize, len(normalize[0]))
        if backend == "numba" and not quantize:
            raise BadInput("backend='numba' works on 256 levels and quantize=False asks for float arithmetic.")
        self.backend: ChosenBackend = choose_backend(backend)
        self.policy = policy
        self.granularity: Granularity = granularity
        self.quantize = quantize
        self.normalize = normalize
        self.interpolation: Interpolation = interpolation
        self._requested: Backend = backend
        self._tables = _tables(policy)

    def backend_for(self, images: Tensor) -> ChosenBackend:
        """Which implementation runs on these images; the attribute ``backend`` is that of uint8 batches on the CPU.

        Raises:
            BadInput: The constructor's ``backend="numba"`` cannot work on them.
        """
        return choose_backend(self._requested, images, self.quantize)

    def sample(self, batch_size: int, generator: torch.Generator | None = None) -> Draw:
        """Draws what happens to each image of a batch.

        Args:
            batch_size: Number of images.
            generator: A CPU generator; torch's default one if None.

        Returns:
            The draw, on the CPU. It does not depend on what ``apply`` will run on.
        """
        op, prob, value, cumulative = self._tables
        draws = batch_size if self.granularity == "image" else 1
        uniform = torch.rand(draws, 1 + op.shape[1], generator=generator, dtype=torch.float64)
        row = torch.searchsorted(cumulative, uniform[:, 0].contiguous(), right=True)
        shape = (batch_size, op.shape[1])
        applied = uniform[:, 1:] < prob.index_select(0, row)
        return Draw.from_choices(
            op.index_select(0, row).expand(shape),
            value.index_select(0, row).expand(shape),
            applied.expand(shape),
            generator,
        )

    @overload
    def apply(self, images: Tensor, draw: Draw) -> Tensor: ...

    @overload
    def apply(self, images: Callable[[nn.Module], None]) -> DAASPolicy: ...

    def apply(self, images: Tensor | Callable[[nn.Module], None], draw: Draw | None = None) -> Tensor | DAASPolicy:
        """Applies a draw: a pure function.

        Within a model, ``model.apply(function)`` also comes here, as to any ``nn.Module``.

        Args:
            images: [B, C, H, W] with 1 or 3 channels: uint8, or float in [0, 1].
            draw: From ``sample``, one row per image.

        Returns:
            The same shape and dtype, contiguous; with ``normalize`` a normalised float batch.

        Raises:
            BadInput: As ``daas.augment.ops.apply``.
        """
        if not isinstance(images, Tensor):
            return super().apply(images)
        if draw is None:
            raise TypeError("apply(images, draw) needs a draw: policy.sample(len(images)), or call policy(images)")
        return apply(images, draw, self.policy.fill, self.quantize, self._requested, self.interpolation, self.normalize)

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """``sample`` and ``apply``: [B, C, H, W] -> [B, C, H, W]."""
        return self.apply(images, self.sample(len(images), generator))

    @classmethod
    def load(cls, name: str | Path, **options: Any) -> DAASPolicy:
        """A transform from a shipped policy, a file or a repository on the Hugging Face Hub.

        Args:
            name: A name of ``list_policies()``, the path of a policy file, or ``hf-hub:user/repository``.
            **options: As for the constructor.

        Raises:
            BadInput: Nothing of that name.
        """
        return cls(find_policy(name), **options)

    def extra_repr(self) -> str:
        """Name, size and options, for print."""
        return (
            f"{self.policy.name!r}, {len(self.policy.sub_policies)} sub-policies, granularity={self.granularity!r}, "
            f"backend={self.backend!r}, interpolation={self.interpolation!r}"
        )


def _tables(policy: Policy) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A policy as tables: op, probability and magnitude, [N, K]; where the weights' intervals end, [N - 1]."""
    rows = len(policy.sub_policies)
    op = torch.full((rows, policy.slots), -1, dtype=torch.int64)
    prob = torch.zeros(rows, policy.slots, dtype=torch.float64)
    value = torch.zeros(rows, policy.slots, dtype=torch.float64)
    for row, sub in enumerate(policy.sub_policies):
        for slot, chosen in enumerate(sub.ops):
            op[row, slot], prob[row, slot] = INDEX[chosen.op], chosen.prob
            value[row, slot] = 0.0 if chosen.value is None else chosen.value
    weight = torch.tensor([sub.weight for sub in policy.sub_policies], dtype=torch.float64)
    return op, prob, value, (weight / weight.sum()).cumsum(0)[:-1].contiguous()


def list_policies() -> list[str]:
    """Names of the policies that the package ships."""
    folder = files("daas.augment").joinpath("policies")
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(entry.name.removesuffix(".json") for entry in found if entry.name.endswith(".json"))


def find_policy(name: str | Path) -> Policy:
    """The policy of a shipped name, a path, or ``hf-hub:user/repository[@revision]`` (its policy.json).

    Raises:
        BadInput: Nothing of that name.
    """
    text = str(name)
    if text.startswith("hf-hub:"):
        from daas.hub.remote import fetch_policy  # at need: the Hub's client is no part of augmenting

        return fetch_policy(text)
    if text in list_policies():
        with_path = files("daas.augment").joinpath("policies").joinpath(f"{text}.json")
        return Policy.load(Path(str(with_path)))
    if Path(text).is_file():
        return Policy.load(text)
    raise BadInput(
        f"policy {text!r} is neither shipped nor a file. Shipped are {', '.join(list_policies())}; a search writes its "
        "own to policy.json in its output folder; hf-hub:user/repository loads one from the Hub; python -m "
        "daas.augment convert makes a policy file of a published format (timm:original, torchvision:svhn, ...)."
    )
